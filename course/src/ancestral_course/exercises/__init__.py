"""The exercises of each lesson: `lesson_NN.EXERCISES`."""

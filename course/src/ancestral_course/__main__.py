"""`python -m ancestral_course`."""

from ancestral_course.command import main

main()

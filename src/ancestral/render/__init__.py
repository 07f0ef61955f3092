"""All that is shown and written: pictures, plots, words and tables, the report, the model card, files, the terminal."""

"""What is measured, a file each: `python bench PART --help`."""

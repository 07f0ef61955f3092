"""The parts of the benchmark, one file each: `python bench PART --help`."""

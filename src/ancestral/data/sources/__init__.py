"""Sources of data: built-in sets, folders of images, arrays, tar shards, and data sets of other libraries."""

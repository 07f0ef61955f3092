"""A model as a page for browsers: the compiler of its network, the kernels, and the JavaScript."""

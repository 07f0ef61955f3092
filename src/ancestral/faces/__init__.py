"""The faces that users meet: the functions of Python and the command line, both derived from the declarations."""

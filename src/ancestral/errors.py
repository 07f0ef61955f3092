"""The one exception that means "what you gave cannot be used": its message is one line that says what to do.

The command line turns it into exit code 2 and that line. Any other exception is a defect of ours and keeps its
traceback.
"""


class InputError(ValueError):
    """Bad input at a boundary: an option, a file, a folder, a checkpoint, a tensor of the wrong shape."""


class UnsuitableError(InputError):
    """An option of how data are read that these data cannot be given, which whoever did not give it should not read."""

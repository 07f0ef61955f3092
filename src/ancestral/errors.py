"""The classes of errors: the public name of `ancestral.base.errors`."""

from ancestral.base.errors import InputError as InputError
from ancestral.base.errors import MissingSplitError as MissingSplitError
from ancestral.base.errors import UnsuitableError as UnsuitableError

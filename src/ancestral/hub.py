"""Models on the Hugging Face Hub: the public name of `ancestral.base.hub`."""

from ancestral.base.hub import Address as Address
from ancestral.base.hub import fetch as fetch
from ancestral.base.hub import is_address as is_address
from ancestral.base.hub import parse as parse
from ancestral.base.hub import push as push

"""Every use case as a generator of events: the public name of `ancestral.use_cases`."""

from ancestral.use_cases import start as start

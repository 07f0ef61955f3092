"""Every use case as a function or a generator of events that returns a result; nothing here prints."""

"""The studio: a server on this machine, and pages in the browser, over the same use cases as the command line.

A module with routes lists them in `ROUTES`; `app.py` joins them. What a visitor sends is read by the declarations, so
that options and errors are those of the command line. torch is imported by the thread that computes, when a model is
needed, and so the first page is there at once.
"""

__version__ = "1.0.0"

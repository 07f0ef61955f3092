"""`python -m ancestral` is `ancestral`."""

from ancestral.cli import main

main()

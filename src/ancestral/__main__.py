"""`python -m ancestral` is `ancestral`."""

from ancestral.faces.command import main

main()

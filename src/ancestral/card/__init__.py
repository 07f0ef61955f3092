"""The model card: what a model is and how good it was found to be, in the words of the Hugging Face Hub."""

from ancestral.card.found import Found, Table, read
from ancestral.card.marks import NAME, around, merged, write
from ancestral.card.readme import FOLDER, TARGETS, About, card

__all__ = ["FOLDER", "NAME", "TARGETS", "About", "Found", "Table", "around", "card", "merged", "read", "write"]

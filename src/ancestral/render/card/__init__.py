"""The model card: what a model is and how good it was found to be, in the words of the Hugging Face Hub."""

from ancestral.render.card.managed_sections import NAME, around, merged, write
from ancestral.render.card.model_card import FOLDER, TARGETS, About, card

__all__ = ["FOLDER", "NAME", "TARGETS", "About", "around", "card", "merged", "write"]

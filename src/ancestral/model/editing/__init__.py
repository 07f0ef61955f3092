"""Editing: samples that agree with a measurement of an item, or that begin at items of the user's."""

from ancestral.model.editing.edited_samples import (
    FLOW_STEPS,
    WALK,
    Edited,
    conditioning_of,
    deviation_of,
)
from ancestral.model.editing.measurements import edited_images, inpainting, measured_shape, restoration
from ancestral.model.editing.outpainting import canvas_of
from ancestral.model.editing.restoring import CustomMethod
from ancestral.model.editing.walks import interpolation, inversion, reconstruction, variations
from ancestral.model.editing.windowed_edits import changed_part

__all__ = [
    "FLOW_STEPS",
    "WALK",
    "CustomMethod",
    "Edited",
    "canvas_of",
    "changed_part",
    "conditioning_of",
    "deviation_of",
    "edited_images",
    "inpainting",
    "interpolation",
    "inversion",
    "measured_shape",
    "reconstruction",
    "restoration",
    "variations",
]

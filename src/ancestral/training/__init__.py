"""Training: the loop as a generator, the average of the weights, and the folder that a run lives in."""

from ancestral.training.ema import EMA
from ancestral.training.run_folder import RunFolder
from ancestral.training.trainer import Progress, Trainer

__all__ = ["EMA", "Progress", "RunFolder", "Trainer"]

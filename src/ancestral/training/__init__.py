"""Training: the loop as a generator, the average of the weights, and the folder that a run lives in."""

from ancestral.training.averages import EMA, Snapshots, check_length, ema_length
from ancestral.training.checkpoints import Checkpoints
from ancestral.training.progress import Progress, Stopped
from ancestral.training.run_folder import RunFolder
from ancestral.training.trainer import Trainer

__all__ = [
    "EMA",
    "Checkpoints",
    "Progress",
    "RunFolder",
    "Snapshots",
    "Stopped",
    "Trainer",
    "check_length",
    "ema_length",
]

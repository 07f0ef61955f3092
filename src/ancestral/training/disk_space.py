"""Size of a run on the disk, compared with the free space before the first step."""

from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.quantities import format_bytes
from ancestral.training.checkpoints import Checkpoints
from ancestral.training.run_folder import RunFolder
from ancestral.training.trackers import used_trackers
from ancestral.training.trainer import Trainer

GRID_BYTES = 500_000
"""About the size of a grid of samples, which trackers keep once more."""


def disk_warning(trainer: Trainer, folder: RunFolder) -> list[str]:
    """Return a line if the disk has less room than the run takes at its largest; none if it has no steps left.

    Raises:
        InputError: If it has none for a first checkpoint and the model.
    """
    train, runtime, state = trainer.config.train, trainer.config.runtime, trainer.state
    if max(Checkpoints(folder.checkpoints).steps(), default=0) >= train.steps:
        return []
    saves, model = -(-train.steps // train.save_every), state.pair_bytes // 2
    checkpoints = min(saves, runtime.keep + (train.steps // runtime.keep_every if runtime.keep_every else 0))
    grids = -(-train.steps // train.sample_every) * (1 + bool(used_trackers(runtime.trackers)))
    parts = {  # while a save is written, there are another checkpoint and another model file
        "model": model * min(saves, 2),
        "checkpoints": (state.save_bytes - model) * min(saves, checkpoints + 1),
        "snapshots": trainer.snapshot_count * state.pair_bytes,
        "grids of samples": grids * GRID_BYTES,
    }
    present, free = storage.size_of(folder.path), storage.free_bytes(folder.path)
    needed = sum(parts.values()) - present
    elsewhere = f"make room, or give {option('out')} a folder on another disk"
    if not present and free < state.save_bytes:
        raise InputError(
            f"the disk of {folder.path} has {format_bytes(free)} free, and a checkpoint and the model take "
            f"{format_bytes(state.save_bytes)}: {elsewhere}"
        )
    if free >= needed:
        return []
    sizes = ", ".join(f"{name} {format_bytes(size)}" for name, size in parts.items() if size)
    return [
        f"warning: the run takes about {format_bytes(needed)} more on the disk ({sizes}), and {format_bytes(free)} "
        f"are free: {elsewhere}, or {option('snapshots', 0)} {option('keep', 1)}"
    ]

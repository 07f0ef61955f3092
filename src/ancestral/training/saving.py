"""The saves of a run: checkpoints, the model file and snapshots of averages; and the restoring of a checkpoint."""

from collections.abc import Callable, Mapping
from typing import Any

from ancestral import model, storage
from ancestral.config import Config
from ancestral.errors import InputError
from ancestral.options import option
from ancestral.training.checkpoints import Checkpoint, Checkpoints, Publication
from ancestral.training.distributed import Distributed
from ancestral.training.run_folder import RunFolder
from ancestral.training.snapshots import Snapshots, interval
from ancestral.training.training_state import TrainingState


class Saves:
    """Writes the saves of a run. A save in the background goes on while the folder is renamed.

    Args:
        folder: The folder of the run.
        config: The config of the run.
        distributed: The processes: the first one writes.
    """

    def __init__(self, folder: RunFolder, config: Config, distributed: Distributed) -> None:
        self.folder, self.config, self.distributed = folder, config, distributed
        path, runtime = RunFolder(folder.lasting_path).checkpoints, config.runtime
        self.checkpoints = Checkpoints(path, runtime.keep, runtime.keep_every)

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint, then the model, in the background. All processes take part."""
        tensors = state.tensors()
        if not self.distributed.main:
            return
        averaged = {name.removeprefix("ema."): value for name, value in tensors.items() if name.startswith("ema.")}
        first = {id(parameter): name for name, parameter in state.net.named_parameters()}
        for name, parameter in state.net.named_parameters(remove_duplicate=False):  # shared weights have several names
            averaged[name] = averaged[first[id(parameter)]]
        buffers = {name: tensors[f"net.{name}"] for name, _ in state.net.named_buffers() if f"net.{name}" in tensors}
        metadata = model.metadata_of(state.denoiser, self.config, state.spec, state.step)
        config, place = self.config.to_json(), RunFolder(self.folder.lasting_path)

        def publish() -> None:
            storage.write_text(place.config, config)
            storage.write_tensors(place.model, averaged | buffers, metadata)

        size, last = storage.tensor_bytes(averaged), state.step >= self.config.train.steps
        model_file = Publication(
            publish, place.model, size, last, lambda: [*Snapshots(place.snapshots).paths(), place.report]
        )
        self.checkpoints.save(Checkpoint(state.step, tensors, state.numbers()), model_file)

    def wait(self) -> None:
        """Wait until the last save is on the disk. Raises the OSError that stopped it; older checkpoints stay."""
        with self.folder.lasting():
            self.checkpoints.wait()

    def write_snapshot(self, state: TrainingState, ending: bool) -> None:
        """Write the power-function averages if it is time, or the end. All processes take part.

        Raises:
            OSError: If the disk has no room for more than a checkpoint and the model.
        """
        if not state.powers or state.step == 0:
            return
        every = interval(self.config.train.steps, state.pairs)
        if not ending and state.step % every:
            return
        tensors = state.average_tensors(state.powers)
        if self.distributed.main:
            with self.folder.lasting() as place:
                if storage.free_bytes(place.path) < state.pair_bytes + state.save_bytes:
                    raise OSError("the disk has no room for more than checkpoints and the model")
                Snapshots(place.snapshots).write(state.step, tensors, every)

    def forget(self, step: int) -> None:
        """Remove the checkpoints and snapshots after a step, to which training went back."""
        if self.distributed.main:
            self.checkpoints.forget(step)
            Snapshots(self.folder.snapshots).forget(step)


def restore_newest(
    checkpoints: Checkpoints, state: TrainingState, good: Callable[[Mapping[str, Any]], bool] = lambda numbers: True
) -> list[str]:
    """Restore the newest whole checkpoint whose numbers are `good`.

    Returns:
        What is wrong with newer ones, a line each.

    Raises:
        InputError: If all are damaged, or the checkpoint does not fit the state.
    """
    checkpoint, wrong = checkpoints.newest(good)
    if checkpoint is None:
        if wrong:
            raise InputError(f"{wrong[0]}, and no other is left; give {option('out')} another name to start anew")
        return wrong
    try:
        state.restore(checkpoint.step, checkpoint.tensors, checkpoint.numbers)
    except InputError:  # says more
        raise
    except (KeyError, RuntimeError, ValueError, TypeError):
        raise InputError(
            f"{checkpoints.path(checkpoint.step)} does not fit the network, the objective or the optimiser of the run: "
            "one of them was changed"
        ) from None
    return wrong

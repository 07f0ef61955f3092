"""Models of the averages of the weights that a run keeps: of an earlier step, or of another length."""

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ancestral.base import hub
from ancestral.base.arguments import checked
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.model import Model, NetSource, find, load
from ancestral.training.averages import LENGTHS, Snapshots
from ancestral.training.run_folder import RunFolder

LENGTH = LENGTHS[0]
"""The length σ_rel of the average that a model of a snapshot has: the shorter one of those stored."""


def with_weights(model: Model, weights: Mapping[str, Tensor], step: int, length: float, origin: Path) -> Model:
    """Return a model with other averaged weights of its run. Buffers are those of the model.

    Args:
        model: The model.
        weights: The parameters by name.
        step: The step of the weights.
        length: The length σ_rel of their average.
        origin: Where they are from, for messages.

    Raises:
        InputError: If the weights are of another network.
    """
    denoiser = copy.deepcopy(model.diffusion)
    parameters = dict(denoiser.net.named_parameters())
    if weights.keys() != parameters.keys() or any(weights[name].shape != parameters[name].shape for name in weights):
        raise InputError(f"the snapshots in {origin} are of another network than the model beside them")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    return Model(denoiser, model.spec, model.config, step, model.version, average=length)


@checked
def load_snapshot(run: Model | str | Path, step: int, device: str = "auto", *, net: NetSource | None = None) -> Model:
    """Load the averaged weights of an earlier step of a run, from the snapshot that is nearest to it.

    Training keeps the snapshots for `average`. Their models are the weaker ones of autoguidance:

        model.sample(8, guidance=1.5, weak=ancestral.load_snapshot("runs/photos", 500))

    Args:
        run: The run folder, or its model file; or the model that was loaded from there.
        step: The step.
        device: As of `load`; of a model, its device.
        net: The custom network that was trained.

    Returns:
        The model of the snapshot, whose `step` is that of the snapshot, and whose `file` is the snapshot's.

    Raises:
        InputError: If the run has no snapshots, or they are not of its network.
    """
    if hub.is_address(run) or (isinstance(run, Model) and run.file is None):
        raise InputError("snapshots are in a run folder, which this model has not: give the run folder")
    file = run.file if isinstance(run, Model) else find(run)
    assert file is not None
    RunFolder(file.parent).check_one_run()
    snapshots = Snapshots(RunFolder(file.parent).snapshots)
    steps = snapshots.steps()
    if not steps:
        raise InputError(
            f"{file.parent} has no snapshots of averages: give a run that was trained with {option('snapshots', 16)}, "
            "the default of small networks, and was not cleaned"
        )
    nearest = min(steps, key=lambda one: abs(one - step))
    model = run if isinstance(run, Model) else load(run, device, net=net)
    snapshot = with_weights(model, snapshots.read(nearest, LENGTH), nearest, LENGTH, snapshots.folder)
    snapshot.file = snapshots.path(nearest)
    return snapshot

"""A client program: `make types` has mypy and pyright accept its calls, and refuse those that are marked.

An unused mark is an error of the checkers, so each mark proves that they see a wrong name or a wrong type.
"""

from pathlib import Path

import torch
from torch import nn

import ancestral
from ancestral import schedules
from ancestral.results import EvaluationResult
from ancestral.results.run_result import ModelInfo
from ancestral.training import Progress


def network(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Conv2d(shape[0], shape[0], 1 + 2 * (classes > 0))


def client(items: torch.Tensor, out: Path) -> float:
    run = ancestral.train("digits", out=out, steps=20, batch_size=8, lr=1e-3, mults=(1, 2), trackers="none", flip=False)
    own = ancestral.train("arrays", items, out=out, net=network, schedule=schedules.cosine(100), resume=True)
    fast = ancestral.distil(run.model, method="progressive", evaluations=4, steps=10).model
    samples: torch.Tensor = fast.sample(4, seed=1, label="3")
    loss: list[float] = [progress.loss for progress in ancestral.train_steps("points", steps=3)]
    result: EvaluationResult = ancestral.evaluate(own.model, items, samples=100, metrics=["frechet", "colour"])
    table = ancestral.compare([run.folder, own.model], samples=50, progress=False)
    paths: tuple[str, ...] = ancestral.sample(run.folder, n=4, index=[1, 2], gif=True).paths
    report = ancestral.inspect("photos/", image_size=(32, 48), net="unet", steps=0)
    listed = ancestral.runs("runs", clean=True)
    about = ancestral.info(out)  # with verify=True the files
    parameters = about.parameters if isinstance(about, ModelInfo) else 0
    print(table, paths, report.trainable, listed, parameters, samples.shape, result.samples)

    ancestral.train("digits", stesp=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ancestral.train("digits", steps="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ancestral.train("digits", weighting="snrr")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ancestral.evaluate(out, metrics="fid")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ancestral.distil(out, method="fast")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ancestral.export(out, to="tf")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ancestral.sample(n=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    wrong: Progress = ancestral.info(out)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    return loss[-1] + wrong.loss

"""Every use case, declared once: what it takes, what each option sets, and what it returns."""

from typing import NamedTuple

from ancestral.declarations.declaration import Declaration
from ancestral.declarations.making import Export, Import, Info, Inspect, Push, Runs, Sample
from ancestral.declarations.measuring import METRICS, AverageLengths, Compare, Evaluate, EvaluateSamples, Metric
from ancestral.declarations.training_runs import Distil, Train


class UseCase(NamedTuple):
    """A row of the table of use cases: its command, its Python function, its declaration, and what the help says."""

    command: str
    function: str
    declaration: type[Declaration]
    summary: str


USE_CASES = (
    UseCase("doctor", "inspect", Inspect, "inspect a data set before training: faults, duplicates, time and memory"),
    UseCase("train", "train", Train, "train a model on built-in data or on your own images"),
    UseCase("distil", "distil", Distil, "distil a model into one that samples in one or two network evaluations"),
    UseCase("sample", "sample", Sample, "sample images from a trained model: grid, files, animation, film strip"),
    UseCase("evaluate", "evaluate", Evaluate, "measure the samples of a model, and its likelihood"),
    UseCase("evaluate-samples", "evaluate_samples", EvaluateSamples, "measure samples that are files, without a model"),
    UseCase("compare", "compare", Compare, "compare runs, or the samplers of one run at their cost"),
    UseCase("average", "average", AverageLengths, "choose the length of the average of the weights after training"),
    UseCase("runs", "runs", Runs, "list the runs of a folder, and clean up finished ones"),
    UseCase("info", "info", Info, "show what a run or a model file holds"),
    UseCase("export", "export", Export, "write a model for other programs: diffusers, ONNX"),
    UseCase("import", "import_pipeline", Import, "read a model from diffusers"),
    UseCase("push", "push", Push, "upload a model with its card to the Hugging Face Hub"),
)

__all__ = [
    "METRICS",
    "USE_CASES",
    "AverageLengths",
    "Compare",
    "Declaration",
    "Distil",
    "Evaluate",
    "EvaluateSamples",
    "Export",
    "Import",
    "Info",
    "Inspect",
    "Metric",
    "Push",
    "Runs",
    "Sample",
    "Train",
    "UseCase",
]

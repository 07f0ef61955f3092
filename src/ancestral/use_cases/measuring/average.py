"""The length of the average of the weights, chosen after training from the snapshots of a run."""

import dataclasses
import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ancestral.base import hub, storage
from ancestral.base.errors import InputError
from ancestral.base.events import Event, Message, Wrote
from ancestral.base.options import option
from ancestral.base.quantities import Estimate
from ancestral.config import run_files
from ancestral.declarations import AverageLengths
from ancestral.measure import time_needed
from ancestral.measure.evaluation import Evaluation
from ancestral.measure.step_budgets import bounded
from ancestral.metrics import uncertainty
from ancestral.model import Model, find
from ancestral.render import plots
from ancestral.results.comparison_result import AveragePoint, AveragingResult
from ancestral.training import RunFolder, Snapshots, check_length, ema_length
from ancestral.training.distributed import Distributed
from ancestral.training.snapshot_models import with_weights
from ancestral.use_cases import output_files
from ancestral.use_cases.measuring import evaluated_models, measurements

AVERAGE_FOLDER, SAMPLES_FOLDER = "average", Path("evaluation/samples")
SHORTER = f"fewer {option('lengths')}, {option('samples')} or {option('steps')}, or {option('most')}, are faster"
ROUGH = 0.1
"""A note says so if the error of a reconstructed profile is larger than this share of it."""


@dataclass(frozen=True)
class AveragePlan(measurements.Measurements[AverageLengths]):
    """Averages that are decided: their lengths, and the steps of the snapshots that they are made of."""

    folder: Path
    lengths: tuple[float, ...]
    snapshots: Snapshots
    steps: tuple[int, ...]


def plan(options: AverageLengths) -> AveragePlan:
    """Open the run and its snapshots.

    Raises:
        InputError: If the run has no snapshots, `end` is outside them, or a length is out of range.
        OSError: If the folder cannot be written.
    """
    if not options.lengths:
        raise InputError(f"{option('lengths')} names none; give some, as in {option('lengths', 0.05, 0.1)}")
    for length in options.lengths:
        check_length(length)
    if hub.is_address(options.run):
        raise InputError("averages are made of the snapshots in a run folder, which a model on the Hub does not have")
    home = RunFolder(find(options.run).parent)
    home.check_one_run()
    steps, processes = _steps(home, options.end), Distributed(options.device)
    entry = evaluated_models.open_model(options.run, options, processes.device)
    source = entry.source(options.data)
    out = Path(home.path / AVERAGE_FOLDER if options.out is None else options.out)
    output_files.check_folder(out, source, options.held_out)
    file = out / run_files.MODEL
    if file.exists() and "average" not in storage.read_metadata(file):
        raise InputError(f"{file} is a model that ancestral average did not write; give {option('out')} another folder")
    load = evaluated_models.opener([entry], options, source)
    ema = evaluated_models.plan_evaluation(
        entry, options, source, load, measurements.temporary_folder(processes), entry.folder
    )
    if options.most is not None:
        ema = ema.with_sampler(bounded(ema.model, ema.sampler, options.most).sampler)
    return AveragePlan(
        options=options,
        processes=processes,
        models=(entry,),
        evaluations=(ema,),
        folder=out,
        lengths=tuple(sorted(set(options.lengths))),
        snapshots=Snapshots(home.snapshots),
        steps=steps,
    )


def run(plan: AveragePlan) -> Generator[Event, None, AveragingResult]:
    """Measure the samples of a run over the length of the average of its weights, and write the best average."""
    return measurements.perform(plan, plan.processes.first(_average(plan)))


def _average(plan: AveragePlan) -> Generator[Event, None, AveragingResult]:
    (ema,), out = plan.evaluations, plan.folder
    if (out / run_files.MODEL).exists():
        facts = storage.read_metadata(out / run_files.MODEL)
        yield Message(f"replaces the average of length {float(facts['average']):g}, step {facts['step']}, in {out}")
    name = f"lengths and EMA, {ema.count:,} samples of {ema.passes:,} network evaluations each"
    unmade = dataclasses.replace(ema, folder=out / SAMPLES_FOLDER)
    evaluations = [(name, evaluation) for evaluation in (ema, *[unmade] * len(plan.lengths))]
    if line := time_needed.forecast(time_needed.sampling_parts(evaluations, plan.batch_size), SHORTER):
        yield Message(line)
    result = yield from _measure(plan)
    model, _ = _averaged_model(plan, result.best.length)
    model.save(out / run_files.MODEL)
    yield Wrote(out / run_files.MODEL)
    storage.write_text(out / run_files.CONFIG, model.config.to_file_text())
    result = dataclasses.replace(result, file=str(out / run_files.MODEL))
    yield from output_files.write_results(out, {"average.json": result, "average.png": plots.averaging_plot(result)})
    return result


def _measure(plan: AveragePlan) -> Generator[Event, None, AveragingResult]:
    """Measure the EMA and the average of each length."""
    (ema,), config, size = plan.evaluations, plan.models[0].model.config, plan.batch_size
    train, facts = yield from measurements.distance_facts(ema, size)
    ema_features = yield from ema.features("the EMA of training", size)
    rows = list[tuple[float, Tensor, Estimate, float]]()
    for length in plan.lengths:
        model, error = _averaged_model(plan, length)
        features = yield from _evaluation_of(plan, model).features(f"length {length:g}", size)
        rows.append((length, features.values, uncertainty.frechet(features.values, train), error))
        yield Message(f"length {length:g}: {facts['titles'].frechet} {rows[-1][2]}")
    _, best, *_ = min(rows, key=lambda row: row[2].value)

    def point(length: float, x: Tensor, distance: Estimate, profile_error: float = 0.0) -> AveragePoint:
        behind = None if x is best else uncertainty.frechet_difference(best, x, train)
        return AveragePoint(length, distance, uncertainty.kernel(x, train), behind, profile_error)

    ema_distance = uncertainty.frechet(ema_features.values, train)
    if rough := [f"{length:g}" for length, _, _, error in rows if error > ROUGH]:
        note = "The snapshots are too few for an exact average of length {}: its profile is approximated."
        facts["notes"] += (note.format(", ".join(rough)),)
    return AveragingResult(
        **facts,
        end=plan.steps[-1],
        snapshots=len(plan.steps),
        decay=config.train.ema,
        sampler=repr(ema.sampler),
        points=tuple(point(*row) for row in rows),
        ema=point(ema_length(config.train.ema, max(1, ema.model.step)), ema_features.values, ema_distance),
    )


def _steps(home: RunFolder, end: int | None) -> tuple[int, ...]:
    """The steps of the snapshots up to `end`. Raises InputError if there are none, or `end` is outside them."""
    steps = Snapshots(home.snapshots).steps()
    if len(steps) < 2:  # one makes the same average of every length
        raise InputError(
            f"{home.path} has {len(steps)} snapshots of averages, and two are needed: give a run that was trained with "
            f"{option('snapshots', 16)}, the default of small networks, and was not cleaned"
        )
    if end is not None and not steps[1] <= end <= steps[-1]:
        raise InputError(
            f"{option('end')} must be {steps[1]} to {steps[-1]}, the steps of the snapshots of {home.path}, not {end}"
        )
    return tuple(step for step in steps if end is None or step <= end)


def _averaged_model(plan: AveragePlan, length: float) -> tuple[Model, float]:
    """The model with the average of this length, and the error of its profile. Buffers are those of the model."""
    model, end = plan.models[0].model, plan.steps[-1]
    weights, error = plan.snapshots.reconstruct(length, end)
    return with_weights(model, weights, end, length, plan.snapshots.folder), error


def _evaluation_of(plan: AveragePlan, model: Model) -> Evaluation:
    """The evaluation of the EMA, of another model in its place; its samples are kept by a hash of its weights."""
    (ema,), digest = plan.evaluations, hashlib.sha256()
    for value in model.diffusion.net.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    request = dataclasses.replace(ema.request, model=digest.hexdigest())
    return dataclasses.replace(ema, model=model, request=request, folder=plan.folder / SAMPLES_FOLDER)

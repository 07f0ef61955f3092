"""What the user of a process should know before it runs: what the model was not trained for, and what may differ."""

from ancestral import __version__, samplers
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.registries import DISTILLATIONS
from ancestral.conditions import LABEL
from ancestral.config.request import Request
from ancestral.model.stages import Stage
from ancestral.model.trained_model import TrainedModel

NOT_A_MEAN = (
    "the x̂_0 of this model is a sample, for the sampler consistency; others take it for a mean, and get worse with "
    "each step"
)


def differences(request: Request, model: TrainedModel) -> list[str]:
    """Say why samples that are made again may differ.

    Args:
        request: The request, as it was read.
        model: The model.

    Raises:
        InputError: If the request is that of a grid of another training run.
    """
    notes = []
    if request.version == __version__ and request.run not in (None, model.config.identity()):
        raise InputError(
            f"{request.source} is a grid of the training of another run, with other settings or data: give the model "
            f"of that run, or leave {option('like')} out"
        )
    if request.step not in (None, model.step):
        notes.append(
            f"{request.source} was made at step {request.step:,} of training; the model is of step {model.step:,}"
        )
    if request.version != __version__:
        version = " ".join(request.version.split())
        notes.append(f"{request.source} was made by ancestral {version}; version {__version__} may sample otherwise")
    return notes


def sampler_notes(stage: Stage) -> list[str]:
    """Say why the sampler does not suit a model that was distilled, or trained by an energy score or on a coupling."""
    config, sampler = stage.model.config, stage.sampler
    distil, energy = config.distil, config.train.energy
    if energy is not None:
        return answer_notes(stage)
    if not distil.method:
        return coupling_notes(stage.model) if _adds_noise(sampler) else []
    if DISTILLATIONS[distil.method].consistent:
        return [] if isinstance(sampler, samplers.Consistency) else [NOT_A_MEAN]
    suits = isinstance(sampler, samplers.DDIM) and sampler.steps == distil.evaluations
    advice = f"this model was distilled for {distil.evaluations} steps of ddim; other samples of it are worse"
    return [] if suits else [advice]


def answer_notes(stage: Stage) -> list[str]:
    """Say what a model that was trained by an energy score answers wrongly: by another sampler, or at other times, or
    without a condition.
    """
    energy = stage.model.config.train.energy
    return [] if energy is None else [*_time_notes(stage, energy["evaluations"]), *_absence_notes(stage)]


def _time_notes(stage: Stage, evaluations: int) -> list[str]:
    """Say that a sampler takes answers for means, or visits times at which the network was not trained."""
    sampler, steps = stage.sampler, len(stage.times) - 1
    if not (isinstance(sampler, samplers.Consistency) or (isinstance(sampler, samplers.DDIM) and sampler.eta == 1)):
        return [NOT_A_MEAN]
    trained = f"this model was trained to answer in {evaluations} evaluation{'s' * (evaluations > 1)}"
    return [f"{trained}: it knows nothing of the times of {steps}"] if evaluations % steps else []


def _absence_notes(stage: Stage) -> list[str]:
    """Say that a condition is absent that was there in all training."""
    spec = stage.model.spec
    absent = [name for name in spec.further if name not in stage.conditioning.names(spec)]
    if stage.model.config.train.condition_dropout or not absent:
        return []
    return [f"the model was trained with {absent[0]} for all items, and answers at random without: give it"]


def coupling_notes(model: TrainedModel) -> list[str]:
    """Say that a model was trained on pairs of a coupling, where that is not what a method assumes."""
    coupling = model.config.train.coupling
    text = f"the model was trained with {option('coupling', coupling)}: samplers with noise, and edits, take its ε̂ for"
    return [] if coupling == "independent" else [f"{text} the score, which it is not; take euler, heun or ddim"]


def _adds_noise(sampler: samplers.Sampler) -> bool:
    noisy = isinstance(sampler, samplers.DDPM | samplers.Langevin | samplers.PredictorCorrector)
    return noisy or any(getattr(sampler, name, 0) for name in ("eta", "ancestral", "churn"))


def guidance_notes(stage: Stage) -> list[str]:
    """Say which conditions guidance strengthens although the model never learned without them."""
    train, further, guidance = stage.model.config.train, stage.model.spec.further, stage.conditioning.guidance
    if guidance.off or guidance.weak is not None or (further and train.condition_dropout):
        return []
    names = [*stage.conditioning.values, *[stage.condition] * bool(stage.condition)]
    names += [LABEL] * (bool(stage.model.spec.classes) and not train.label_dropout)
    names = [name for name, scale in guidance.scales(names).items() if scale != 1]
    if not names:
        return []
    dropout = option("label_dropout" if names == [LABEL] else "condition_dropout", 0)
    return [
        f"{stage.model.name} was trained with {dropout}, so guidance compares with estimates without "
        f"{', '.join(names)} that it never learned: train with the default of that option, or leave guidance out"
    ]

"""The model card: README.md with the metadata by which the Hugging Face Hub lists and compares models."""

from ancestral.arguments import short_source
from ancestral.config import PLAIN_LOOP, Config, UNetConfig
from ancestral.data.arrays import NAMES
from ancestral.data.spec import DataSpec
from ancestral.model import Model
from ancestral.registries import NETWORKS, TARGETS
from ancestral.render import evaluation_text
from ancestral.render.managed_sections import mark_sections
from ancestral.render.templates import fill_template
from ancestral.results.evaluation_result import SHARES, EvaluationResult

FOLDER = "FOLDER"
"""Placeholder for the address of a model that is not on the Hub."""
PICTURE = "card.png"
"""The name of the picture of samples beside a card."""
COPIES = ("copies", "memorisation")
"""The beginnings of the titles of what is measured of copies."""


def describe_model(config: Config, spec: DataSpec, data: str) -> str:
    """Describe in a sentence, without its full stop, a model that is trained on data of that name."""
    kind = NAMES.get(len(spec.shape) - 1, "points")
    items = (
        f"{kind} of {'×'.join(map(str, spec.shape))}" if kind != "points" else f"points in {spec.shape[0]} dimensions"
    )
    net = "mlp" if kind == "points" and config.net.kind == "unet" else config.net.kind
    network = NETWORKS[net].text if net in NETWORKS else "a network"
    classes = f", in {len(spec.classes)} classes" if spec.classes else ""
    process, target = config.process, config.process.target
    predicted = TARGETS[target].text if target in TARGETS else "a target of its own"
    return (
        f"{network[0].upper()}{network[1:]} that turns noise into {items} like those of {data}{classes}: it predicts "
        f"{predicted} at {process.timesteps:,} noise levels of the {process.schedule} schedule"
    )


def model_card(model: Model, name: str, address: str, evaluation: EvaluationResult, picture: str | None = None) -> str:
    """Write the text of a card, with its generated sections between marks.

    Args:
        model: The model.
        name: The title of the card.
        address: Where the model can be loaded from: hf://user/repo, or FOLDER.
        evaluation: What was measured of the model; the rest is left out.
        picture: The name of a picture of samples beside the card.
    """
    config, process, spec = model.config, model.config.process, model.spec
    net, kind = config.net, NAMES.get(len(spec.shape) - 1, "points")
    unet = isinstance(net, UNetConfig) and kind == "images" and net.patch == 1 and net.groups
    known = process.target in ("eps", "x0", "v") and process.schedule_name in ("linear", "cosine", "sigmoid")
    samples = evaluation.samples
    others = {} if samples is None else evaluation_text.other_metrics(samples)
    values = {
        "name": name,
        "address": address,
        "model": model,
        "kind": kind,
        "description": describe_model(config, spec, short_source(config.data.source)),
        "classes": spec.classes,
        "data": short_source(config.data.source),
        "flip": config.data.flip,
        "training": _training(model),
        "for_diffusers": unet and known and not process.learned_variance,
        "results": _results(evaluation, spec.codec.uniform_bits),
        "picture": picture,
        "samples": samples,
        "words": evaluation_text,
        "others": {title: text for title, text in others.items() if not title.startswith(COPIES)},
        "memorised": {title: text for title, text in others.items() if title.startswith(COPIES)},
        "likelihood": evaluation.likelihood,
        "notes": [note for part in evaluation.measured for note in part.all_notes],
    }
    return mark_sections(fill_template("model_card.yaml", **values), fill_template("model_card.md", **values))


def _results(evaluation: EvaluationResult, uniform_bits: float) -> list[tuple[str, list[tuple[str, str, float]]]]:
    """Each reference set with each metric's identifier on the Hub, title and value.

    Bits/dim above those of a uniform guess rank no model, so they are only in the text.
    """
    results = []
    if (samples := evaluation.samples) is not None:
        titles = {"frechet": samples.titles.frechet, "kernel": samples.titles.kernel, **{name: name for name in SHARES}}
        how = f"{samples.samples.count:,} samples"
        sets = ((samples.data.train, samples.distances.train), (samples.data.held_out, samples.distances.held_out))
        for dataset, distances in sets:
            if dataset is not None and distances is not None:
                numbers = [(title, getattr(distances, name)) for name, title in titles.items()]
                known = [(title.lower(), f"{title}, {how}", one.value) for title, one in numbers if one is not None]
                results.append((dataset, known))
    if (likelihood := evaluation.likelihood) is not None:
        bits = likelihood.bits_per_dim.total.value
        if bits <= uniform_bits:
            items = evaluation_text.likelihood_items(likelihood.data)
            results.append((items, [("bits_per_dim", "bits/dim, variational bound", bits)]))
    return results


def _training(model: Model) -> dict[str, str]:
    config, process, train = model.config, model.config.process, model.config.train
    if config.preset == "imported":
        return {"trained": "elsewhere, and imported"}
    described = f"{process.schedule} schedule, T = {process.timesteps:,}, target {process.target}"
    described += ", x_0 clipped in the loss" if process.clip else ""
    described += ", learned variance" if process.learned_variance else ""
    if config.preset == PLAIN_LOOP:
        return {"trained": "in a loop of its own", "process": described}
    return {
        "preset": config.preset,
        "steps": f"{model.step:,} of {train.steps:,}, {train.batch_size:,} items each",
        "learning rate": f"{train.lr:g}, warm-up {train.warmup:,} steps, decay {train.decay}",
        "average of the weights": f"{train.ema:g}"
        if model.average is None
        else f"power function of length {model.average:g}, chosen after training",
        "network": str(config.net),
        "process": described,
        "times and weighting": f"{train.times}{', continuous' if train.continuous else ''}, {train.weighting}",
        "precision": train.precision,
        "seed": str(train.seed),
    }

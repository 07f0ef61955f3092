"""The text of a model card: README.md with the front matter by which the Hugging Face Hub lists and compares models."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ancestral.config import Config
from ancestral.data.arrays import NAMES
from ancestral.data.dataset import one_line
from ancestral.render.card.managed_sections import marked
from ancestral.results import EvaluationResult
from ancestral.results.estimate import short_source
from ancestral.results.evaluation_result import SHARES

FOLDER = "FOLDER"
"""What stands for the place of a model that is nowhere but on its owner's disk."""
DENSE = ("eps", "x0", "v")
"""Targets that diffusers knows."""
TARGETS = {
    "eps": "the noise ε",
    "x0": "the clean item x_0",
    "v": "v",
    "score": "the score",
    "flow": "the velocity of a flow",
    "edm": "EDM's F",
}
"""What a network predicts, in words."""


@dataclass(frozen=True)
class About:
    """A model, as far as its card tells of it."""

    name: str
    place: str
    """hf://user/repo, or FOLDER."""
    config: Config
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    step: int
    version: str
    parameters: int


def card(about: About, found: EvaluationResult) -> str:
    """The card, its generated parts between marks. What was not measured is left out."""
    return marked("".join(_front(about, found)), "".join(_body(about, found)))


def _front(about: About, found: EvaluationResult) -> Iterator[str]:
    """The metadata. Texts are written as JSON, which is YAML too, so that no name can break out of its place."""
    yield "library_name: ancestral\ntags:\n- ddpm\n- diffusion\n"
    if len(about.shape) == 3:
        task = "class-conditional" if about.classes else "unconditional"
        yield f"- {task}-image-generation\n" if about.classes else ""
        yield "- unconditional-image-generation\npipeline_tag: unconditional-image-generation\n"
    results = [*_results(found)]
    if not results:
        return
    yield f"model-index:\n- name: {_yaml(about.name)}\n  results:\n"
    task = f"unconditional-{_kind(about)[:-1]}-generation"
    for dataset, metrics in results:
        yield f"  - task:\n      type: {task}\n    dataset:\n      name: {_yaml(dataset)}\n"
        yield f"      type: {_yaml(_data(about.config))}\n    metrics:\n"
        for kind, name, value in metrics:
            yield f"    - type: {_yaml(kind)}\n      name: {_yaml(name)}\n      value: {value:.6g}\n"


def _results(found: EvaluationResult) -> Iterator[tuple[str, list[tuple[str, str, float]]]]:
    """The numbers for each set of data: the metric's identifier on the Hub, what it is called, its value."""
    if found.samples is not None:
        samples, how = found.samples, f"{found.samples.samples.count:,} samples"
        titles = {"frechet": samples.titles.frechet, "kernel": samples.titles.kernel, **{name: name for name in SHARES}}
        sets = ((samples.data.train, samples.distances.train), (samples.data.held_out, samples.distances.held_out))
        for dataset, distances in sets:
            if dataset is not None and distances is not None:
                numbers = [(title, getattr(distances, name).value) for name, title in titles.items()]
                yield dataset, [(title.lower(), f"{title}, {how}", value) for title, value in numbers]
    if found.likelihood is not None:
        bits = found.likelihood.bits_per_dim.total.value
        yield str(found.likelihood.data), [("bits_per_dim", "bits/dim, variational bound", bits)]


def _body(about: About, found: EvaluationResult) -> Iterator[str]:
    config, process = about.config, about.config.process
    sides, kind = "×".join(str(side) for side in about.shape), _kind(about)
    items = f"{kind} of {sides}" if len(about.shape) > 1 else f"{kind} in {sides} dimensions"
    net = "An MLP" if len(about.shape) == 1 else "A U-Net"
    yield f"# {_plain(about.name)}\n\n"
    yield (
        f"{net} of {about.parameters:,} parameters that turns noise into {items} like those of "
        f"{_plain(_data(config))}. It predicts {TARGETS[process.target]} at {process.timesteps:,} noise levels of the "
        f"{process.schedule} schedule, and was trained for {about.step:,} steps with ancestral {about.version}.\n"
    )
    if about.classes:
        names = ", ".join(map(_plain, about.classes[:20])) + (", …" if len(about.classes) > 20 else "")
        yield f"\nClasses: {names}.\n"
    yield "\n## Use\n\n"
    package = "'ancestral[hub]'" if about.place.startswith("hf://") else "ancestral"
    yield f"    pip install {package}\n"
    yield f"    ancestral sample {about.place}\n\nor in Python:\n\n"
    yield f'    import ancestral\n\n    images = ancestral.load("{about.place}").sample(16)\n'
    yield "\n" + _elsewhere(about)
    if about.place == FOLDER:
        yield f"\n`{FOLDER}` is the folder of this file.\n"
    yield "\n## Data\n\n" + _data_words(about, found) + "\n"
    yield "\n## Training\n\n" + _rows(_training(about))
    yield from _evaluation(found)
    yield "\n## Limits\n\n"
    yield from (f"- {limit}\n" for limit in _limits(found))


def _evaluation(found: EvaluationResult) -> Iterator[str]:
    """Numbers and their uncertainties."""
    if found.samples is not None:
        table, rest = found.samples.distance_table(), found.samples.other_metrics()
        at = f"at step {found.samples.model.step:,}" if found.samples.model is not None else "without a model"
        yield f"\n## Evaluation\n\nMeasured {at}; ± is the standard error.\n\n"
        yield _rows(found.samples.settings()) + "\n"
        yield "| " + " | ".join(table.columns) + " |\n|" + "---|" * len(table.columns) + "\n"
        yield from ("| " + " | ".join(map(_plain, row)) + " |\n" for row in table.rows)
        memorised = {name: text for name, text in rest.items() if name.startswith("memorisation")}
        yield "\n" + _rows({name: text for name, text in rest.items() if name not in memorised})
        yield "\n## Memorisation\n\n" + _rows(memorised)
        if found.samples.data.held_out is None:
            yield (
                "\nNothing was held out, so half of the training data stands in for unseen items, and copies of the "
                "other half alone can be found: a model that copies all has a share of about a half.\n"
            )
    if found.likelihood is not None:
        yield "\n## Likelihood\n\n" + _rows(found.likelihood.summary())


def _limits(found: EvaluationResult) -> Iterator[str]:
    yield "It knows its training data and nothing else: what is rare or missing there is so in its samples."
    if found.samples is None:
        yield "How good its samples are was not measured: `ancestral evaluate` does."
    else:
        yield (
            "Numbers on other features, other reference data, another count or another sampler cannot be compared with "
            "these."
        )
    for part in found.measured:
        yield from map(_plain, part.all_notes)


def _training(about: About) -> dict[str, str]:
    config = about.config
    net, process, train = config.net, config.process, config.train
    if config.preset == "imported":
        return {"trained": "elsewhere, and imported"}
    levels = f", {'·'.join(map(str, net.mults))} of it at each level" if len(about.shape) > 1 else ""
    return {
        "preset": config.preset,
        "steps": f"{about.step:,} of {train.steps:,}, {train.batch_size:,} items each",
        "learning rate": f"{train.lr:g}, warm-up {train.warmup:,} steps, decay {train.decay}",
        "average of the weights": f"{train.ema:g}",
        "network": f"width {net.width}{levels}, {net.blocks} blocks, patch {net.patch}, dropout {net.dropout:g}",
        "process": f"{process.schedule} schedule, T = {process.timesteps:,}, target {process.target}"
        + (", x_0 clipped in the loss" if process.clip else "")
        + (", learned variance" if process.learned_variance else ""),
        "times and weighting": f"{train.times}, {train.weighting}",
        "precision": train.precision,
        "seed": str(train.seed),
    }


def _data_words(about: About, found: EvaluationResult) -> str:
    config = about.config.data
    text = f"Trained on {_plain(_data(about.config))}"
    if found.samples is not None:
        text += f" (compared with {_plain(found.samples.data.train)})"
    text += ", mirrored at random" if config.flip else ""
    return text + (f", with labels of {len(about.classes)} classes." if about.classes else ", without labels.")


def _elsewhere(about: About) -> str:
    """How other programs get at it."""
    net, process = about.config.net, about.config.process
    images = len(about.shape) == 3 and net.patch == 1 and process.target in DENSE and not process.learned_variance
    if images and process.schedule in ("linear", "cosine", "sigmoid") and net.groups:
        label = f" --label {json.dumps(about.classes[0])}" if about.classes else ""
        return (
            f"For diffusers: `ancestral export {about.place}{label} --out diffusers`, then\n\n"
            '    from diffusers import DDPMPipeline\n\n    DDPMPipeline.from_pretrained("diffusers")().images[0]\n'
        )
    return f"For other programs: `ancestral export {about.place} --to onnx`.\n"


def _kind(about: About) -> str:
    return NAMES.get(len(about.shape) - 1, "points")


def _data(config: Config) -> str:
    """The name of the data, without the folders of the machine that it lay on."""
    return short_source(config.data.source)


def _rows(rows: Mapping[str, str]) -> str:
    """A table of two columns."""
    lines = [f"| {_plain(name)} | {_plain(text)} |\n" for name, text in rows.items()]
    return "| | |\n|---|---|\n" + "".join(lines) if lines else ""


def _plain(text: Any) -> str:
    """A text in one line that is no markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", one_line(text))


def _yaml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

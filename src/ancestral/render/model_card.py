"""The model card: README.md with the metadata by which the Hugging Face Hub lists and compares models."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ancestral.config import Config, UNetConfig
from ancestral.data.sources.arrays import NAMES
from ancestral.errors import one_line
from ancestral.render import summary as words
from ancestral.render.managed_sections import mark_sections
from ancestral.render.summary import Found

FOLDER = "FOLDER"
"""Placeholder for the address of a model that is not on the Hub."""
TARGETS = {
    "eps": "the noise ε",
    "x0": "the clean item x_0",
    "v": "v",
    "score": "the score",
    "flow": "the velocity of a flow",
    "edm": "EDM's F",
}
"""The names of the targets."""


@dataclass(frozen=True)
class CardFacts:
    """What a card says of a model. `address` is hf://user/repo or FOLDER."""

    name: str
    address: str
    config: Config
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    step: int
    version: str
    parameters: int


def model_card(facts: CardFacts, found: Found) -> str:
    """Write the text of a card, with its generated sections between marks.

    Args:
        facts: The model.
        found: Its evaluations, which may be empty.
    """
    return mark_sections("".join(_front(facts, found)), "".join(_body(facts, found)))


def _front(facts: CardFacts, found: Found) -> Iterator[str]:
    """The metadata. Texts are JSON, which is valid YAML, so that no name can change the structure."""
    yield "library_name: ancestral\ntags:\n- ddpm\n- diffusion\n"
    if len(facts.shape) == 3:
        task = "class-conditional" if facts.classes else "unconditional"
        yield f"- {task}-image-generation\n" if facts.classes else ""
        yield "- unconditional-image-generation\npipeline_tag: unconditional-image-generation\n"
    results = [*_results(found)]
    if not results:
        return
    yield f"model-index:\n- name: {_yaml(facts.name)}\n  results:\n"
    task = f"unconditional-{_kind(facts)[:-1]}-generation"
    for dataset, metrics in results:
        yield f"  - task:\n      type: {task}\n    dataset:\n      name: {_yaml(dataset)}\n"
        yield f"      type: {_yaml(_data(facts.config))}\n    metrics:\n"
        for kind, name, value in metrics:
            yield f"    - type: {_yaml(kind)}\n      name: {_yaml(name)}\n      value: {value:.6g}\n"


def _results(found: Found) -> Iterator[tuple[str, list[tuple[str, str, float]]]]:
    """For each reference set: its name, and each metric's identifier on the Hub, title and value."""
    if found.samples is not None:
        tree = found.samples
        how = f"{tree['samples']['count']:,} samples"
        for column, dataset in (("train", tree["data"]["train"]), ("held_out", tree["data"]["held_out"])):
            numbers = tree["distances"].get(column)
            if numbers:
                titles = {name: str(tree["titles"][name]) for name in ("frechet", "kernel")}
                titles |= {name: name for name in words.TITLES}
                yield (
                    str(dataset),
                    [
                        (title.lower(), f"{title}, {how}", float(numbers[name]["value"]))
                        for name, title in titles.items()
                    ],
                )
    if found.likelihood is not None:
        tree = found.likelihood
        bits = float(tree["bits_per_dim"]["total"]["mean"])
        yield words.about_likelihood(tree)["data"], [("bits_per_dim", "bits/dim, variational bound", bits)]


def _body(facts: CardFacts, found: Found) -> Iterator[str]:
    config, process = facts.config, facts.config.process
    sides, kind = "×".join(str(side) for side in facts.shape), _kind(facts)
    items = f"{kind} of {sides}" if len(facts.shape) > 1 else f"{kind} in {sides} dimensions"
    net = "An MLP" if len(facts.shape) == 1 else "A U-Net"
    yield f"# {_plain(facts.name)}\n\n"
    yield (
        f"{net} of {facts.parameters:,} parameters that turns noise into {items} like those of "
        f"{_plain(_data(config))}. It predicts {TARGETS[process.target]} at {process.timesteps:,} noise levels of the "
        f"{process.schedule} schedule, and was trained for {facts.step:,} steps with ancestral {facts.version}.\n"
    )
    if facts.classes:
        names = ", ".join(map(_plain, facts.classes[:20])) + (", …" if len(facts.classes) > 20 else "")
        yield f"\nClasses: {names}.\n"
    yield "\n## Use\n\n"
    package = "'ancestral[hub]'" if facts.address.startswith("hf://") else "ancestral"
    yield f"    pip install {package}\n"
    yield f"    ancestral sample {facts.address}\n\nor in Python:\n\n"
    yield f'    import ancestral\n\n    images = ancestral.load("{facts.address}").sample(16)\n'
    yield "\n" + _export(facts)
    if facts.address == FOLDER:
        yield f"\n`{FOLDER}` is the folder of this file.\n"
    yield "\n## Data\n\n" + _data_sentence(facts, found) + "\n"
    yield "\n## Training\n\n" + _rows(_training(facts))
    yield from _evaluation(found)
    yield "\n## Limits\n\n"
    yield from (f"- {limit}\n" for limit in _limits(found))


def _evaluation(found: Found) -> Iterator[str]:
    """Numbers and their uncertainties."""
    if found.samples is not None:
        tree, table = found.samples, words.table(found.samples)
        yield f"\n## Evaluation\n\nMeasured at step {words.step(tree):,}; ± is the standard error.\n\n"
        yield _rows(words.setting(tree)) + "\n"
        yield "| | " + " | ".join(table.columns) + " |\n|" + "---|" * (len(table.columns) + 1) + "\n"
        yield from ("| " + " | ".join(map(_plain, row)) + " |\n" for row in table.rows)
        rest = words.others(tree)
        memorised = {name: text for name, text in rest.items() if name.startswith("memorisation")}
        yield "\n" + _rows({name: text for name, text in rest.items() if name not in memorised})
        yield "\n## Memorisation\n\n" + _rows(memorised)
        if tree["floor"] != "held-out data":
            yield (
                "\nNo data were held out, so half of the training data stands in for unseen items, and only copies of "
                "the other half can be found: a model that copies everything has a share of about a half.\n"
            )
    if found.likelihood is not None:
        yield "\n## Likelihood\n\n" + _rows(words.about_likelihood(found.likelihood))


def _limits(found: Found) -> Iterator[str]:
    yield "It models its training data and nothing else: what is rare or missing there is so in its samples."
    if found.samples is None:
        yield "The quality of its samples was not measured; `ancestral evaluate` measures it."
    else:
        yield (
            "These numbers are comparable only with numbers for the same features, reference data, number of samples "
            "and sampler."
        )
    for tree in (found.samples, found.likelihood):
        yield from (_plain(note) for note in (words.notes(tree) if tree is not None else []))


def _training(facts: CardFacts) -> dict[str, str]:
    config = facts.config
    net, process, train = config.net, config.process, config.train
    if config.preset == "imported":
        return {"trained": "elsewhere, and imported"}
    return {
        "preset": config.preset,
        "steps": f"{facts.step:,} of {train.steps:,}, {train.batch_size:,} items each",
        "learning rate": f"{train.lr:g}, warm-up {train.warmup:,} steps, decay {train.decay}",
        "average of the weights": f"{train.ema:g}",
        "network": str(net),
        "process": f"{process.schedule} schedule, T = {process.timesteps:,}, target {process.target}"
        + (", x_0 clipped in the loss" if process.clip else "")
        + (", learned variance" if process.learned_variance else ""),
        "times and weighting": f"{train.times}, {train.weighting}",
        "precision": train.precision,
        "seed": str(train.seed),
    }


def _data_sentence(facts: CardFacts, found: Found) -> str:
    config = facts.config.data
    text = f"Trained on {_plain(_data(facts.config))}"
    if found.samples is not None:
        text += f" (measured against {_plain(found.samples['data']['train'])})"
    text += ", mirrored at random" if config.flip else ""
    return text + (f", with labels of {len(facts.classes)} classes." if facts.classes else ", without labels.")


def _export(facts: CardFacts) -> str:
    """How to use the model in other programs."""
    net, process = facts.config.net, facts.config.process
    unet = isinstance(net, UNetConfig) and len(facts.shape) == 3 and net.patch == 1 and net.groups
    target = process.target in ("eps", "x0", "v") and not process.learned_variance
    if unet and target and process.schedule in ("linear", "cosine", "sigmoid"):
        label = f" --label {json.dumps(facts.classes[0])}" if facts.classes else ""
        return (
            f"For diffusers: `ancestral export {facts.address}{label} --out diffusers`, then\n\n"
            '    from diffusers import DDPMPipeline\n\n    DDPMPipeline.from_pretrained("diffusers")().images[0]\n'
        )
    return f"For other programs: `ancestral export {facts.address} --to onnx`.\n"


def _kind(facts: CardFacts) -> str:
    return NAMES.get(len(facts.shape) - 1, "points")


def _data(config: Config) -> str:
    """The name of the data without its path."""
    return words.short(config.data.source)


def _rows(rows: Mapping[str, str]) -> str:
    """A Markdown table of two columns."""
    lines = [f"| {_plain(name)} | {_plain(text)} |\n" for name, text in rows.items()]
    return "| | |\n|---|---|\n" + "".join(lines) if lines else ""


def _plain(text: Any) -> str:
    """A text on one line with its markup escaped."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", one_line(text))


def _yaml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

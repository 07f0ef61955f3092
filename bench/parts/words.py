"""Do samples obey their captions? Scenes of the preset, conditioned on words and on a bag of words.

Each seed trains the preset `scenes` from scratch, with the captions as words, and once more with the counts of the
words as a vector in their place (a bag). A program then reads 200 samples for each kind of captions and each scale of
guidance: two shapes whose pairs of shape and colour are in the training split ("known"), captions with a pair that
never occurs there ("new"), and known captions twice, with the colours of both shapes exchanged the second time and the
noise the same ("swapped"): there both samples have to obey. A bag cannot tell these two captions apart. The program
finds all drawn scenes right ("drawn"), and nearly none with the caption of another one ("others").

The CPU time is that of the whole training, with data, checkpoints and previews. A run stays in bench/out/words, with
pictures, and is read from there the next time.
"""

import argparse
import math
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ancestral
from ancestral.data.sources import scenes
from ancestral.data.sources.scenes import Scene
from ancestral.model import Model
from ancestral.render import pictures
from ancestral.vocabulary import words
from measure import OUT, record_row

CONDITIONS = ("words", "bag")
GUIDANCE = (1.0, 2.0, 4.0)
PAIRS = {"pair": 1.0}
"""The scenes whose captions samples are given: those of two shapes."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the part."""
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="seeds (default: 0 1)")
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), choices=CONDITIONS, help="what is given")
    parser.add_argument("--guidance", type=float, nargs="+", default=list(GUIDANCE), help="scales (default: 1 2 4)")
    parser.add_argument("--samples", type=int, default=200, help="samples of each kind of captions (default: 200)")
    parser.add_argument("--steps", type=int, help="number of training steps (default: the preset's)")


def run(options: argparse.Namespace) -> None:
    """Train and count for each seed and condition, and record the rows."""
    torch.set_num_threads(1)
    for seed in options.seeds:
        for condition in options.conditions:
            folder = OUT / "words" / f"{condition}-{options.steps or 'preset'}-seed{seed}"
            row = {"condition": condition, "seed": seed, **train(condition, seed, options.steps, folder)}
            row["counts"] = counts(ancestral.load(folder), condition, options.samples, options.guidance, folder)
            if options.steps is None:
                record_row("words", row, ("condition", "seed"), 1)


def bag(captions: list[str]) -> Tensor:
    """Count the words of captions, float32 (N, words): of those that occur in scenes."""
    index = {word: column for column, word in enumerate(_words())}
    table = torch.zeros(len(captions), len(index))
    for row, caption in zip(table, captions, strict=True):
        for word, count in Counter(words(caption)).items():
            row[index[word]] = count
    return table


def _words() -> list[str]:
    texts = [*scenes.COLOURS, *scenes.SHAPES, *scenes.PLURALS.values(), *scenes.RELATIONS, *scenes.NUMBERS, "a"]
    return sorted({word for text in texts for word in words(text)})


def train(condition: str, seed: int, steps: int | None, folder: Path) -> dict[str, Any]:
    """Train the preset, unless the folder has the run already; return its steps, CPU seconds and parameters."""
    note = folder / "cpu-seconds.txt"
    if not note.is_file():
        data = None
        if condition == "bag":
            dataset, columns = scenes.scenes()
            captions = [texts[0] for texts in columns["caption"]]
            data = dataset.items, {"caption": bag(captions)}
        began = time.process_time()
        settings: dict[str, Any] = {} if steps is None else {"steps": steps}
        result = ancestral.train("scenes", data, out=folder, seed=seed, threads=1, progress=False, **settings)
        if result.stopped:
            raise SystemExit(1)
        note.write_text(f"{time.process_time() - began:.1f}")
    model, seconds = ancestral.load(folder), float(note.read_text())
    print(f"{condition}, seed {seed}: {model.config.train.steps} steps in {seconds:.0f} CPU-s", flush=True)
    return {"steps": model.config.train.steps, "cpu_seconds": seconds, "parameters": model.parameters}


def counts(
    model: Model, condition: str, samples: int, scales: list[float], folder: Path
) -> dict[str, dict[str, list[float]]]:
    """Count how many samples obey: the share, its standard error and their number, by captions and guidance."""
    (known, made), (new, new_made) = (scenes.make(samples, new, 99, PAIRS) for new in (False, True))
    captions = {"known": [scene.captions[0] for scene in made], "new": [scene.captions[0] for scene in new_made]}
    table = {"drawn": {"": _share(torch.cat([*map(scenes.obeys, (known, new), captions.values())]))}}
    table["others"] = {"": _share(scenes.obeys(known, captions["known"][1:] + captions["known"][:1]))}
    swaps = [pair for pair in map(swapped, made) if pair is not None]
    first, second = ([pair[number] for pair in swaps] for number in range(2))
    for scale in scales:
        for kind, texts in captions.items():
            images = sampled(model, condition, texts, scale)
            table.setdefault(kind, {})[f"{scale:g}"] = _share(scenes.obeys(images, texts))
            pictures.picture(images[:40], 8, 0).save(folder / f"{kind}-guidance{scale:g}.png")
        follow = [scenes.obeys(sampled(model, condition, texts, scale), texts) for texts in (first, second)]
        table.setdefault("swapped", {})[f"{scale:g}"] = _share(follow[0] & follow[1])
    for kind, shares in table.items():
        values = [
            f"{name and f'guidance {name}: '}{share:.3f} ± {error:.3f}" for name, (share, error, _) in shares.items()
        ]
        print(f"  {kind}: {', '.join(values)}", flush=True)
    return table


def swapped(scene: Scene) -> tuple[str, str] | None:
    """Return the captions of a scene, and of that with the colours exchanged; None if one is new or both are alike."""
    (shape, colour), (shape2, colour2) = scene.shapes
    other = Scene(((shape, colour2), (shape2, colour)), scene.relation)
    return None if other.is_new or shape == shape2 else (scene.captions[0], other.captions[0])


def sampled(model: Model, condition: str, captions: list[str], scale: float) -> Tensor:
    """Draw a sample for each caption, uint8 (N, 3, 32, 32)."""
    value: Any = captions if condition == "words" else bag(captions)
    images: Tensor = model.sample(len(captions), given={"caption": value}, guidance={"caption": scale}, seed=1)
    return images


def _share(obeying: Tensor) -> list[float]:
    """The share of samples that obey, its standard error, and the number of samples."""
    share = float(np.mean(obeying.tolist()))
    return [share, math.sqrt(share * (1 - share) / len(obeying)), len(obeying)]

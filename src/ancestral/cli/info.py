"""`ancestral info RUN`: what a run or a model file holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from ancestral.cli.parse import parse


@dataclass(frozen=True)
class Options:
    """Show what a run or a model file holds."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Run folder, its model.safetensors, or hf://user/repo."""


def main(argv: Sequence[str]) -> int:
    """Print the facts, and return the exit code."""
    options = parse(Options, argv, "info")
    from rich.console import Console
    from rich.table import Table

    from ancestral import hub
    from ancestral import model as models

    path = models.find(options.run)
    model = models.load(path, "cpu")
    config, facts, schedule = model.config, model.spec, model.denoiser.schedule
    low, high = facts.codec.limits
    rows = {
        "model": options.run if hub.is_address(options.run) else str(path),
        "preset": config.preset,
        "trained": f"elsewhere; imported from {config.data.source}"
        if config.preset == "imported"
        else f"{model.step:,} of {config.train.steps:,} steps of {config.train.batch_size} "
        f"on {config.data.source}, seed {config.train.seed}",
        "item": "x".join(str(side) for side in facts.shape) + f", {facts.codec.kind} from {low:g} to {high:g}",
        "classes": ", ".join(facts.classes) or "none",
        "network": f"{sum(p.numel() for p in model.denoiser.parameters()):,} parameters, width {config.net.width}",
        "schedule": f"{schedule.spec['name']}, T = {schedule.steps}; x_T has {float(schedule.signal[-1]):.2g} of x_0",
        "target": model.denoiser.target.name + (", x_0 clipped in the loss" if config.process.clip else ""),
        "mean": " ".join(str(value) for value in facts.mean) or "not kept",
        "file": f"{path.stat().st_size / 1e6:.1f} MB, written by ancestral {model.version}",
    }
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    for name, value in rows.items():
        table.add_row(name, value)
    Console(soft_wrap=True, markup=False, emoji=False).print(table, highlight=False)
    return 0

"""What training on a data set would cost, measured in a few steps before the training."""

import dataclasses
from collections.abc import Sequence

from ancestral.base.device import cpu_threads, pick_device
from ancestral.base.errors import InputError
from ancestral.base.options import command_line, option
from ancestral.base.quantities import format_duration
from ancestral.config import Config, LatentConfig, by_size
from ancestral.config.run_files import TrainingCost
from ancestral.data import Dataset
from ancestral.declarations import Inspect
from ancestral.model import build_autoencoder
from ancestral.results.data_report import Finding
from ancestral.training import Trainer
from ancestral.training.step_cost import choose_checkpointing, step_memory, training_cost
from ancestral.use_cases.training.autoencoding import seconds_of_autoencoder
from ancestral.use_cases.training.plan_training import with_autoencoder

MEASURED_ITEMS = 256
"""Number of items on which training steps are measured."""


def judged_cost(
    options: Inspect, config: Config, dataset: Dataset, shape: Sequence[int], rows: list[Finding]
) -> tuple[Config, TrainingCost | None]:
    """Complete the config by the size of the items, and measure what training on them costs.

    Args:
        options: The options of the inspection.
        config: The config.
        dataset: The data.
        shape: The shape of an item.
        rows: What was found of the data, to which is added what is found of the training.

    Returns:
        The config, and the cost; None if it is not measured.
    """
    kind, autoencoder, help_line = pick_device(options.device).type, None, f"see {_help(config)}"
    try:
        config, taken = with_autoencoder(config, options.settings)
        if config.latent.latent is not None:
            autoencoder = build_autoencoder(config.latent, dataset.spec, taken=taken)
            shape = autoencoder.latent_shape(shape)
    except InputError as error:
        rows.append(Finding("refused", "error", error.text, help_line))
        config, taken = dataclasses.replace(config, latent=LatentConfig()), None
    note, config = by_size.explain(config, shape, kind), by_size.complete(config, shape, kind)
    if not options.steps or any(row.level == "error" for row in rows):
        return config, None
    try:
        trainer = Trainer(config, dataset.sample(MEASURED_ITEMS), options.device, autoencoder=autoencoder)
        memory, checkpointing = choose_checkpointing(trainer, step_memory(trainer, len(dataset)))
        note = "; ".join(filter(None, (note, checkpointing)))
        with cpu_threads(config.runtime.threads):  # as training does
            cost = training_cost(trainer, len(dataset), memory, options.steps, note)
            if autoencoder is not None and taken is None:
                duration = format_duration(seconds_of_autoencoder(trainer))
                text = f"first an autoencoder is trained, {config.latent}: {config.latent.latent_steps:,} steps, "
                advice = f"{option('latent', 'RUN')} takes that of another run"
                rows.append(Finding("latents", "note", f"{text}about {duration}", advice))
    except InputError as error:
        rows.append(Finding("refused", "error", error.text, help_line))
        return config, None
    return config, cost


def _help(config: Config) -> str:
    return command_line("train", config.preset, help=True)

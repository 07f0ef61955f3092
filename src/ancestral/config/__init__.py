"""What a run is: one frozen tree of dataclasses (`tree`), and the presets that return one (`presets`)."""

from ancestral.config.presets import (
    METHODS,
    PAPERS,
    POINTS,
    PRESETS,
    arrays,
    cifar10,
    digits,
    fashion,
    folder,
    points,
    preset,
    suiting,
)
from ancestral.config.schema import (
    Config,
    DataConfig,
    NetConfig,
    ProcessConfig,
    RuntimeConfig,
    SampleConfig,
    TrainConfig,
)

__all__ = [
    "METHODS",
    "PAPERS",
    "POINTS",
    "PRESETS",
    "Config",
    "DataConfig",
    "NetConfig",
    "ProcessConfig",
    "RuntimeConfig",
    "SampleConfig",
    "TrainConfig",
    "arrays",
    "cifar10",
    "digits",
    "fashion",
    "folder",
    "points",
    "preset",
    "suiting",
]

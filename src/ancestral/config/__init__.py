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
from ancestral.config.tree import (
    Config,
    DataConfig,
    EngineConfig,
    NetConfig,
    ProcessConfig,
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
    "EngineConfig",
    "NetConfig",
    "ProcessConfig",
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

"""Settings of a training run in a JSON file: a whole config, or some settings that change a preset."""

from pathlib import Path
from typing import Any

from ancestral.arguments import read_json
from ancestral.config.presets import default_preset, is_data, preset
from ancestral.config.schema import SECTIONS, Config
from ancestral.errors import InputError


def read_config(path: Path, base: Config | None = None, source: str = "") -> Config:
    """Read the config of a training run from a JSON file.

    Args:
        path: A file that holds all sections of a config, such as the config.json of a run; or one that holds some
            settings, by name or in sections: {"preset": "digits", "steps": 200, "net": {"width": 64}}.
        base: The config that some settings change. None is the preset that the file names, or the one for the data.
        source: The data source; "" is the file's.

    Returns:
        The config, which is not checked yet.

    Raises:
        InputError: If the file cannot be read, has a setting or value that a config cannot have, or is for another
            preset than `base`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the config {path}: {getattr(error, 'strerror', None) or error}") from None
    tree = read_json(text, str(path))
    named = tree.get("preset")
    if base is not None and named not in (None, base.preset):
        raise InputError(f"{path} is for the preset {named}, not {base.preset}; leave one of the two out")
    if set(SECTIONS) <= set(tree):
        return Config.from_json(text, str(path))
    settings = _flat({name: value for name, value in tree.items() if name != "preset"})
    if base is None:
        base = preset(str(named) if named else default_preset(source or str(settings.get("source", "digits"))))
    try:
        return base.with_net(settings.pop("kind", None)).with_settings(**settings)
    except InputError as error:
        raise InputError(f"{path}: {error.text}") from None


def preset_and_data(config: str | Config | None, data: Any) -> tuple[str | Config | None, Any]:
    """Take data that are named in the place of the preset for data.

    Raises:
        InputError: If data are named twice.
    """
    if not isinstance(config, str) or not is_data(config):
        return config, data
    if data is not None:
        raise InputError(f"the data are given twice, {config} and {data}; give one of them")
    return None, config


def base_config(config: str | Config | None = None, data: Any = None, file: str | Path | None = None) -> Config:
    """Return the config whose settings are the defaults of a training run.

    Args:
        config: A preset, a config or a .json file; None is the preset for the data, or digits without data.
        data: A name or path, or data from Python.
        file: A .json file that changes the preset.

    Raises:
        InputError: If there is no such preset, or the file cannot be read or is for another one.
    """
    config, data = preset_and_data(config, data)
    if isinstance(config, str) and config.endswith(".json"):
        config, file = None, file or config
    base = preset(config) if isinstance(config, str) else config
    if file is not None:
        return read_config(Path(file), base, str(data) if isinstance(data, str | Path) else "")
    return base or preset(default_preset("digits" if data is None else data))


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    """Settings by name, out of sections too; "data" and "net" alone are the source and the kind of network."""
    settings: dict[str, Any] = {}
    for name, value in tree.items():
        if name in SECTIONS and isinstance(value, dict):
            settings |= value
        else:
            settings[{"data": "source", "net": "kind"}.get(name, name)] = value
    return settings

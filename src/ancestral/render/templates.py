"""Templates of the report and of the model card."""

import functools
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ancestral.base.errors import one_line
from ancestral.base.options import on_command_line, spell

if TYPE_CHECKING:
    from jinja2 import Template


def fill_template(file: str, /, **values: Any) -> str:
    """Fill a Jinja template of this package; in HTML, values are escaped."""
    return spell(_template(file).render(values), on_command_line)


@functools.cache
def _template(file: str) -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=file.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not file.endswith(".html"),
    )
    environment.filters["plain"] = _plain_markdown
    environment.filters["json"] = lambda text: json.dumps(text, ensure_ascii=False)  # valid YAML, whatever it holds
    return environment.from_string(files("ancestral.render").joinpath(file).read_text("utf-8"))


def _plain_markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", one_line(spell(text, on_command_line)))

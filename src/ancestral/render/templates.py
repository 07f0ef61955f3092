"""Templates of the report and of the model card."""

import json
import re
from importlib.resources import files
from typing import Any

from ancestral.errors import one_line


def fill_template(file: str, /, **values: Any) -> str:
    """Fill a Jinja template of this package; in HTML, values are escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=file.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=not file.endswith(".html"),
    )
    environment.filters["plain"] = lambda text: re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", one_line(text))  # of Markdown
    environment.filters["json"] = lambda text: json.dumps(text, ensure_ascii=False)  # valid YAML, whatever it holds
    return environment.from_string(files("ancestral.render").joinpath(file).read_text("utf-8")).render(values)

"""The theory in JavaScript, `page/diffusion.js`: its script, what it offers, and how numbers are compared."""

import re
from importlib.resources import files

import torch

from ancestral.page.web_page import global_script

SOURCE = files("ancestral.page").joinpath("diffusion.js").read_text("utf-8")
SCRIPT = global_script("diffusion.js", "Ancestral")
"""Sets `Ancestral` to the exports of the module."""


def names(table):
    """The keys of a table of diffusion.js."""
    body = re.search(rf"^export const {table} = {{\n(.*?)^}};", SOURCE, re.MULTILINE | re.DOTALL)[1]
    return re.findall(r'^  "?([\w-]+)"?: {', body, re.MULTILINE)


SCHEDULES, TARGETS, SAMPLERS = names("SCHEDULES"), names("TARGETS"), names("SAMPLERS")
DATA = {
    "drawn": [[0.1, 0.9], [-0.35, -0.2], [0.8, -0.77], [0.81, -0.77], [-1.0, 1.0]],
    "duplicates": [[0.5, -0.25], [0.5, -0.25], [0.5, -0.25], [-0.7, 0.1]],
    "single": [[0.3, -0.6]],
    "far": [[40.0, -30.0], [41.0, -30.0], [-0.5, 0.5]],
}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def close(actual, expected, rtol=1e-9, atol=1e-12):
    torch.testing.assert_close(tensor(actual), expected, rtol=rtol, atol=atol)

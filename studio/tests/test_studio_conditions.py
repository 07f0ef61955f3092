"""The studio has a control for each kind of condition."""

import typing

from ancestral.conditions import Condition
from ancestral_studio.site_files import BROWSER


def test_each_kind_of_condition_has_a_control():
    text = (BROWSER / "conditions.js").read_text(encoding="utf-8")
    assert [kind.__name__ for kind in typing.get_args(Condition) if f"{kind.__name__.lower()}: () =>" not in text] == []

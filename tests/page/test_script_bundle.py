"""Modules in one script: what they export, in which order they are called, and forms that are refused."""

import json
import re
import shutil
import subprocess

import pytest

from ancestral.base.arguments import stored_fields
from ancestral.config.request import Request
from ancestral.page.web_page import PAGE_FILES, global_script, modules, script

FILES = {
    "main.js": """// The entry.
import { total, Counter, letters } from "./folder/sums.js";
import { one as first } from "./one.js";

const total2 = [...letters()].length, one = "a name of its own"; // export nothing
globalThis.answer = { total: total(first, 2), count: new Counter().count, total2, one };
""",
    "folder/sums.js": """import {
  one,
  two,
} from "../one.js";

export class Counter {
  count = one + two;
}
export function total(...numbers) {
  return numbers.reduce((sum, number) => sum + number, 0);
}
export function* letters() {
  yield* "abc";
}
""",
    "one.js": "const hidden = 1;\nexport const one = hidden;\nexport const two = 2;\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(text):
    """What a script leaves in `answer`."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    code = f"{text}\nconsole.log(JSON.stringify(globalThis.answer));"
    return json.loads(subprocess.run([node, "-e", code], capture_output=True, text=True, check=True).stdout)


def test_modules_are_called_after_what_they_import(folder):
    assert [*modules("main.js", folder)] == ["one.js", "folder/sums.js", "main.js"]


def test_the_script_does_what_the_modules_do(folder):
    assert run(script(modules("main.js", folder))) == {"total": 3, "count": 3, "total2": 3, "one": "a name of its own"}


def test_a_script_without_what_another_has(folder):
    functions = modules("main.js", folder)
    first = {"one.js": functions.pop("one.js")}
    assert run(script(first) + script(functions))["total"] == 3


def test_modules_of_the_page():
    """Each import has its export, and nothing of modules is left."""
    for entry in ("page.js", "page_worker.js"):
        assert not re.search(r"^\s*(import|export)\b", script(modules(entry)), re.MULTILINE)
    assert global_script("diffusion.js", "Theory").endswith("globalThis.Theory = { ...$diffusion };\n")


def test_the_keys_that_the_page_knows_are_those_of_a_recipe():
    """It refuses pictures with values of others, which may be options that it does not have."""
    text = (PAGE_FILES / "page_recipe.js").read_text(encoding="utf-8")
    keys = re.findall(r'"(\$?\w+)"', re.search(r"const KEYS = \[(.*?)\];", text, re.DOTALL)[1])
    assert (
        {*Request.head()}
        <= {*keys}
        <= {*Request.head(), *(one.metadata.get("key", one.name) for one in stored_fields(Request))}
    )

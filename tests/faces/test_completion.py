"""Completion of a command line, by the shells themselves; without zsh or fish by the text of their scripts."""

import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from ancestral.declarations import USE_CASES
from ancestral.faces import command as cli
from ancestral.faces.completion import SHELLS, ancestral_script
from ancestral.faces.help_text import words_of
from ancestral.faces.words import written

COMPLETED = {
    "ancestral tr": "train",
    "ancestral --ver": "--version",
    "ancestral --completion z": "zsh",
    "ancestral train di": "digits",
    "ancestral train phot": "photos128 photos256 photos64 photos/",
    "ancestral train --data phot": "photos/",
    "ancestral train --data check": "checkerboard",
    "ancestral train digits --schedu": "--schedule",
    "ancestral train digits --schedule k": "karras",
    "ancestral train digits --target e": "edm eps",
    "ancestral train digits --no-fl": "",
    "ancestral sample phot": "photos/",
    "ancestral sample photos --sampler heu": "heun",
    "ancestral sample photos --device c": "cpu cuda",
    "ancestral sample photos --no-capt": "--no-captions",
    "ancestral sample photos --like phot": "photos/",
    "ancestral sample photos --seed phot": "",
    "ancestral edit photos in": "inpaint interpolate",
    "ancestral edit photos restore --operator upsc": "upscale",
    "ancestral evaluate photos --metrics ke": "kernel",
    "ancestral export photos --to o": "onnx",
}
"""The beginnings of command lines, and the words that complete the last one; photos is a folder, and no other is."""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "photos").mkdir()

    def write(shell):
        path = tmp_path / f".script.{shell}"
        path.write_text(ancestral_script(shell), encoding="utf-8")
        return path

    return write


def output(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, **options)
    assert not done.stderr
    return done.stdout


def plain(words):
    """The words, in order, without the slash that some shells write after a folder."""
    return sorted(word.removesuffix("/") for word in words.split())


def test_bash_completes(script, tmp_path):
    lines = [f'try {line}; echo "${{COMPREPLY[*]}}"' for line in COMPLETED]
    ask = 'try() { COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _shtab_ancestral; }'
    code = "\n".join([f"source {script('bash')}", ask, *lines])
    answers = output("bash", "--norc", "-c", code, cwd=tmp_path).split("\n")
    assert {line: plain(words) for line, words in zip(COMPLETED, answers, strict=False)} == {
        line: plain(words) for line, words in COMPLETED.items()
    }


def test_fish_completes(script, tmp_path):
    path = script("fish")
    if shutil.which("fish") is None:
        assert "complete -c ancestral -n '_shtab_ancestral_using' -l completion" in path.read_text(encoding="utf-8")
        return
    exact = {line: words for line, words in COMPLETED.items() if words and "--" not in line.split()[-1]}
    asked = [f"echo (complete -C '{line}' | string split -f1 \\t)" for line in exact]
    answers = output("fish", "--no-config", "-c", "\n".join([f"source {path}", *asked]), cwd=tmp_path).split("\n")
    for (line, words), answer in zip(exact.items(), answers, strict=False):
        assert plain(answer) == plain(words), line


def test_zsh_completes(script, tmp_path):
    path = script("zsh")
    if shutil.which("zsh") is None:
        assert path.read_text(encoding="utf-8").startswith("#compdef ancestral\n")
        return
    assert output("zsh", "-n", path) == ""
    single = {line: words for line, words in COMPLETED.items() if words and " " not in words and "/" not in words}
    terminal, other_end = pty.openpty()
    facts = {"cwd": tmp_path, "env": {**os.environ, "TERM": "dumb", "PS1": "", "HOME": str(tmp_path)}}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), other_end)
    shell = subprocess.Popen(["zsh", "-f", "-i"], start_new_session=True, **facts, **streams)
    os.close(other_end)

    def answer(keys, end):
        os.write(terminal, keys.encode())
        text, until = b"", time.monotonic() + 60
        while end.encode() not in text and time.monotonic() < until:
            if select.select([terminal], [], [], 0.1)[0]:
                text += os.read(terminal, 65536)
        return text.decode(errors="replace")

    try:
        load = f"autoload -U compinit; compinit -u -D; eval \"$(<{path})\"; bindkey '^I' complete-word; echo loa''ded\n"
        assert "loaded" in answer(load, "loaded")
        for line, words in single.items():
            whole = f"{line.rpartition(' ')[0]} {words}"
            assert whole in answer(f"{line}\t", whole), line
            answer("\x15echo cle''ared\n", "cleared")
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)


def test_every_option_of_a_command_is_completed():
    script = ancestral_script("bash")
    for case in USE_CASES:
        name = case.command.replace("-", "_")
        completed = re.search(rf"^_shtab_ancestral_{name}_option_strings=\((.*)\)$", script, re.MULTILINE)[1].split()
        optional = [one for one in words_of(case) if not (one.positional and one.required)]
        assert {name for one in optional for name in written(one)} <= set(completed)
        assert len(completed) == len(set(completed))


@pytest.mark.parametrize("words", [["--completion", "csh"], ["--completion"], ["--completion", "bash", "zsh"]])
def test_another_shell_is_refused(refused, words):
    assert f"--completion cannot be {' '.join(words[1:])!r}: give bash, zsh or fish" in refused(*words)


def test_the_script_is_printed(run):
    for shell in SHELLS:
        assert run("--completion", shell) == ancestral_script(shell) == run(f"--completion={shell}")
    assert "--completion" in cli.USAGE

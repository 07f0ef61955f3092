"""Completion of a command line, by the shells themselves; where one is missing, by what its script names."""

import os
import pty
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


def is_missing(shell, path):
    """Whether a shell is missing; then its script has to name all commands and options, in whatever form."""
    text = path.read_text(encoding="utf-8")
    options = set().union(*map(options_written, USE_CASES))
    names = {case.command for case in USE_CASES} | {one for one in options if one.startswith("--")}
    assert {name for name in names if name.removeprefix("--") not in text} == set()
    return shutil.which(shell) is None


def options_written(case):
    """The options of a command as they are written, but places that have no other form."""
    optional = [one for one in words_of(case) if not (one.positional and one.required)]
    return {name for one in optional for name in written(one)}


def in_bash(script, *code):
    """Lines of bash that end with the words that complete each command line of `try WORD ...`."""
    ask = 'try() { COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=(); $called; }'
    called = "called=$(complete -p ancestral); called=${called##*-F }; called=${called%% *}"
    return "\n".join([f"source ./{script.name}", called, ask, *code])


def plain(words):
    """The words, in order, without the slash that some shells write after a folder."""
    return sorted(word.removesuffix("/") for word in words.split())


def test_bash_completes(script, tmp_path):
    path = script("bash")
    if is_missing("bash", path):
        return
    lines = [f'try {line}; echo "${{COMPREPLY[*]}}"' for line in COMPLETED]
    answers = output("bash", "--norc", "-c", in_bash(path, *lines), cwd=tmp_path).split("\n")
    assert {line: plain(words) for line, words in zip(COMPLETED, answers, strict=False)} == {
        line: plain(words) for line, words in COMPLETED.items()
    }


def test_fish_completes(script, tmp_path):
    path = script("fish")
    if is_missing("fish", path):
        return
    exact = {line: words for line, words in COMPLETED.items() if words and "--" not in line.split()[-1]}
    asked = [f"echo (complete -C '{line}' | string split -f1 \\t)" for line in exact]
    code = "\n".join([f"source ./{path.name}", *asked])
    answers = output("fish", "--no-config", "-c", code, cwd=tmp_path).split("\n")
    for (line, words), answer in zip(exact.items(), answers, strict=False):
        assert plain(answer) == plain(words), line


def test_zsh_completes(script, tmp_path):
    path = script("zsh")
    if is_missing("zsh", path):
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
        load = f"autoload -U compinit; compinit -u -D; eval \"$(<{path.name})\"; bindkey '^I' complete-word"
        assert "loaded" in answer(f"{load}; echo loa''ded\n", "loaded")
        for line, words in single.items():
            whole = f"{line.rpartition(' ')[0]} {words}"
            assert whole in answer(f"{line}\t", whole), line
            answer("\x15echo cle''ared\n", "cleared")
    finally:
        shell.kill()
        shell.wait()
        os.close(terminal)


def test_every_option_of_a_command_is_completed(script, tmp_path):
    path = script("bash")
    if is_missing("bash", path):
        return
    lines = [f'try ancestral {case.command} -; echo "${{COMPREPLY[*]}}"' for case in USE_CASES]
    answers = output("bash", "--norc", "-c", in_bash(path, *lines), cwd=tmp_path).splitlines()
    for case, answer in zip(USE_CASES, answers, strict=True):
        completed = answer.split()
        assert options_written(case) <= set(completed), case.command
        assert len(completed) == len(set(completed))


@pytest.mark.parametrize("words", [["--completion", "csh"], ["--completion"], ["--completion", "bash", "zsh"]])
def test_another_shell_is_refused(refused, words):
    assert f"--completion cannot be {' '.join(words[1:])!r}: give bash, zsh or fish" in refused(*words)


def test_the_script_is_printed(run):
    for shell in SHELLS:
        assert run("--completion", shell) == ancestral_script(shell) == run(f"--completion={shell}")
    assert "--completion" in cli.USAGE

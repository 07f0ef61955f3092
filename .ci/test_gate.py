"""What the gate runs, leaves out, records, stops and reports, in a repository of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PARTS = """
common = ["common"]
[part.always]
command = "echo always"
limit = 60
[part.rooms]
command = "echo ran {tests}; cat src/ancestral/*/answer >answers; ! grep -q bad answers"
limit = 60
[part.rooms.units]
"tests/{room}" = ["src/ancestral/{room}"]
[check]
limit = 60
never = ["what is slow"]
[check.beside]
"docs" = ["tests/pages"]
[check.further.page]
rooms = ["b"]
command = "echo further"
"""
MAKEFILE = """
lint types:
\t@echo made $@
test-first:
\t@echo tests: $(TESTS)
"""


@pytest.fixture
def repository(tmp_path):
    """A package of two rooms, of which b imports a, with their tests and the gate."""
    files = {
        ".ci/parts.toml": PARTS,
        "Makefile": MAKEFILE,
        ".gitignore": "answers\n.ci/flaky\n",
        "common": "1",
        "src/ancestral/a/answer": "good",
        "src/ancestral/a/first.py": "",
        "src/ancestral/b/answer": "good",
        "src/ancestral/b/second.py": "from ancestral.a import first\n",
        "tests/a/test_a.py": "",
        "tests/b/test_b.py": "",
        "tests/pages/test_pages.py": "",
        "tests/core/test_core.py": "",
        "studio/src/page.py": "",
        "docs/index.md": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    shutil.copy(HERE / "gate.py", tmp_path / ".ci")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    commit(tmp_path)
    return tmp_path


def git(folder, *words):
    user = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    subprocess.run(["git", *words], cwd=folder, env=os.environ | user, check=True, capture_output=True)


def commit(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a change")


def gate(folder, *words, code=0):
    done = subprocess.run(
        [sys.executable, ".ci/gate.py", *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code < 2 else done.stderr


def test_what_passed_is_run_again_where_something_that_it_reads_changed(repository):
    assert "ran tests/a tests/b" in gate(repository, "run")
    report = gate(repository, "run")
    assert "\nalways\n" in report
    assert "ran" not in report.replace("rooms      ", "")
    (repository / "src/ancestral/b/answer").write_text("better")
    commit(repository)
    assert "ran tests/b\n" in gate(repository, "run", "rooms")
    (repository / "common").write_text("2")
    commit(repository)
    assert "ran tests/a tests/b" in gate(repository, "run", "rooms")
    (repository / "docs/index.md").write_text("nobody reads it")
    commit(repository)
    assert "nothing changed" in gate(repository, "run", "rooms")


def test_what_is_not_committed_or_fails_is_not_recorded(repository):
    (repository / "src/ancestral/a/answer").write_text("bad")
    commit(repository)
    report = gate(repository, "run", code=1)
    assert "rooms ended with exit code 1" in report
    assert "ran tests/a tests/b" in gate(repository, "run", code=1)
    (repository / "src/ancestral/a/answer").write_text("good again")
    assert "tests/a passed, and is not recorded: 1 of the files" in gate(repository, "run")
    assert "ran tests/a\n" in gate(repository, "run")  # b was right in a run that passed


def test_a_part_is_stopped_at_its_limit_with_all_that_it_started(repository):
    text = PARTS.replace('"echo always"\nlimit = 60', '"sleep 77.25 & echo before; sleep 77.25"\nlimit = 1')
    (repository / ".ci/parts.toml").write_text(text)
    assert "always was stopped at its limit" in gate(repository, "run", "always", code=1)
    assert not [place for place in Path("/proc").glob("[0-9]*/cmdline") if "77.25" in words_of(place)]


def words_of(place):
    """The command line of a process, which may have ended meanwhile."""
    try:
        return place.read_text()
    except OSError:
        return ""


def test_the_report_names_each_failing_test_and_how_to_repeat_it(repository):
    (repository / "conftest.py").write_text((HERE.parent / "conftest.py").read_text())
    (repository / "tests/a/test_a.py").write_text("""
from pathlib import Path

def test_wrong():
    assert 1 + 1 == 3

def test_once():
    seen = Path("seen")
    first = not seen.exists()
    seen.touch()
    assert not first
""")
    command = f"{sys.executable} -m pytest -q tests"
    (repository / ".ci/parts.toml").write_text(PARTS.replace("echo always", command))
    report = gate(repository, "run", "always", code=1).partition("== the parts")[2]
    assert "tests/a/test_a.py::test_wrong\n    assert (1 + 1) == 3\n" in report
    assert "pytest -n 0 -m '' 'tests/a/test_a.py::test_wrong'" in report
    assert "tests/a/test_a.py::test_once\n" in report.partition("FLAKY")[2].partition("disk")[0]
    assert "test_once" not in report.partition("disk")[2]


def test_of_a_run_that_came_to_its_end_those_are_recorded_of_which_nothing_failed(repository):
    (repository / "tests/a/test_a.py").write_text("def test_a():\n    assert False\n")
    (repository / "tests/b/test_b.py").write_text("def test_b():\n    pass\n")
    command = f"{sys.executable} -m pytest -q {{tests}}"
    text = PARTS.replace(
        '"echo ran {tests}; cat src/ancestral/*/answer >answers; ! grep -q bad answers"', f'"{command}"'
    )
    (repository / ".ci/parts.toml").write_text(text)
    commit(repository)
    gate(repository, "run", code=1)
    assert "== rooms: tests/a\n" in gate(repository, "run", code=1)
    for option in ("-x", "-p nosuch"):  # interrupted, and not begun
        (repository / ".ci/parts.toml").write_text(text.replace("-m pytest", f"-m pytest {option}"))
        for _ in range(2):
            assert "== rooms: tests/a tests/b\n" in gate(repository, "run", code=1)


def test_a_check_runs_the_tests_of_what_changed_then_of_what_imports_it(repository):
    git(repository, "switch", "--quiet", "--create", "work")
    (repository / "src/ancestral/a/first.py").write_text("changed = True")
    report = gate(repository, "check", "--core", "tests/core")
    lines = [line for line in report.splitlines() if line.startswith(("made", "tests", "further"))]
    assert lines == ["made lint", "made types", "tests: tests/a tests/core", "tests: tests/b"]
    assert "left out: page, what is slow" in report
    commit(repository)
    assert gate(repository, "check", "--core", "tests/core").count("tests: tests/b\n") == 1
    lines = gate(repository, "check", "b", "docs").splitlines()
    assert "tests: tests/b tests/pages" in lines
    assert "further" in lines
    (repository / "Makefile").write_text(MAKEFILE.replace("@echo made", "@test $@ = lint && echo"))
    report = gate(repository, "check", code=1)
    assert "tests:" not in report
    assert "FAILED  make types" in report


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["check", "nosuch"], "no room 'nosuch': one of a, b, docs"),
        (["run", "nosuch"], "no part 'nosuch': one of always, rooms"),
        ([], "gate.py run [PART ...], or check [ROOM ...]"),
    ],
)
def test_a_wrong_word_is_refused_in_one_line(repository, words, text):
    line = gate(repository, *words, code=2)
    assert text in line
    assert line.count("\n") == 1


def test_a_list_cut_in_half_and_a_folder_without_git_are_refused_in_one_line(repository):
    gate(repository, "run")
    whole = (repository / ".ci/proved").read_text()
    (repository / ".ci/proved").write_text(whole[: len(whole) // 2 + 9])
    line = gate(repository, "run", code=2)
    assert ".ci/proved, line 2: " in line
    assert "git checkout .ci/proved" in line
    assert line.count("\n") == 1
    shutil.rmtree(repository / ".git")
    (repository / ".ci/proved").unlink()
    line = gate(repository, "run", "rooms", code=2)
    assert "a clone is needed; elsewhere run make test" in line
    assert line.count("\n") == 1

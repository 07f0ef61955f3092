"""A test that fails is run once more alone, if the variable FLAKY names a file: a list of those that passed then.

They failed for another reason than the change: an order, a time, what a test before them left. That is a defect with a
cause, so the list is printed and kept, but the run goes on. The tests of all folders share this.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

MOST = 5
"""Number of failing tests up to which they are run once more: a change that breaks more is not flaky."""
SECONDS = 600


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    """Run what failed once more, each in a process of its own; move those that pass from failed to flaky."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if "FLAKY" not in os.environ or reporter is None or hasattr(session.config, "workerinput"):
        return
    reports = [*reporter.stats.get("failed", []), *reporter.stats.get("error", [])]
    names = list(dict.fromkeys(report.nodeid for report in reports))
    if session.exitstatus != pytest.ExitCode.TESTS_FAILED or not 0 < len(names) <= MOST:
        return
    flaky = [name for name in names if "::" in name and passes_alone(name, session.config.rootpath)]
    for kind in ("failed", "error"):
        reporter.stats[kind] = [one for one in reporter.stats.get(kind, []) if one.nodeid not in flaky]
    reporter.stats["flaky"] = [one for one in reports if one.nodeid in flaky]
    with Path(os.environ["FLAKY"]).open("a", encoding="utf-8") as file:
        for name in flaky:
            text = "\n".join(report.longreprtext for report in reports if report.nodeid == name)
            print(f"\n{text}\nFLAKY {name}: it failed among others, and passed alone")
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {name}\n")
    if len(flaky) == len(names):
        session.exitstatus = pytest.ExitCode.OK


def passes_alone(name, folder):
    """Whether a test passes in a process of its own, with one thread as among others."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "-m", "", name]
    environment = {key: value for key, value in os.environ.items() if key != "FLAKY"} | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0

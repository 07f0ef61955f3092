"""Install into the environment of this Python, by uv, in the versions of requirements.lock.

    python release/install.py [--no-lock] ARGUMENTS OF uv pip install

Files must have the hashes of the lock file, and so must those of build requirements. The newest versions are installed
with `--no-lock`, and on a Python or a system for which the lock file has no packages. On Linux without a driver of
NVIDIA, PyTorch's CPU build is installed if PyTorch's own index is reached: in the version of the lock file, which has
no hash of it. UV_TORCH_BACKEND names another build. pip brings uv, which takes the settings of pip.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

LOCK = (Path(__file__).parents[1] / "requirements.lock").read_text(encoding="utf-8")
UV = Path(sys.executable).with_name("uv")
PYTHON = "--python", sys.executable
PYTORCH = "torch(?:vision)?"
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_EXTRA_INDEX_URL",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
}
"""Settings of pip, each with uv's variable of the same meaning."""
WAITS = (0, 10, 30)
"""Seconds before each attempt: an index may be slow for a moment."""
IMPATIENT = {"UV_HTTP_TIMEOUT": "10", "UV_HTTP_CONNECT_TIMEOUT": "5", "UV_HTTP_RETRIES": "0"}


def main(words: list[str]) -> None:
    """Install what the arguments of `uv pip install` name; after `--no-lock` without the lock file."""
    is_locked = words[:1] != ["--no-lock"]
    words = words if is_locked else words[1:]
    with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
        lock = Path(folder) / "requirements.lock"
        bring_uv(is_locked, lock)
        settings = pip_settings()
        environment = uv_environment(settings, Path(folder))
        words += ["--no-index"] if settings.get("no-index", "").lower() in ("1", "true", "yes", "on") else []
        lock.write_text(without_hashes(".*"), encoding="utf-8")  # until it is known which build of PyTorch it will be
        arguments = [*(options(lock) if is_locked else ["--upgrade"]), *words]
        plan, error = planned(arguments, environment)
        if is_locked and "No solution found" in error:
            system = f"Python {sys.version_info.major}.{sys.version_info.minor} on {sysconfig.get_platform()}"
            print(f"requirements.lock has no packages for {system}: the newest versions are installed.", flush=True)
            is_locked, arguments = False, words
            plan, error = planned(arguments, environment)
        if error:
            sys.exit(error)
        if is_for_gpus(plan) and "UV_TORCH_BACKEND" not in environment and not has_driver():
            cpu = environment | {"UV_TORCH_BACKEND": "cpu"}
            if not planned(["--no-deps", "torch"], cpu | IMPATIENT)[1]:
                cpu_plan, error = planned(arguments, cpu)
                plan, environment = (plan, environment) if error else (cpu_plan, cpu)
        if plan:
            print(f"Installs {summary(plan, is_locked)}.", flush=True)
        lock.write_text(without_hashes(PYTORCH) if "+" in plan.get("torch", "") else LOCK, encoding="utf-8")
        status = call([UV, "pip", "install", *PYTHON, *arguments], environment)
    sys.exit(status)


def bring_uv(is_locked: bool, path: Path) -> None:
    """Install uv by pip, which reads its line of the lock file from `path`; without the lock the newest uv."""
    words = ["--upgrade", "uv"]
    if is_locked and UV.exists():
        return
    if is_locked:
        path.write_text(re.search(r"^uv==.*?(?=^\S|\Z)", LOCK, re.MULTILINE | re.DOTALL)[0], encoding="utf-8")
        words = ["--require-hashes", "--no-deps", "--requirement", str(path)]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if call([*pip, *words]):
        sys.exit("release/install.py: pip cannot install uv, which installs the packages")


def call(command: Sequence[str | Path], environment: dict[str, str] | None = None) -> int:
    """Run a command, again after a while where it fails; return its last exit code."""
    status = 1
    for wait in WAITS:
        time.sleep(wait)
        status = subprocess.call(command, env=environment)
        if status == 0:
            break
    return status


def pip_settings() -> dict[str, str]:
    """The settings of pip, from its files and variables; values of a list are separated by spaces."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = {}
    for place in ("global", "install", ":env:"):  # a later one wins
        for name, value in re.findall(rf"^{place}\.([\w-]+)=(.*)$", listed.stdout, re.MULTILINE):
            settings[name] = " ".join(str(ast.literal_eval(value)).split())
    return settings


def uv_environment(settings: dict[str, str], folder: Path) -> dict[str, str]:
    """The variables of this process with the settings of pip, and with a cache in `folder` if there is no other."""
    of_pip = {SETTINGS[name]: value for name, value in settings.items() if name in SETTINGS}
    if "UV_FIND_LINKS" in of_pip:
        of_pip["UV_FIND_LINKS"] = of_pip["UV_FIND_LINKS"].replace(" ", ",")
    environment = of_pip | os.environ
    cache = subprocess.run([UV, "cache", "dir"], env=environment, capture_output=True, text=True, check=False)
    place = Path(cache.stdout.strip() or "/")
    while not place.exists():
        place = place.parent
    return environment if os.access(place, os.W_OK) else environment | {"UV_CACHE_DIR": str(folder / "cache")}


def options(lock: Path) -> list[str]:
    """The options of uv by which all but our own packages are the wheels of a lock file."""
    own = [word for name in ("", "-studio", "-course") for word in ("--no-binary", f"ancestral{name}")]
    return ["--constraint", str(lock), "--build-constraint", str(lock), "--only-binary", ":all:", *own]


def without_hashes(names: str) -> str:
    """The lock file without the hashes of the packages whose names match a pattern."""
    return re.sub(rf"^({names}==[^\\\n]*?) *\\\n(?: +--hash=\S+(?: \\)?\n)+", r"\1\n", LOCK, flags=re.MULTILINE)


def planned(arguments: list[str], environment: dict[str, str]) -> tuple[dict[str, str], str]:
    """Ask uv what it would install.

    Args:
        arguments: The arguments of `uv pip install`.
        environment: Its variables.

    Returns:
        The versions of the packages by their names, and what uv says where it fails.
    """
    command = [UV, "pip", "install", "--dry-run", *PYTHON, *arguments]
    for wait in WAITS if IMPATIENT.items().isdisjoint(environment.items()) else (0,):
        time.sleep(wait)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0 or "No solution found" in done.stderr:
            break
    plan = dict(re.findall(r"^ [+~] ([\w.-]+)==(\S+)", done.stderr, re.MULTILINE))
    return plan, done.stderr if done.returncode else ""


def is_for_gpus(plan: dict[str, str]) -> bool:
    """Whether packages hold PyTorch for the GPUs of NVIDIA."""
    return "torch" in plan and any(name.startswith("nvidia-") for name in plan)


def has_driver() -> bool:
    """Whether this machine has a driver of NVIDIA."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def summary(plan: dict[str, str], is_locked: bool) -> str:
    """Say what is installed, where, and how large PyTorch is."""
    number = f"{len(plan)} package{'s' * (len(plan) > 1)}"
    text = f"{number} into {os.path.relpath(sys.prefix)}{' as in requirements.lock' if is_locked else ''}"
    if is_for_gpus(plan):
        why = "" if has_driver() else ", as PyTorch's own index with its CPU build is not reached"
        return f"{text}; PyTorch is that for NVIDIA GPUs{why}: 3 GB to download, 7 GB on the disk"
    return f"{text}, PyTorch among them: 0.3 GB to download, 1.2 GB on the disk" if "torch" in plan else text


if __name__ == "__main__":
    main(sys.argv[1:])

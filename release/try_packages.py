"""Install what dist/packages has by name, in environments with nothing in them, use it as its users do, and test it.

Each line says how many seconds a command took; installations start without any cache. dist/ancestral.cdx.json gets the
list of all parts of an installation of all packages (SBOM, CycloneDX). Run it by `make test-dist`.

UV_FIND_LINKS, UV_CONSTRAINT, UV_TORCH_BACKEND and their likes of pip say where further packages come from.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / "dist" / "packages"


class Walk:
    """Commands in an empty home, each timed.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        links = {
            name: mark.join([str(PACKAGES), *filter(None, [os.environ.get(name)])])
            for name, mark in (("UV_FIND_LINKS", ","), ("PIP_FIND_LINKS", " "))
        }
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("VIRTUAL_ENV")} | {
            **{"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "XDG_DATA_HOME": str(folder / "data")},
            **links,
            "UV_CACHE_DIR": str(folder / "cache" / "uv"),
            **{"UV_PYTHON": sys.executable, "PIPX_DEFAULT_PYTHON": sys.executable, "PIPX_DEFAULT_BACKEND": "pip"},
            **{"PIPX_HOME": str(folder / "pipx"), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_CACHE_DIR": "1"},
        }

    def do(self, text: str, *command: str | Path, code: int = 0) -> str:
        """Run a command, say how long it took, and return its output; end if its exit code is another one."""
        began = time.monotonic()
        done = subprocess.run(
            list(map(str, command)), cwd=self.folder, env=self.environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)
        if done.returncode != code:
            sys.exit(
                f"{done.stdout}\nrelease/try_packages.py: exit code {done.returncode} of {' '.join(map(str, command))}"
            )
        return done.stdout

    def venv(self, name: str) -> Path:
        """Make a virtual environment of this Python, and return the folder of its programs."""
        self.do(f"an empty environment, {name}", sys.executable, "-m", "venv", name)
        return self.folder / name / "bin"

    @contextmanager
    def served(self, text: str, *command: str | Path) -> Iterator[str]:
        """Start a server, say how long it took to answer, and end it afterwards. Yields its address."""
        began = time.monotonic()
        server = subprocess.Popen(
            list(map(str, command)), cwd=self.folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            lines = []
            for line in server.stdout or ():
                lines.append(line)
                if address := re.search(r"http://127[^\s;]+", line):
                    break
            else:
                sys.exit(f"{''.join(lines)}\nrelease/try_packages.py: the server said no address")
            visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())  # the token becomes a cookie
            with visitor.open(address[0]) as answer:
                page = answer.read().decode()
            print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)
            yield page
        finally:
            server.terminate()
            server.wait()


def by_uv(walk: Walk, uvx: Path) -> None:
    """Use the packages by uvx, from nothing to a picture, the studio and a checked exercise."""
    walk.do("uvx ancestral --version, with its installation", uvx, "ancestral", "--version")
    print(f"{size_of(walk.folder / 'cache'):7.0f} MB on the disk")
    walk.do("uvx ancestral train digits", uvx, "ancestral", "train", "digits", "--out", "runs/digits")
    walk.do("uvx ancestral sample", uvx, "ancestral", "sample", "runs/digits", "-n", "80", "--out", "digits.png")
    assert (walk.folder / "digits.png").read_bytes().startswith(b"\x89PNG")
    studio = uvx, "--from", "ancestral[studio]", "ancestral", "studio", "--no-open", "--port", "0"
    with walk.served("uvx --from 'ancestral[studio]' ancestral studio, to its page", *studio) as page:
        assert "<title>" in page
    start = "start", "my-course", "--open", "none"
    walk.do("uvx ancestral-course start, with its installation", uvx, "ancestral-course", *start)
    solutions = walk.do("uvx ancestral-course solutions 1", uvx, "ancestral-course", "solutions", "1")
    blocks = re.findall(r"```python\n(.*?)```", solutions, re.DOTALL)
    lesson = next((walk.folder / "my-course").glob("01_*.py"))
    lesson.write_text("\n".join([lesson.read_text(encoding="utf-8"), "# %%", *blocks]), encoding="utf-8")
    walk.do("uvx ancestral-course check 1, a lesson with its solutions", uvx, "ancestral-course", "check", "1", lesson)


def by_pip(walk: Walk, programs: Path) -> None:
    """Install all packages by pip; write what is there then into dist/ (SBOM)."""
    words = "install", "ancestral[studio,metrics]", "ancestral-course"
    said = walk.do("pip install 'ancestral[studio,metrics]' ancestral-course", programs / "pip", *words)
    sizes = [float(size) / (1 if unit == "MB" else 1000) for size, unit in re.findall(r"\(([\d.]+) ([kM]B)\)", said)]
    files = [Path(path).stat().st_size / 1e6 for path in re.findall(r"^Processing (\S+\.whl)", said, re.MULTILINE)]
    print(f"{sum(sizes + files):7.0f} MB of packages, {size_of(programs.parent):.0f} MB on the disk")
    walk.do("ancestral train points --steps 20", programs / "ancestral", "train", "points", "--steps", "20")
    parts = ROOT / "dist" / "ancestral.cdx.json"
    walk.do(
        f"the list of its parts: {parts.relative_to(ROOT)}",
        *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--output-file", parts),
        *("--pyproject", ROOT / "pyproject.toml", programs / "python"),
    )


def by_pipx(walk: Walk, pipx: Path) -> None:
    """Use the package by pipx run."""
    walk.do("pipx run ancestral --version, with its installation", pipx, "run", "ancestral", "--version")


def with_lowest(walk: Walk, uv: Path) -> None:
    """Use the packages with the lowest versions of all that they require."""
    programs = walk.venv("lowest")
    words = "--resolution", "lowest-direct", "ancestral[studio]", *required()
    walk.do("uv pip install --resolution lowest-direct", uv, "pip", "install", "--python", programs / "python", *words)
    print(" " * 10, walk.do("uv pip freeze", uv, "pip", "freeze", "--python", programs / "python").replace("\n", " "))
    walk.do("ancestral train points --steps 20", programs / "ancestral", "train", "points", "--steps", "20")
    server = programs / "ancestral", "studio", "--no-open", "--port", "0"
    with walk.served("ancestral studio, to its page", *server) as page:
        assert "<title>" in page


def with_tests(walk: Walk, uv: Path) -> None:
    """Run the tests that the source distributions carry, where there is no clone."""
    programs = walk.venv("tests")
    for archive in PACKAGES.glob("*.tar.gz"):
        with tarfile.open(archive) as files:
            files.extractall(walk.folder, filter="data")
    folders = sorted(walk.folder.glob("ancestral*/"))
    words = *folders, "--group", f"{folders[0] / 'pyproject.toml'}:test"
    walk.do("uv pip install, of source distributions", uv, "pip", "install", "--python", programs / "python", *words)
    for folder in folders:
        said = walk.do(
            f"the tests of {folder.name}", programs / "pytest", "--numprocesses", "logical", folder / "tests"
        )
        print(" " * 10, said.strip().rpartition("\n")[2])


def required() -> list[str]:
    """What the packages of ancestral[studio] require of others, which makes these direct requirements."""
    texts = []
    for name in ("ancestral-", "ancestral_studio-"):
        (wheel,) = PACKAGES.glob(f"{name}*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (path,) = (path for path in archive.namelist() if path.endswith(".dist-info/METADATA"))
            metadata = archive.read(path).decode()
        texts += re.findall(r"^Requires-Dist: ((?!ancestral)[^;\n]+)$", metadata, re.MULTILINE)
    return texts


def size_of(folder: Path) -> float:
    """Megabytes of a folder on the disk, each file once."""
    files = {file.stat().st_ino: file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    return sum(files.values()) / 1e6


def main() -> None:
    """Walk through all ways, in folders that are deleted afterwards."""
    if not list(PACKAGES.glob("*.whl")):
        sys.exit("release/try_packages.py: dist/packages has no wheels: make dist")
    ways = {"uv": by_uv, "pip": by_pip, "pipx": by_pipx, "lowest": with_lowest, "tests": with_tests}
    for name in sys.argv[1:] or ways:
        with tempfile.TemporaryDirectory() as folder:
            walk = Walk(Path(folder))
            programs = walk.venv("tools")
            tool = {"uv": "uvx", "lowest": "uv", "tests": "uv"}.get(name, name)
            if tool != "pip":
                installed = "pipx" if name == "pipx" else "uv"
                walk.do(f"pip install {installed}", programs / "pip", "install", installed)
            ways[name](walk, programs if tool == "pip" else programs / tool)


if __name__ == "__main__":
    main()

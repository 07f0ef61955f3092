"""Build the wheels and source distributions of all packages into dist/packages, each twice, and compare the bytes.

dist/packages is an index that pip and uv read by --find-links; dist/SHA256SUMS has the hashes of its files, and
dist/NOTES.md what the changelog says of the version. Run it by `make dist`.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = {"ancestral": ROOT, "ancestral-studio": ROOT / "studio", "ancestral-course": ROOT / "course"}
"""The folder of each package."""
DIST = ROOT / "dist"
CHECKOUT = "git", "-C", str(ROOT), "archive", "HEAD"


def main(tag: str = "") -> None:
    """Build and compare.

    Args:
        tag: The tag of the release, such as v1.0.0; if given, the version of all packages has to be the same.
    """
    version = common_version()
    if tag not in ("", f"v{version}"):
        sys.exit(
            f"release/build.py: the tag {tag} is not that of version {version}: tag v{version}, or change the version"
        )
    if changes := run("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", output=True):
        sys.exit(f"release/build.py: not committed, so not part of what is built; commit or stash first:\n{changes}")
    shutil.rmtree(DIST, ignore_errors=True)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        first = built(Path(one), {"TZ": "UTC"}, 0o022)
        second = built(Path(other), {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "1"}, 0o077)
        if different := sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name)):
            sys.exit(f"release/build.py: two builds differ: {', '.join(different)}")
        shutil.copytree(Path(one) / "packages", DIST / "packages")
    run(sys.executable, "-m", "twine", "check", "--strict", *map(str, sorted((DIST / "packages").iterdir())))
    notes = re.search(r"^## \d.*?\n(.*?)(?=^## |\Z)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE | re.DOTALL)
    (DIST / "NOTES.md").write_text(notes[1].strip() + "\n" if notes else "")
    (DIST / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(first.items())))
    for name, digest in sorted(first.items()):
        size = (DIST / "packages" / name).stat().st_size
        print(f"{digest}  {size / 1e6:6.2f} MB  {name}")
    print(f"{len(first)} files of version {version} in dist/packages, equal in two builds")


def common_version() -> str:
    """The version of all packages, which CITATION.cff and the first release of CHANGELOG.md have too."""
    versions = {"CITATION.cff": match(r"^version: (\S+)", ROOT / "CITATION.cff")}
    versions["CHANGELOG.md"] = match(r"^## (\d\S*)", ROOT / "CHANGELOG.md")
    for name, folder in PACKAGES.items():
        path = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["hatch"]["version"]["path"]
        versions[name] = match(r'^__version__ = "(.+)"', folder / path)
    if len(set(versions.values())) > 1:
        sys.exit(f"release/build.py: the versions differ: {', '.join(f'{k} {v}' for k, v in versions.items())}")
    return versions["ancestral"]


def match(pattern: str, path: Path) -> str:
    """The first match of a pattern in a file."""
    found = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else "none"


def built(folder: Path, environment: dict[str, str], mask: int) -> dict[str, str]:
    """Build all packages of the last commit in a folder, under its `packages`, and return their hashes."""
    tree, packages = folder / "tree", folder / "packages"
    tree.mkdir()
    archive = subprocess.run(CHECKOUT, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True, umask=mask)  # modes as anybody has them
    time = run("git", "-C", str(ROOT), "log", "-1", "--format=%ct", output=True)
    settings = {**os.environ, **environment, "SOURCE_DATE_EPOCH": time}
    for path in PACKAGES.values():
        source = tree / path.relative_to(ROOT)
        run(
            sys.executable,
            "-m",
            "build",
            "--no-isolation",
            "--outdir",
            str(packages),
            str(source),
            env=settings,
            umask=mask,
        )
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in packages.iterdir()}


def run(*command: str, output: bool = False, **settings: Any) -> str:
    """Run a command, and return its output if that is asked for; end with its output if it fails."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, text=True, check=False, **pipes, **settings)
    if done.returncode:
        sys.exit(f"{done.stdout}\nrelease/build.py: {' '.join(command[:6])} failed")
    return done.stdout.strip() if output else ""


if __name__ == "__main__":
    main(*sys.argv[1:2])

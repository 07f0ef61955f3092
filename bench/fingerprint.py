"""Fingerprints of what a version of the package computes: run it on two versions and compare the files.

    PYTHONPATH=OLD/src python bench/fingerprint.py old.json --work old/
    PYTHONPATH=NEW/src python bench/fingerprint.py new.json --work new/
    python bench/fingerprint.py old.json new.json

Weights and training state after 60 steps of four presets, 16 samples of each named sampler, the numbers of
`ancestral evaluate` and bits/dim. Everything goes through the command line, whose options both versions share, with one
PyTorch thread. With --runs OTHER, run folders that another version wrote are resumed, sampled and evaluated too.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PRESETS = ("digits", "points", "ncsn-points", "improved-points")
SAMPLERS = ("ddpm", "ddim", "dpm", "dpm-sde", "unipc", "heun", "euler", "euler-ancestral", "langevin", "pc")
SLOW = {"ddpm": "ddpm:steps=50", "langevin": "langevin:steps=20", "pc": "pc:steps=20"}


def ancestral(*words: object) -> None:
    """Run one command, quietly; a failure ends everything."""
    command = [sys.executable, "-m", "ancestral", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def tensors(path: Path) -> str:
    """A hash of the tensors of a safetensors file: names, shapes, dtypes and bytes, whatever the metadata.

    Versions before 0.2 wrapped some networks in one that scales, which added `net.` to the names of their weights.
    """
    from safetensors.torch import load_file

    digest, found = hashlib.sha256(), load_file(path)
    wrapped = all(name.startswith("net.") for name in found) or any(name.startswith("net.net.") for name in found)
    plain = {re.sub(r"(^|\.)net\.(?!net\.)", r"\1", name, count=1) if wrapped else name: name for name in found}
    for name in sorted(plain):
        tensor = found[plain[name]]
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().flatten().numpy().tobytes())
    return digest.hexdigest()


def arrays(path: Path) -> str:
    """A hash of the arrays of a .npz file."""
    import numpy as np

    digest = hashlib.sha256()
    with np.load(path) as file:
        for name in sorted(file):
            digest.update(f"{name} {file[name].shape} {file[name].dtype}".encode() + file[name].tobytes())
    return digest.hexdigest()


def numbers(tree: Any, path: str = "") -> dict[str, float]:
    """All numbers of a JSON tree by their path."""
    if isinstance(tree, bool) or tree is None or isinstance(tree, str):
        return {}
    if isinstance(tree, int | float):
        return {path: tree}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {key: value for name, part in items for key, value in numbers(part, f"{path}/{name}").items()}


def evaluated(run: Path, out: Path) -> dict[str, Any]:
    """The numbers of `ancestral evaluate`: of samples, and of the likelihood with and without the ODE."""
    options = "--draw 64 --extractor pixels -n 4 --passes 12 --ode --ode-steps 4"
    ancestral("evaluate", run, *options.split(), "--out", out)
    found = {name: numbers(json.loads((out / f"{name}.json").read_text())) for name in ("samples", "likelihood")}
    return {f"{name}{key}": value for name, part in found.items() for key, value in part.items() if key != "/version"}


def state(run: Path) -> dict[str, str]:
    """Hashes of the model and of the newest training state of a run folder."""
    newest = max((run / "checkpoints").iterdir())
    return {"model": tensors(run / "model.safetensors"), newest.name: tensors(newest / "state.safetensors")}


def fingerprint(work: Path, others: Path | None) -> dict[str, Any]:
    """All hashes and numbers by name."""
    found: dict[str, Any] = {}
    for preset in PRESETS:
        run = work / preset
        ancestral("train", preset, "--steps", 60, "--out", run, "--device", "cpu")
        found |= {f"train {preset} {name}": value for name, value in state(run).items()}
        out = work / f"{preset}-samples.npz"
        ancestral("sample", run, "-n", 16, "--out", out, *(("--steps", 10) if "ncsn" in preset else ()))
        found[f"sample {preset}"] = arrays(out)
    for name in SAMPLERS:
        out = work / f"{name}.npz"
        ancestral("sample", work / "digits", "-n", 16, "--sampler", SLOW.get(name, name), "--seed", 3, "--out", out)
        found[f"sample digits by {name}"] = arrays(out)
    for preset in ("digits", "improved-points"):
        found |= {f"evaluate {preset} {k}": v for k, v in evaluated(work / preset, work / f"{preset}-eval").items()}
    for preset in PRESETS:  # a run that goes on, be it this version's or another's
        run = work / f"{preset}-resumed"
        shutil.copytree((others or work) / preset, run)
        ancestral("train", preset, "--steps", 80, "--out", run, "--resume", "--device", "cpu")
        found |= {f"resume {preset} {name}": value for name, value in state(run).items()}
    run = work / "digits-resumed"
    ancestral("sample", run, "-n", 16, "--label", 3, "--guidance", 2, "--out", work / "resumed.npz")
    found["sample digits-resumed"] = arrays(work / "resumed.npz")
    found |= {f"evaluate digits-resumed {key}": v for key, v in evaluated(run, work / "resumed-eval").items()}
    return found


def main() -> None:
    """Write a fingerprint, or compare two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--runs", type=Path, help="work folder of another version, whose runs are resumed")
    options = parser.parse_args()
    if len(options.files) == 1:
        options.work.mkdir(parents=True)
        options.files[0].write_text(json.dumps(fingerprint(options.work, options.runs), indent=1))
        return
    one, two = (json.loads(path.read_text()) for path in options.files)
    different = [name for name in sorted({*one, *two}) if one.get(name) != two.get(name)]
    for name in different:
        print(f"{name}: {one.get(name)} {two.get(name)}")
    print(f"{len(one)} entries, {len(different)} differ")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()

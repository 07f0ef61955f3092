"""Compare two versions of the package bit for bit by hashes of their results.

    PYTHONPATH=OLD/src python bench/fingerprint.py old.json --work old/
    PYTHONPATH=NEW/src python bench/fingerprint.py new.json --work new/
    python bench/fingerprint.py old.json new.json

A fingerprint has hashes of the weights and the training state after 60 steps of four presets, hashes of 16 samples of
each sampler, and the results of `ancestral evaluate` with bits/dim. It uses only command-line options that both
versions have, and one PyTorch thread. With --runs OTHER, it also resumes, samples and evaluates the runs of the work
folder of another version.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PRESETS = ("digits", "points", "ncsn-points", "improved-points")
SAMPLERS = ("ddpm", "ddim", "dpm", "dpm-sde", "unipc", "heun", "euler", "euler-ancestral", "langevin", "pc")
SLOW = {"ddpm": "ddpm:steps=50", "langevin": "langevin:steps=20", "pc": "pc:steps=20"}


def ancestral(*arguments: object) -> None:
    """Run an `ancestral` command without output, and exit if it fails."""
    command = [sys.executable, "-m", "ancestral", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def hash_tensors(path: Path) -> str:
    """Hash the names, shapes, dtypes and values of the tensors of a safetensors file, without its metadata."""
    from safetensors.torch import load_file

    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(path).items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().flatten().numpy().tobytes())
    return digest.hexdigest()


def hash_arrays(path: Path) -> str:
    """Hash the arrays of a .npz file."""
    import numpy as np

    digest = hashlib.sha256()
    with np.load(path) as file:
        for name in sorted(file):
            digest.update(f"{name} {file[name].shape} {file[name].dtype}".encode() + file[name].tobytes())
    return digest.hexdigest()


def numbers(tree: Any, path: str = "") -> dict[str, float]:
    """Return all numbers of a JSON value by their path."""
    if isinstance(tree, bool) or tree is None or isinstance(tree, str):
        return {}
    if isinstance(tree, int | float):
        return {path: tree}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {key: value for name, part in items for key, value in numbers(part, f"{path}/{name}").items()}


def evaluate(run: Path, out: Path) -> dict[str, Any]:
    """Run `ancestral evaluate`; return its results for samples, the bound, and the likelihood of the ODE."""
    options = "--samples --likelihood --draw 64 --extractor pixels -n 4 --passes 12 --ode --ode-steps 4"
    ancestral("evaluate", run, *options.split(), "--out", out)
    trees = {name: json.loads((out / f"{name}.json").read_text()) for name in ("samples", "likelihood")}
    results = {name: numbers(tree) for name, tree in trees.items()}
    return {f"{name}{key}": value for name, part in results.items() for key, value in part.items() if key != "/version"}


def hash_run(run: Path) -> dict[str, str]:
    """Hash the model and the newest training state of a run folder."""
    newest = max((run / "checkpoints").iterdir())
    return {"model": hash_tensors(run / "model.safetensors"), newest.name: hash_tensors(newest / "state.safetensors")}


def fingerprint(work: Path, others: Path | None) -> dict[str, Any]:
    """Return all hashes and numbers by name.

    Args:
        work: A new folder for the runs.
        others: Folder of the runs to resume (default: `work`).
    """
    result: dict[str, Any] = {}
    for preset in PRESETS:
        run = work / preset
        ancestral("train", preset, "--steps", 60, "--out", run, "--device", "cpu")
        result |= {f"train {preset} {name}": value for name, value in hash_run(run).items()}
        out = work / f"{preset}-samples.npz"
        ancestral("sample", run, "-n", 16, "--out", out, *(("--steps", 10) if "ncsn" in preset else ()))
        result[f"sample {preset}"] = hash_arrays(out)
    for name in SAMPLERS:
        out = work / f"{name}.npz"
        ancestral("sample", work / "digits", "-n", 16, "--sampler", SLOW.get(name, name), "--seed", 3, "--out", out)
        result[f"sample digits by {name}"] = hash_arrays(out)
    for preset in ("digits", "improved-points"):
        result |= {f"evaluate {preset} {k}": v for k, v in evaluate(work / preset, work / f"{preset}-eval").items()}
    for preset in PRESETS:  # resumes runs of this version or of another
        run = work / f"{preset}-resumed"
        shutil.copytree((others or work) / preset, run)
        ancestral("train", preset, "--steps", 80, "--out", run, "--resume", "--device", "cpu")
        result |= {f"resume {preset} {name}": value for name, value in hash_run(run).items()}
    run = work / "digits-resumed"
    ancestral("sample", run, "-n", 16, "--label", 3, "--guidance", 2, "--out", work / "resumed.npz")
    result["sample digits-resumed"] = hash_arrays(work / "resumed.npz")
    result |= {f"evaluate digits-resumed {key}": v for key, v in evaluate(run, work / "resumed-eval").items()}
    return result


def main() -> None:
    """Write a fingerprint, or compare two fingerprints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="one file to write, or two to compare")
    parser.add_argument("--work", type=Path, help="new folder for the runs")
    parser.add_argument("--runs", type=Path, help="work folder whose runs are resumed (default: --work)")
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

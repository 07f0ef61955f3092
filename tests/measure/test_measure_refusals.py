"""Commands that inspect data and evaluate models: what each refuses in one line, where nothing is written."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral
from ancestral.conditions import Vector
from ancestral.config import ProcessConfig
from test_evaluate_samples import noisy
from test_evaluate_trained import TINY
from tiny_models import stripes, untrained

DOCTOR = {
    "doctor": "SOURCE is missing",
    "doctor nowhere": "no such file or folder: 'nowhere'",
    "doctor digit": "did you mean digits?",
    "doctor notes.txt": "cannot be read as data",
    "doctor texts": "no images in texts: looked for",
    "doctor broken": "no item of broken can be read (1 tried), a.png for example: the file is empty",
    "doctor photos --preset foldr": "did you mean the preset folder?",
    "doctor photos --steps -1": "--steps must be at least 0",
    "doctor photos --threads 0": "--threads must be at least 1",
    "doctor photos --image-size 0": "image size 0",
    "doctor photos --device abacus": "no device 'abacus'",
    "doctor photos --out sheet.jpg": "the contact sheet is a .png, not .jpg",
    "doctor photos --out photos": "lies in the data and would be trained on",
    "doctor photos --out picture.png": "is not a contact sheet of ancestral",
    "doctor photos --json=all.txt": "--json writes .json files",
    "doctor photos more": "one word too many",
}
BITS = "evaluate twelve --data stripes.npz --likelihood"
LIKELIHOOD = {
    f"{BITS} -n 0": "n must be at least 1, not 0",
    f"{BITS} --batch-size 0": "--batch-size must be at least 1, not 0",
    f"{BITS} -n 41": "-n must be from 1 to 40",
    f"{BITS} --passes 1": "passes must be at least 2, not 1",
    "evaluate twelve --likelihood --data nowhere": "no such file or folder: 'nowhere'",
    "evaluate twelve --likelihood --data digits": "items of 1x28x28, but the model knows uint8 items of 1x8x8",
    "evaluate twelve --likelihood --data moons": "moons cannot be converted, but the model knows uint8 items of 1x8x8",
    f"{BITS} --split test": "has no test split",
    f"{BITS} --variance learned": "did not learn its variance",
    f"{BITS} --variance huge": "--variance",
    f"{BITS} --decoder best": "--decoder",
    f"{BITS} --probes 3": "--probes is an option of ode: give --ode too",
    f"{BITS} --ode --probes -1": "probes must be at least 0, not -1",
    f"{BITS} --ode --ode-steps 13": "choose 1 to 12",
    f"{BITS} --ode --ode-steps 0": "choose 1 to 12",
    f"{BITS} --device abacus": "no device 'abacus'",
    f"{BITS} --likelihod": "did you mean --likelihood?",
    f"{BITS} --guidance 2": "--guidance is an option of samples",
    f"{BITS} --split held-out": "has no test split: give data that the model was not trained on, --held-out",
    f"{BITS} --out notes.txt": "is a file",
    "evaluate tiny --likelihood": "the run was trained on it: say with --data where it is now",
    "evaluate imported --likelihood": "was imported or made from Python, so name the data",
    "evaluate points --likelihood --decoder tanh --data moons": "no grey levels",
    "evaluate broken-model --likelihood --data stripes.npz": "at t = 12 is not finite",
}
TWELVE = "evaluate twelve --extractor pixels"
DRAW = f"{TWELVE} --data train.npz"
SAMPLES = {
    f"{DRAW} --samples 0": "--samples must be at least 1, not 0",
    f"{DRAW} --samples 1000000000000": "give a smaller number",
    f"{DRAW} --samples 5": "5 samples are too few to measure: give at least 6",
    "evaluate twelve --data train.npz --extractor lite1": "unknown extractor 'lite1'",
    f"{DRAW} --sampler ddimm": "did you mean ddim?",
    f"{DRAW} --steps 13": "13 sampling steps do not fit a schedule of 12",
    f"{DRAW} --guidance nan": "--guidance cannot be 'nan': give a number",
    f"{DRAW} --held-out nowhere": "no such file or folder: 'nowhere'",
    f"{DRAW} --held-out digits": "the model knows uint8 items of 1x8x8",
    f"{DRAW} --held-out few.npy": "5 held-out items are too few to measure: give at least 6",
    f"{TWELVE} --data few.npy": "5 training items are too few to measure: give at least 12",
    f"{DRAW} -n 3": "-n is an option of likelihood: give --likelihood too, or leave -n out",
    f"{DRAW} --ode-steps 3": "--ode-steps is an option of likelihood",
    f"{DRAW} --no-clip": "clip is an option of likelihood",
    "evaluate waves --data waves.npy": "no column 'pose'",
    "evaluate tiny --conditions 3": "--conditions 3 is for models with conditions besides the label",
    "evaluate upscaler --conditions 90": "--conditions must be from 2 to 15, the items that can be taken, not 90",
    "evaluate upscaler --conditions 1": "--conditions must be from 2 to 15",
    "evaluate upscaler --members 46 --conditions 2": "--members 46 needs as many training items",
    "evaluate upscaler --members 3 --conditions 0": "--members 3 is the number of samples",
    "evaluate upscaler --members 3 --likelihood": "--members 3 is the number of samples",
}
REFUSALS = DOCTOR | LIKELIHOOD | SAMPLES


@pytest.fixture(scope="module")
def folder(tiny_run, tmp_path_factory):
    """A working folder with data and models."""
    place = tmp_path_factory.mktemp("refusals")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        save_data()
        save_models()
    shutil.copytree(tiny_run.path, place / "tiny")
    return place


def save_data():
    for name in ("texts/a.csv", "texts/b.txt", "notes.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("x")
    Path("broken").mkdir()
    Path("broken/a.png").touch()
    Path("photos").mkdir()
    for name in ("picture.png", "photos/a.png"):
        Image.new("RGB", (32, 32), "red").save(name)
    dataset, (images, labels) = stripes(), noisy(60)
    np.savez("stripes.npz", images=dataset.items.numpy(), labels=dataset.labels.numpy())
    np.savez("train.npz", images=images, labels=labels)
    np.save("few.npy", images[:5])
    np.save("waves.npy", np.random.default_rng(0).normal(size=(40, 2, 16)).astype(np.float32))


def save_models():
    process = ProcessConfig("cosine", timesteps=12, target="v")
    names = ("twelve", "imported", "broken-model")
    models = {name: untrained((1, 8, 8), ("vertical", "horizontal"), process) for name in names}
    object.__setattr__(models["imported"].config, "preset", "imported")
    with torch.no_grad():
        next(models["broken-model"].denoiser.parameters()).fill_(math.nan)
    models["points"] = untrained((2,), process=process)
    models["waves"] = untrained((2, 16), process=process, conditions={"pose": Vector((1.0, 1.0), (0.3, 0.3))})
    for name, model in models.items():
        model.save(Path(name) / "model.safetensors")
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    np.savez("small.npz", images=images, labels=np.arange(60) % 2)
    quick = {**TINY, "steps": 1, "preview_steps": 1, "trackers": "none", "progress": False}
    ancestral.train("arrays", data="small.npz", given="upscale:2", out="upscaler", **quick)


@pytest.mark.parametrize("command", REFUSALS)
def test_what_cannot_be_measured_is_refused_in_one_line(folder, refused_in, command):
    assert REFUSALS[command] in refused_in(folder, command)

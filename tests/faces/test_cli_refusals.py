"""Commands that cannot be carried out: each is refused in one line that says what to do, and writes nothing."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

import ancestral
from tiny_models import untrained

WORDS = {
    "trian": "did you mean train?",
    "inspect photos": "did you mean doctor?",
    "train digitz": "did you mean the preset digits?",
    "train digits --stpes 3": "did you mean --steps?",
    "train digits --xyzzy 3": "no option --xyzzy",
    "train digits --caption red": "no option --caption; a model learns from captions by ",
    "train digits moons more": "one word too many",
    "train digits --steps many": "--steps",
    "train digits --lr": "--lr",
    "train --data photos --resolution 64": "did you mean --image-size?",
    "train digits --epochs 3": "training counts steps",
    "train digits --learning_rate=3": "did you mean --lr?",
    "train digits --rgba": "did you mean --channels 4?",
    "train digits --augmentation": "did you mean --augment?",
    "train digits --no-attention": "--attention without a number leaves self-attention out",
    "sample run --height 64": "did you mean --size?",
    "evaluate run --height 64": "images have the size that the model was trained on",
    "sample run --prompt 'a cat'": "no option --prompt; did you mean --given 'caption=a cat'?",
    "sample run --num-samples 4": "did you mean -n?",
    "sample run --checkpoint x": "name the run folder or the model file without an option",
    "evaluate run --gpu": "did you mean --device cuda?",
    "runs --jsn": "has no option --jsn; did you mean --json?",
    "runs --yess": "has no option --yess; see ancestral runs --help",  # --yes deletes
    "runs --format json": "has no option --format; see ancestral runs --help",
    "studio --json": "ancestral studio has no option --json; see",  # it has no result
    "sample": "RUN is missing; see ancestral sample --help",
}
"""Words that the command line does not know."""
SETTINGS = {
    "train digits --precision fp8": "--precision",
    "train digits --steps 0": "--steps must be at least 1",
    "train digits --preview-steps 0": "--preview-steps must be at least 1",
    "train digits --batch-size -1": "--batch-size must be at least 1",
    "train digits --lr 0": "--lr must be above 0",
    "train digits --lr inf": "--lr must be above 0 and finite",
    "train digits --lr nan": "--lr cannot be",
    "train digits --ema 1.5": "--ema must be",
    "train digits --mults 0": "--mults must be one or more numbers from 1",
    "train digits --width 2": "from 4 to 65536",
    "train --data pics --width 5": "--width 5 must be even",
    "train --data pics --blocks 0": "--blocks must be from 1 to 256",
    "train --data pics --patch 0": "--patch must be from 1 to 1024",
    "train digits --groups 0": "--groups must be from 1",
    "train digits --groups 5": "--groups 5 must divide",
    f"train digits --seed {2**70}": "--seed must be",
    "train digits --timesteps 0": "1 to 1,000,000",
    "train digits --schedule flow --target eps": "use --target v, x0, flow or edm",
    "train digits --zero-terminal-snr --target score": "says nothing of x_0 there",
    "train digits --schedule flow --zero-terminal-snr": "only a schedule with",
    "train digits --sigma-max 5": "--sigma-max is for the schedules geometric and karras",
    "train ncsn --sigma-max 0": "0 < sigma_min < sigma_max",
    "train digits --sampler dimm": "did you mean ddim?",
    "train digits --sampler heun:steps=2000": "2000 sampling steps do not fit",
    "train digits --sampler ddpm:variance=learned": "did not learn its variance",
    "train digits --sampler ddim:clip=abc": "clip of the sampler ddim cannot be 'abc'",
    "train digits --learned-variance --timesteps 1": "at least 2 steps",
    "train digits --weighting variational --timesteps 1": "at least 2 steps",
    "train digits --weighting heavy": "--weighting",
    "train digits --times often": "--times",
    "train digits --device abacus": "no device 'abacus'",
    "train digits --image-size 2": "too small",
    "train digits --image-size 0": "image size 0",
    "train points --image-size 8": "image size",
    "train digits --image-size 32x": "image size 32x is impossible: give the side of a square",
    "train digits --net transformer --width 20 --heads 3": "--width 20",
    "train digits --net transformer --heads 0": "--heads",
    "train digits --net transformer --mults 1 2": "--mults",
    "train points --net transformer": "take an MLP",
    "train points --validation 0": "--validation must be above 0 and below 1, not 0.0",
    "train points --validation 10%": "--validation: no such file or folder: '10%'",
    "train points --validation nowhere": "give a share of the items, as in 0.1 or 0.1:blocks, or other data",
    "train points --validation 0.1:block": "--validation 0.1:block holds out no item: give a share between 0 and 1",
    "train points --validation 1.5:blocks": "as in --validation 0.1, or --validation 0.1:blocks",
    "train points --validation 0.00001:blocks": "--validation 1e-05:blocks of",
    "train digits --layout item,y,x": "digits holds no arrays, whose axes --layout names: leave --layout out",
    "train digits --layout y,x": "the layout of an array cannot be 'y,x': name each axis once, item, channel",
    "train digits --memory-format rows": "--memory-format",
    "train moons --balance": "moons has no classes to balance: leave --balance out",
    "train digits --compile --checkpointing": "a compiler decides itself what is recomputed: leave --checkpointing out",
    "train digits --compile max-autotune --shard": "leave --shard out, or give --compile",
    "doctor moons --threads 100000": "--threads 100000 are too many",
    "sample tiny --steps 5000": "1 to 1000",
    "sample tiny -n 0": "at least 1",
    "sample tiny --sampler ddmp": "did you mean ddpm?",
    "sample tiny --sampler ddpm --eta 1": "no option eta",
    "sample tiny --guidance nan": "must be a finite number, not nan",
    "sample tiny --gif a.avi": "--gif writes",
    "sample tiny --film a.gif": "--film writes",
    "sample tiny --eta 2": "eta must lie between",
    "sample tiny --label diagonal": "vertical, horizontal",
    "sample tiny --out x.jpg": "cannot write .jpg",
    "sample tiny --variance huge --sampler ddpm": "give large, small, learned",
}
"""Settings that cannot be."""
PLACES = {
    "train pics --data moons": "given twice, pics and moons",
    "train folder": "--data",
    "train --data nowhere": "no such file or folder: 'nowhere'",
    "train --data digit": "did you mean digits?",
    "train pictures/": "no such file or folder: 'pictures/'",
    "train photo": "there is no preset 'photo', and no such file or folder; did you mean the preset photos",
    "train icon": "and no such file or folder; did you mean the data icons?",
    "train qqq": "there is no preset 'qqq', and no such file or folder. Presets: digits",
    "train icon/": "no such file or folder: 'icon/'; did you mean icons?",
    "doctor sub/photo": "no such file or folder: 'sub/photo'; did you mean sub/photos?",
    "train --data sample.npz": "no such file or folder: 'sample.npz'; did you mean samples.npz?",
    "train --data letter.txt": "no such file or folder: 'letter.txt' (built-in data: ",
    "train --data icons --out run": "no images in",
    "train points --out notes.txt": "is a file",
    "sample nowhere": "no run folder or model file nowhere",
    "info nowhere": "no run folder or model file nowhere",
    "sample notes.txt": "not a whole safetensors file",
    "info pics": "holds no model.safetensors",
    **{f"{verb} hf://tiny": "write hf://user/repo" for verb in ("info", "sample", "export")},
    **{f"sample 'cut/{length}'": "cut short" for length in (0, 5, 100, "half", "all but one")},
    "sample points --out folder": "points of 2 channels",
    "sample tiny -n 2 --steps 2 --out pics": "not empty",
    "train points --out points": "--resume",
    "train digits --out points --resume": "of the preset points, not digits",
    "train points --out points --resume --width 32": "--width 16",
    "train points --out points --resume --data swissroll": "--data moons",
    "train points --out points --resume --target v": "--target eps",
    "train points --out points --resume --clip": "with --no-clip, so it cannot go on with --clip;",
    "train points --out gone --resume": "checkpoints is gone, so",
    "train --out typo --resume": "to go on with, and nothing says what to begin",
    "train points --out emptied --resume": "all in",
    "sample signals --out folder": "hold no signals",
    "sample volumes --out folder": "hold no volumes",
    "sample rectangles --out folder": "float32",
    "sample odd --out folder": "7 channels in uint16",
    "evaluate odd --likelihood --data floats.npy": "holds float items of",
    "train --data waves.npy --dims 1 --image-size 8": "1-D data is not resized",
}
"""Data, models and run folders that are not there, are damaged, or are others than the command needs."""
REFUSALS = WORDS | SETTINGS | PLACES


@pytest.fixture(scope="module")
def folder(tiny_run, tmp_path_factory):
    """A working folder with runs, data and damaged files."""
    place = tmp_path_factory.mktemp("refusals")
    small = {"steps": 1, "batch_size": 2, "width": 16, "preview_steps": 1, "trackers": "none", "progress": False}
    ancestral.train("points", out=place / "points", **small)
    shutil.copytree(tiny_run.path, place / "tiny")
    for name in ("gone", "emptied"):
        shutil.copytree(place / "points", place / name)
        shutil.rmtree(place / name / "checkpoints")
    (place / "emptied" / "checkpoints").mkdir()
    for name in ("pics", "icons", "sub/photos"):
        (place / name).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(place / "pics" / "a.png")
    (place / "letters.txt").touch()
    (place / "samples.npz").touch()
    (place / "notes.txt").write_text("this is not a model " * 20)
    whole = tiny_run.model.read_bytes()
    for name, length in (("half", len(whole) // 2), ("all but one", -1), *((str(n), n) for n in (0, 5, 100))):
        (place / "cut" / name).mkdir(parents=True)
        (place / "cut" / name / "model.safetensors").write_bytes(whole[:length])
    np.save(place / "waves.npy", np.zeros((12, 2, 18), np.float32))
    np.save(place / "floats.npy", np.linspace(20, 30, 12 * 7 * 8 * 8, dtype=np.float32).reshape(12, 7, 8, 8))
    for name, shape, kind in (
        ("signals", (2, 16), "float"),
        ("volumes", (1, 8, 8, 8), "uint16"),
        ("rectangles", (3, 8, 16), "float"),
        ("odd", (7, 8, 8), "uint16"),
    ):
        model = untrained(shape)
        model.spec = dataclasses.replace(model.spec, codec=ancestral.data.Codec(kind))
        model.save(place / name / "model.safetensors")
    return place


@pytest.mark.parametrize("command", REFUSALS)
def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_written(folder, refused_in, command):
    assert REFUSALS[command] in refused_in(folder, command)

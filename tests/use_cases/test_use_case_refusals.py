"""Commands that sample, edit, average and list: what each refuses in one line, where nothing is written."""

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ancestral
from ancestral.conditions import Classes, Vector
from ancestral.conditions import Image as ImageCondition
from ancestral.render import writers
from tiny_models import untrained

SAMPLING = {
    "sample run --index -1": "from 0 to 2^63 - 1",
    "sample run --index x": "--index",
    "sample run --index 3 -n 2": "already names the samples: leave -n out",
    "sample run --label 0 diagonal": "no class 'diagonal'",
    "sample run --fps 10": "--fps and --scale are those of an animation: add --gif",
    "sample run --gif --fps 0": "--fps must be from 1 to 50, not 0",
    "sample run --gif --scale 11": "--scale must be from 0.05 to 10, not 11",
    "sample run --out x.avi": "--out takes .png, .gif, .webp, .mp4, .npz, .nc, .zarr, .nii.gz, .tif or the name of a",
    "sample run --guidance 2 --weak 3": "run has no snapshots of averages: give a run that was trained with",
    "sample run --like plain.png": "plain.png holds no recipe",
    "sample run --like text.png": "text.png is no PNG",
    "sample run --like version.png": "has the schema 'recipe-9'",
    "sample run --like number.png": "the recipe in number.png: model",
    "sample given --guidance low=2 angle=2 --given low=small": "--guidance angle=2 has no effect, since angle is",
    "sample given --guidance angle=2 angle=3 --given angle=3": "two scales of one condition in 'angle=2 angle=3'",
    "sample given --weak given": "--weak has no effect without a scale of guidance: add --guidance 2, or leave it out",
    "sample given --guidance-interval 0 1": "--guidance-interval has no effect without a scale of guidance",
    "sample given --guidance 2": "is given no condition, so there is nothing for guidance to strengthen: give one of",
    "sample given --given low=none.npz": "no such file",
    "sample given --given low=bad.npz": "no whole .npz",
    "sample given --given low=other.npz": "there is no array low in it",
    "sample cats --like edit.png": "is an edit: make it again by ancestral edit",
}
SWEEP = "sample run --sweep"
SWEEPS = {
    f"{SWEEP} foo=1": "a sweep has no 'foo'; it has label, steps, eta, variance, seed, sampler, guidance",
    f"{SWEEP} =1": "--sweep cannot be '=1': give NAME=FIRST:LAST:COUNT, as in guidance=1:5:5, or NAME=A,B,C",
    f"{SWEEP} guidance=1:2:0": "'1:2:0' are no evenly spaced numbers: give 1 to 1,024 of them",
    f"{SWEEP} guidance=1,,2": "guidance of a sweep cannot be '': give numbers or names",
    f"{SWEEP} guidance": "guidance of a sweep has no values: give NAME=FIRST:LAST:COUNT, as in guidance=1:5:5,",
    f"{SWEEP} guidance=much": "guidance of a sweep cannot be 'much': give a number",
    f"{SWEEP} guidance_rescale=0,2 --guidance 2": "--guidance-rescale must be from 0 to 1, not 2",
    f"{SWEEP} seed=1:1024:1024 --by label=0,1": "a sweep of 2,048 cells is too large: give at most 1,024",
    f"{SWEEP} seed=1:1024:1024 -n 64": "1,024 cells of 64 samples are too many: give at most 16,384 in all",
    f"{SWEEP} label=diagonal": "no class 'diagonal'",
    f"{SWEEP} label=1 --by label=0": "--sweep and --by name label both: give another to one",
    f"{SWEEP} label=1 --label 0": "label is swept, so each cell has its own: leave --label out",
    f"{SWEEP} guidance.label=1,2 --guidance 2": "give --guidance of other conditions by name, or leave it out",
    f"{SWEEP} sampler=ddim,heun --eta 1": "the sampler is swept, and not all samplers have --eta: leave it",
    f"{SWEEP} sampler=dimm": "sampler of a sweep cannot be 'dimm': it has ddpm, ddim",
    f"{SWEEP} sampler=ddim:eta=1": "sampler of a sweep cannot be 'ddim:eta=1': it has ddpm, ddim",
    f"{SWEEP} guidance=1:5:{'9' * 5000} --label a": "are no evenly spaced numbers: give 1 to 1,024 of them",
    f"sample run --weak {'9' * 5000} --guidance 2": "there is no run folder or model file 9999",
    f"{SWEEP} index=1,2 -n 2": "already names the samples: leave -n out",
    f"{SWEEP} label=0 --gif": "--gif has no meaning in a sweep, which is a table of samples: leave it out",
    f"{SWEEP} label=0 --film": "--film has no meaning in a sweep",
    f"{SWEEP} label=0 --fps 9": "--fps has no meaning in a sweep",
    f"{SWEEP} label=0 --branch edit.png --at 1": "leave --sweep out",
    f"{SWEEP} label=0 --like edit.png": "leave --sweep out",
    f"{SWEEP} label=0 --out x.gif": "cannot write a sweep as a .gif file; --out takes .png or .npz",
    f"{SWEEP} steps=2,3 --then run": "steps is swept, which is for one model: leave --then out",
    "sample run --by label=0": "--by gives the rows of a table, whose columns --sweep NAME=VALUES gives: add it",
    "sample given --sweep angle=1,2 --given angle=3": "its own: leave --given angle out",
    "sample given --sweep low=small": "low of a sweep is an image, which has no list of values: --given low=FOLDER",
    "sample given --sweep hair=red": "hair has no class 'red'",
    "edit cats vary photo.png --sweep noise=0,1": "--noise is an option of inpaint and restore, and has no meaning in",
    "edit cats vary photo.png --sweep strength=0:2:3": "--strength must be from 0 to 1, not 2",
    "edit cats vary photo.png --sweep strength=0.5 --film": "--film has no meaning in a sweep",
    "edit cats restore photo.png --noise 0.1 --sweep operator=os:system": "it has upscale, grey, mask",
    "edit cats restore photo.png --noise 0.1 --sweep operator=blur:1,grey+os:system": "cannot be 'grey+os:system'",
    "edit cats restore photo.png --operator blur:1 --sweep operator=blur:2": "operator is swept",
    "edit cats restore photo.png --operator blur:1 --sweep method=magic": "cannot be 'magic': it has auto, trained",
}
IN = "edit cats inpaint photo.png"
BOX = f"{IN} --box 0,0,2,2"
RE = "edit cats restore photo.png --operator"
MASK = f"{IN} --mask mask.png"
EDITS = {
    "edit cats repaint photo.png": "cannot be 'repaint': give inpaint, restore, vary, interpolate",
    "edit cats inpaint": "inpaint needs an image",
    IN: "needs a mask: give --mask mask.png, since the image photo.png has no transparent pixels",
    f"{BOX} --changes white": "--changes and --box both say what changes",
    f"{BOX} --mask mask.png": "--mask and --box both say what changes",
    f"{IN} --mask none.png": "--mask none.png: there is no such file",
    f"{IN} --mask large-mask.png": "is 20x30, and the image 8x8 (height x width): give a mask of these",
    f"{IN} --mask black.png": "nothing changes: the mask black.png is all black, and white is what changes",
    f"{IN} --mask white.png": "nothing is known: the mask white.png covers all",
    f"{IN} --mask cut.png": "the mask cut.png cannot be read",
    f"{IN} --mask sheet.png": "give --changes painted or transparent",
    f"{IN} --box 0,0,20,2": "beyond the image of 8 x 8 pixels",
    f"{IN} --box a,b": "--box a,b: give x,y,width,height",
    f"{IN} other.png --box 0,0,2,2": "is an option of interpolate, and has no meaning in inpaint",
    f"{BOX} --strength 0.3": "--strength is an option of vary, and has no meaning in inp",
    f"{BOX} --noise -1": "--noise must be at least 0",
    f"{BOX} --soften -1": "--soften must be from 0 to 256",
    f"{MASK} --changes grey --soften some": "--soften",
    "edit cats vary photo.png --soften 2": "--soften 2.0 has no edge to soften: give --window x,y,w,h",
    "edit cats interpolate photo.png other.png --soften 2": "--soften is an option of inpaint and restore and vary",
    f"{BOX} --extend 0,0,4,0": "--box and --extend both say what changes: give one of them",
    f"{IN} --extend 0,0,4": "--extend 0,0,4: give left,top,right,bottom in whole pixels",
    f"{IN} --extend 100000,0,0,0": "more than 1,024 windows",
    f"{IN} --extend 0,0,4,0 --soften 2": "--soften has no effect with --extend",
    "edit cats vary photo.png --extend 0,0,4,0": "--extend is an option of inpaint, and has no meaning in vary",
    f"{IN} --extend 0,0,4,0 --like edit.png": "leave --extend out",
    f"{BOX} --window 0,0,4": "--window 0,0,4: give x,y,width,height",
    f"{BOX} --window 0,0,9,9": "--window 0,0,9,9 reaches to 9,9, beyond the image of 8 x 8",
    f"{BOX} --window 0,0,4,6": "does not have the proportions of the model, whose images are 8 x 8 (width x height)",
    f"{BOX} --window 4,4,4,4": "nothing changes: --window 4,4,4,4 holds none of what the mask changes",
    f"{BOX} --window 0,0,2,2": "too little of the image is known",
    "edit cats interpolate photo.png other.png --window 0,0,4,4": "--window is an option of inpaint",
    f"{RE} upscale:2 --window 0,0,4,4": "--window needs an operator that keeps the size and the channels",
    f"{MASK} --changes light": "--changes cannot be 'light': give white, black, painted, transparent, grey",
    f"{IN} --mask black.png --changes grey": "nothing changes: the mask black.png is all black",
    f"{BOX} --method magic": "unknown method 'magic'",
    f"{BOX} --method trained": "not trained with a condition",
    f"{BOX} -n 0": "-n must be at least 1",
    f"{BOX} -n 2 --index 1": "already names the samples: leave -n out",
    f"{BOX} --sampler dimm": "did you mean ddim?",
    f"{BOX} --label cow": "there is no class",
    f"{BOX} --given age=3": "not conditioned on 'age'",
    f"{BOX} --gif": "--gif is an option of interpolate",
    f"{BOX} --out x.jpg": "cannot write .jpg files; --out takes .png, .npz, .nc, .zarr",
    f"{BOX} --out grey": "is not empty",
    "edit cats inpaint none.png --box 0,0,2,2": "none.png: there is no such file or folder",
    "edit cats inpaint cut.png --box 0,0,2,2": "cut.png cannot be read as the image",
    "edit cats inpaint bomb.png --box 0,0,2,2": "million pixels: too large to be decoded safely",
    "edit cats inpaint nan.npy --box 0,0,2,2": "holds NaN or infinity",
    "edit cats inpaint two.npy --box 0,0,2,2": "has 2 channels, and the model takes 3",
    "edit cats inpaint pair.npy --box 0,0,2,2": "2 images are given as image: give one in a call",
    f"{IN} --box 1,1,7,7 --given x": "give the name of a condition and its value",
    "edit cats restore photo.png": "restore lacks --operator upscale:4",
    f"{RE} upscale:3": "must be a multiple",
    f"{RE} upscale:2": "is 8x8, and the model takes 4x4: bring it to this size",
    f"{RE} blurry": "--operator cannot be 'blurry'",
    f"{RE} mask": "random mask",
    f"{RE} blur:1 --mask mask.png": "--mask is an option of inpaint",
    "edit cats vary photo.png --strength 1.5": "--strength must be from 0 to 1",
    "edit cats interpolate photo.png": "walks between two images: give both",
    "edit cats interpolate photo.png none.png": "none.png: there is no such file",
    f"{MASK} --like edit.png --seed 3": "leave --seed out",
    f"{MASK} --like edit.png --noise 0.3": "leave --noise out",
    "edit cats inpaint other.png --mask mask.png --like edit.png": "another image (photo.png): give that one",
    f"{IN} --box 0,0,3,3 --like edit.png": "another mask (mask.png): give that one",
    "edit cats vary photo.png --like edit.png": "was made by inpaint, not by vary",
    "edit grey inpaint photo.png --mask mask.png --like edit.png": "was made by another model",
    f"{MASK} --like plain.png": "holds no recipe",
    "edit trained vary photo.png": "trained is a model of points; images, signals and volumes can be edited",
    "edit signals inpaint photo.png --mask mask.png": "the image has floats from -1 to 1, and photo.png integers",
    "edit nowhere vary photo.png": "there is no",
}
RUNS = {
    "average trained --lengths 0.05 0.5": "an averaging length is",
    "average trained --lengths abc": "--lengths cannot be 'abc': give a number, or several",
    **{
        f"average trained --end {end}": f"--end must be 16 to 40, the steps of the snapshots of trained, not {end}"
        for end in (1, 8, 41)
    },
    "average grey": "has 0 snapshots",
    "average run": "has 0 snapshots of averages",
    "average nothing": "no run folder",
    "average": "RUN is missing",
    "average hf://user/repo": "snapshots in a run folder",
    "average trained --out grey": "did not write",
    "train points --snapshots -1": "--snapshots must be at least 0",
    "train --data moons --out new --from trained --width 32": "cannot have --width 32",
    "train --data moons --out new --from nowhere": "no run folder or model file nowhere",
    "train --config none.json": "cannot read the config",
    "train --config small": "cannot read the config",
    "train points --config fashion.json": "is for the preset fashion, not points",
    "distil --steps 3": "RUN is missing",
    "distil trained --mults 1 2": "--mults is for --net unet",
    "distil trained --until plateau": "stages of a distillation are shares of its steps: leave --until out",
    "runs": "there is no folder runs",
    "runs x --clean": "there is no folder x",
    "runs --yes": "give both",
}
CONFIGS = {
    "{": "is not JSON",
    "[1]": "should hold a JSON object",
    '{"stepz": 3}': "there is no setting 'stepz'; did you mean steps?",
    '{"train": {"stepz": 3}}': "there is no setting 'stepz'",
    '{"steps": "many"}': "steps cannot be 'many': give a whole number",
    '{"preset": "digitz"}': "did you mean the preset digits?",
    '{"preset": 3}': "there is no preset '3', and no such file or folder",
    '{"net": "resnet"}': "no kind of network 'resnet'",
    '{"net": ["a"]}': "no kind of network",
    '{"steps": 0}': "--steps must be at least 1",
    '{"initial": {"model": "x"}}': "there is no setting 'initial'",
}
"""Files of settings."""


@pytest.fixture(scope="module")
def folder(tiny_run, tmp_path_factory):
    """A working folder with models, pictures and damaged files."""
    place = tmp_path_factory.mktemp("refusals")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        save_models(tiny_run.path)
        save_pictures()
        save_arrays()
        options = {"steps": 3, "n": 1, "progress": False}
        ancestral.edit("cats", "inpaint", "photo.png", mask="mask.png", out="edit.png", **options)
    return place


def save_models(run):
    Path("run").mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(run / name, "run")
    conditions = {
        "low": ImageCondition(1, (0.0, 255.0), (4, 4), made_by="upscale:2"),
        "angle": Vector((45.0,), (20.0,)),
        "hair": Classes(("dark", "fair")),
    }
    for name, model in {
        "cats": untrained((3, 8, 8), ("cat", "dog")),
        "grey": untrained((1, 8, 8)),
        "signals": untrained((1, 32)),
        "given": untrained((1, 8, 8), conditions=conditions),
    }.items():
        model.save(Path(name) / "model.safetensors")
    small = {"steps": 40, "batch_size": 4, "width": 16, "preview_steps": 1, "trackers": "none", "progress": False}
    ancestral.train("points", out="trained", snapshots=5, **small)


def save_pictures():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    mask, transparency = (np.zeros(size, np.uint8) for size in ((8, 8), (8, 8, 4)))
    mask[2:6, 3:8] = 255
    transparency[..., 3] = 255 - mask
    for name, array in {
        **{"photo": pixels, "other": pixels[..., ::-1], "plain": pixels, "small/one": pixels[:4, :4, 0]},
        **{"mask": mask, "black": 0 * mask, "white": 0 * mask + 255, "sheet": transparency},
        **{"large-mask": np.tile(mask[:4, :6], (5, 5)), "large": np.tile(pixels, (5, 8, 1))},
    }.items():
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(array).save(f"{name}.png")
    for name, recipe in (("version", '{"schema": "recipe-9"}'), ("number", '{"model": 3}')):
        writers.write_picture(Path(f"{name}.png"), Image.new("L", (2, 2)), recipe)
    Path("text.png").write_text("no picture")
    Path("cut.png").write_bytes(Path("large.png").read_bytes()[:200])
    header = b"IHDR" + struct.pack(">2I5B", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    Path("bomb.png").write_bytes(bomb + Path("photo.png").read_bytes()[33:])


def save_arrays():
    np.save("nan.npy", np.full((3, 8, 8), np.nan, np.float32))
    np.save("two.npy", np.zeros((2, 8, 8), np.uint8))
    np.save("pair.npy", np.zeros((2, 3, 8, 8), np.uint8))
    np.savez("other.npz", images=np.zeros((2, 4, 4), np.uint8))
    Path("bad.npz").write_bytes(b"no array")
    Path("fashion.json").write_text('{"preset": "fashion"}')


REFUSALS = SAMPLING | SWEEPS | EDITS | RUNS


@pytest.mark.parametrize("command", REFUSALS)
def test_what_cannot_be_is_refused_in_one_line(folder, refused_in, command):
    assert REFUSALS[command] in refused_in(folder, command)


@pytest.mark.parametrize("text", CONFIGS)
def test_a_file_of_settings_that_is_wrong(tmp_path, refused_in, text):
    (tmp_path / "a.json").write_text(text)
    assert CONFIGS[text] in refused_in(tmp_path, "train --config a.json")

"""`ancestral doctor` and `ancestral.inspect`: planted faults are named, statistics are NumPy's, copies are copies."""

import contextlib
import dataclasses
import errno
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor, ImageDraw

import ancestral
from ancestral import config as configs
from ancestral import data
from ancestral.base.errors import InputError
from ancestral.base.events import Message
from ancestral.base.options import in_python, spell
from ancestral.data import files
from ancestral.declarations import Inspect, Train
from ancestral.measure import findings, items
from ancestral.measure.items import class_counts, value_statistics
from ancestral.results.data_report import DataReport
from ancestral.training import Trainer, step_cost
from tiny_models import events_of, stripes, tiny_config

inspect = events_of(Inspect)
train = events_of(Train)

EMOJI = Path(__file__).parents[1] / "files" / "emoji"
DUPLICATES = {"duplicates", "near_duplicates"}
FOLDER = configs.preset("folder")


def examine(source, config=FOLDER, **options):
    return ancestral.inspect(source, config, progress=False, **{"steps": 0, "device": "cpu", **options})


def found(report, code):
    """The names of a finding; None where it was not made."""
    return next((dict(finding.names) for finding in report.findings if finding.code == code), None)


def codes(report):
    return {finding.code for finding in report.findings}


@pytest.fixture
def emoji(tmp_path):
    """A copy that may be spoiled."""
    path = tmp_path / "emoji"
    shutil.copytree(EMOJI, path)
    return path


def flat(path, colour, size=(32, 32), mode="RGB", **options):
    Image.new(mode, size, colour).save(path, **options)


# -- planted faults ---------------------------------------------------------------------------------------------------

FAULTS = {
    "unreadable": (
        "Food-Drink/corrupt.png",
        "Food-Drink/empty.png",
        "Food-Drink/text.png",
        "Food-Drink/unreadable.png",
    ),
    "duplicates": ("Food-Drink/twin.png",),
    "mode": ("Food-Drink/cmyk.jpg",),
    "tiny": ("Food-Drink/tiny.png",),
    "animated": ("Food-Drink/animated.webp",),
}


def plant(root):
    """One of each."""
    place = root / "Food-Drink"
    some = sorted(place.glob("*.png"))
    (place / "corrupt.png").write_bytes(some[0].read_bytes()[:900])
    with Image.open(some[1]) as image:
        image.save(place / "twin.png", compress_level=1)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    Image.fromarray(noise, "CMYK").save(place / "cmyk.jpg", quality=95)
    (place / "text.png").write_text("not an image")
    Image.fromarray(noise[:9, :7, :3].copy()).save(place / "tiny.png")
    frames = [Image.fromarray(noise[:48, i : i + 48, :3].copy()) for i in (0, 8, 16)]
    frames[0].save(place / "animated.webp", save_all=True, append_images=frames[1:], lossless=True)
    (place / "empty.png").touch()
    Image.fromarray(noise[::-1, :, :3].copy()).save(place / "really-a-jpeg.png", "JPEG")
    (place / "loop").symlink_to(root, target_is_directory=True)
    locked = place / "unreadable.png"
    locked.write_bytes(some[2].read_bytes())
    return locked


@pytest.fixture
def lock(monkeypatch):
    """Take the right to read a file away, even from the superuser."""

    def lock(path):
        path.chmod(0)
        opened = os.open

        def refuse(file, *args, **options):
            if file == path:
                raise PermissionError(errno.EACCES, "Permission denied", str(file))
            return opened(file, *args, **options)

        monkeypatch.setattr(files.os, "open", refuse)

    return lock


def test_planted_faults_are_all_named(emoji, tmp_path, lock, run, monkeypatch):
    assert not codes(examine(emoji)) & set(FAULTS)
    lock(plant(emoji))
    monkeypatch.chdir(tmp_path)
    text = run("doctor", emoji, "--steps", 0, "--json", "all.json", "--out", "sheet.png", "--device", "cpu")
    tree = json.loads(Path("all.json").read_text(encoding="utf-8"))
    findings = {finding["code"]: finding for finding in tree["findings"]}
    for code, names in FAULTS.items():
        assert tuple(findings[code]["names"]) == names, code
        for name in names:
            assert f"{name}: {findings[code]['names'][name]}" in text
        assert findings[code]["text"] in text
        assert findings[code]["advice"]
    assert findings["unreadable"]["names"]["Food-Drink/unreadable.png"] == "Permission denied"
    assert findings["tiny"]["names"]["Food-Drink/tiny.png"] == "9x7"
    assert (tree["trainable"], tree["count"]) == (True, 65)
    lost = ("corrupt", "empty", "text", "unreadable")
    read = [path for path in emoji.rglob("*.*") if path.is_file() and path.stem not in lost]
    assert tree["files"]["bytes"] == sum(path.stat().st_size for path in read)
    with Image.open("sheet.png") as sheet:
        assert sheet.width >= 1240


def test_it_reads_what_training_reads(emoji):
    plant(emoji)
    report = examine(emoji)
    dataset = data.load(str(emoji), image_size=32, channels=3)
    assert report.count == len(dataset)
    assert report.classes == class_counts(dataset.labels, dataset.classes)
    assert found(report, "unreadable") == dict(line.split(": ", 1) for line in dataset.skipped)
    (emoji / "broken.png").write_bytes(b"broken")  # classes follow from names
    assert data.load(str(emoji), image_size=32, channels=3).classes == ()
    assert examine(emoji).classes == {}


def test_threads_change_nothing(emoji):
    plant(emoji)
    one, many = (json.loads(examine(emoji, threads=threads).to_json()) for threads in (1, 5))
    assert one == many


# -- statistics -------------------------------------------------------------------------------------------------------


def test_statistics_of_a_folder_are_those_of_the_loaded_data(emoji):
    items = data.load(str(EMOJI), image_size=32, channels=3).items.numpy().astype(np.float64)
    got = examine(emoji).values
    assert np.allclose(got.mean, items.mean((0, 2, 3)), atol=1e-9)
    assert np.allclose(got.std, items.std((0, 2, 3)), atol=1e-9)
    assert (got.low, got.high) == (items.min(), items.max())


@pytest.mark.parametrize(
    "items",
    [
        torch.randint(0, 256, (40, 3, 5, 7), dtype=torch.uint8),
        torch.randint(0, 256, (40, 1, 6, 6), dtype=torch.uint8),
        torch.randint(0, 65536, (30, 2, 5, 5), dtype=torch.int32).to(torch.uint16),
        1e6 + torch.randn(2000, 4, 9, dtype=torch.float64).float(),
        torch.rand(50, 2),
        torch.randn(12, 1, 4, 5, 6),
    ],
    ids=["rgb", "grey", "16-bit", "signals", "points", "volumes"],
)
def test_statistics_in_memory_are_numpys(items):
    got = value_statistics(items)
    array = items.numpy().astype(np.float64)
    axes = tuple(axis for axis in range(array.ndim) if axis != 1)
    assert np.allclose(got.mean, array.mean(axes), rtol=1e-12)
    assert np.allclose(got.std, array.std(axes), rtol=1e-9)
    assert (got.count, got.shape, got.low, got.high) == (len(items), items.shape[1:], array.min(), array.max())


# -- duplicates -------------------------------------------------------------------------------------------------------


def white(path):
    with Image.open(path) as image:
        sheet = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(sheet, image.convert("RGBA")).convert("RGB")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda image: image.resize((40, 40), Image.Resampling.LANCZOS),
        lambda image: reencoded(image.resize((200, 200), Image.Resampling.BICUBIC), 80),
    ],
    ids=["smaller", "larger jpeg"],
)
def test_a_picture_saved_again_is_found(emoji, spoil):
    originals = sorted(emoji.rglob("*.png"))
    for path in originals:
        spoil(white(path)).save(path.with_name(f"{path.stem}-again.png"))
    report = examine(emoji)
    pairs = {frozenset({name, remark.rpartition(" ")[2]}) for name, remark in found(report, "near_duplicates").items()}
    names = [path.relative_to(emoji).as_posix() for path in originals]
    again = {frozenset({name, name.replace(".png", "-again.png")}) for name in names}
    assert len(pairs) >= 0.95 * len(again)
    assert pairs <= again
    assert "duplicates" not in codes(report)


def reencoded(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def test_no_false_duplicates_among_flat_and_faint_images(tmp_path):
    for level in range(0, 256, 10):
        flat(tmp_path / f"grey{level}.png", (level, level, level))
        flat(tmp_path / f"red{level}.png", (255, level, 128))
    line = np.full((32, 32), 250, dtype=np.uint8)
    for column in range(0, 32, 4):
        drawn = line.copy()
        drawn[:, column : column + 2] = 200
        Image.fromarray(drawn).save(tmp_path / f"line{column}.png")
    report = examine(tmp_path)
    assert not codes(report) & DUPLICATES
    assert len(found(report, "flat")) == 52


def test_no_false_duplicates_among_the_digits_and_emoji():
    assert not codes(examine("digits", configs.preset("digits"))) & DUPLICATES
    assert not codes(examine(EMOJI)) & DUPLICATES


def test_exact_copies_are_grouped_and_crossing_classes_reported(emoji):
    first = sorted((emoji / "Food-Drink").glob("*.png"))[0]
    shutil.copy(first, emoji / "Travel-Places" / "z.png")
    shutil.copy(first, emoji / "Travel-Places" / "zz.png")
    report = examine(emoji)
    name = first.relative_to(emoji).as_posix()
    remark = f"the same pixels as {name}"
    assert found(report, "duplicates") == {"Travel-Places/z.png": remark, "Travel-Places/zz.png": remark}
    assert "near_duplicates" not in codes(report)
    assert set(found(report, "two_classes")) == {"Travel-Places/z.png", "Travel-Places/zz.png"}


def test_many_images_of_one_look_are_one_group():
    rng = np.random.default_rng(0)
    faint = (128 + rng.integers(0, 2, (2000, 1, items.THUMBNAIL_SIZE))).astype(np.uint8)
    assert not items.first_alike(faint).any()


# -- what is said of the data -----------------------------------------------------------------------------------------


def test_sizes_that_differ_are_an_error_without_an_image_size(tmp_path):
    flat(tmp_path / "a.png", "red", (40, 40))
    flat(tmp_path / "b.png", "blue", (90, 30))
    (tmp_path / "c.png").write_bytes(b"")
    report = examine(tmp_path, configs.preset("arrays"), steps=1)
    (finding,) = (finding for finding in report.findings if finding.code == "sizes")
    assert (finding.level, report.trainable, report.cost) == ("error", False, None)
    assert "a.png is 40 x 40" in finding.text or "b.png is 30 x 90" in finding.text
    assert "image_size='HxW'" in spell(finding.advice, in_python)
    assert (report.files.height, report.files.width, report.image_size) == ((30, 35, 40), (40, 65, 90), None)
    assert list(found(report, "unreadable")) == ["c.png"]
    assert examine(tmp_path).trainable


def test_shapes_and_crop(tmp_path):
    flat(tmp_path / "square.png", "red", (64, 64))
    flat(tmp_path / "wide.png", "blue", (128, 64))
    flat(tmp_path / "tall.png", "green", (64, 80))
    report = examine(tmp_path)
    assert report.files.cropped == pytest.approx((0 + 0.5 + 0.2) / 3)
    assert found(report, "aspect") == {"wide.png": "64x128 loses 50%"}
    assert report.files.width == (64, 64, 128)


def test_images_of_one_shape_get_the_size_that_keeps_it(tmp_path):
    for number in range(6):
        flat(tmp_path / f"{number}.png", (40 * number, 0, 0), (24, 40))
    report = examine(tmp_path)
    assert (report.files.height, report.files.width) == ((40, 40, 40), (24, 24, 24))
    (finding,) = (finding for finding in report.findings if finding.code == "reading")
    assert finding.text == "the images looked at are 40 pixels high and 24 wide, and the crop to 32x32 loses 40%"
    assert finding.advice.startswith("image_size='40x24' (height x width) keeps their shape")
    assert "tiny" not in codes(report)
    kept = examine(tmp_path, image_size=(40, 24))
    assert (kept.image_size, kept.values.shape, codes(kept) & {"reading", "tiny"}) == ("40x24", (3, 40, 24), set())
    assert DataReport.from_json(kept.to_json()).image_size == "40x24"
    padded = examine(tmp_path, fit="pad")
    assert (padded.image_size, padded.files.cropped, "reading" in codes(padded)) == (32, 0, False)
    assert DataReport.from_json(padded.to_json()).image_size == 32


def test_transparency_and_background(tmp_path):
    flat(tmp_path / "clear.png", (255, 0, 0, 0), mode="RGBA")
    flat(tmp_path / "solid.png", (255, 0, 0, 255), mode="RGBA")
    blue = dataclasses.replace(FOLDER, data=dataclasses.replace(FOLDER.data, background="blue"))
    report = examine(tmp_path, blue)
    assert report.files.transparent == 1
    assert report.values.mean == (127.5, 0, 127.5)
    assert "laid on blue" in next(finding.text for finding in report.findings if finding.code == "transparent")


def drawings(folder, count, colour="white"):
    """Lines of one colour on transparency, no two alike."""
    folder.mkdir()
    for i in range(count):
        image = Image.new("RGBA", (32, 32), (*ImageColor.getrgb(colour), 0))
        ImageDraw.Draw(image).line([(4 * (i % 4), 2), (28 - 3 * (i // 4), 29)], colour, width=4 + i % 3)
        image.save(folder / f"{i:02}.png")
    return folder


def as_configured(**options):
    return dataclasses.replace(FOLDER, data=dataclasses.replace(FOLDER.data, **options))


@pytest.mark.parametrize("colour", ["white", "black", "grey"])
def test_drawings_on_transparency_differ_by_their_alpha(tmp_path, colour):
    """On a single background, all drawings in its colour looked the same: doctor said to delete them."""
    folder = drawings(tmp_path / "drawings", 12, colour)
    report = examine(folder, as_configured(channels=4))
    assert not codes(report) & {"flat", "transparent", *DUPLICATES}
    items = data.load(str(folder), channels=4).items
    reduced = items.clone()
    reduced[:, :3] += (reduced[:, :3] < 250).to(torch.uint8)
    twice = examine(torch.cat([items, reduced]), as_configured(channels=4))
    copies = found(twice, "near_duplicates" if colour != "white" else "duplicates")
    assert [remark.rpartition(" item ")[2] for remark in copies.values()] == [str(i) for i in range(12)]


def test_drawings_in_the_colour_of_the_background_have_a_cause_and_a_cure(tmp_path):
    folder = drawings(tmp_path / "drawings", 12)
    report = examine(folder)
    assert len(found(report, "flat")) == 12
    assert not codes(report) & DUPLICATES
    (flat,) = (finding for finding in report.findings if finding.code == "flat")
    assert "another background or channels=4" in flat.advice
    assert (report.trainable, "constant" in codes(report)) == (False, True)
    assert "flat" not in codes(examine(folder, as_configured(background="black")))


def test_balance(tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (("many", 30), ("few", 2)):
        (tmp_path / name).mkdir()
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "x.png").write_bytes(b"")
    report = examine(tmp_path)
    assert report.classes == {"few": 2, "many": 30, "none": 0}
    assert {"imbalance", "small_class", "empty_class"} <= codes(report)
    assert list(found(report, "empty_class")) == ["none"]


def test_bytes_that_were_scaled_to_one_are_reported(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 2, (20, 8, 8), dtype=np.uint8))
    assert "range" in codes(examine(tmp_path / "x.npy", configs.preset("arrays")))


# -- other sources ----------------------------------------------------------------------------------------------------


GOOD = np.random.default_rng(0).normal((288.0, 101_000.0), (4.16, 600.0), (200, 8, 8, 2)).astype(np.float32)


def with_value(value, count=1):
    """Temperature in K beside pressure in Pa, with a value in the last fields of the first."""
    fields = GOOD.copy()
    fields[len(fields) - count :, 3, 5, 0] = value
    return fields


@pytest.mark.parametrize(
    ("fields", "ranges", "code", "says"),
    [
        (with_value(1e30), "channel", "fill value", "1 of 12,800 values of channel 0 are 1e+30, as where values are"),
        (with_value(-9999, 9), "channel", "fill value", "9 of 12,800 values of channel 0 are -9999, as where values"),
        (
            with_value(9.96921e36),
            "channel",
            "fill value",
            "are 9.96921e+36, as where values are missing; the others, 27",
        ),
        (with_value(54_321.5), "channel", "range", "% of the range 27"),
        (GOOD, "shared", "range", "99 % of the values of channel 0 are 277"),
        (
            (GOOD[..., 0] * 10).astype(np.uint16),
            "shared",
            "range",
            "of the range 0 to 65535; save the array as float32, whose",
        ),
        (np.concatenate([GOOD, 0 * GOOD + 5], 3)[..., :3], "channel", "constant channel", "channel 2 is constant, 5;"),
    ],
    ids=["1e30", "-9999", "NetCDF", "outlier", "one range", "integers", "constant"],
)
def test_channels_whose_values_are_lost_in_their_range_are_named(fields, ranges, code, says):
    report = examine(fields, configs.preset("arrays").with_settings(ranges=ranges))
    found = [one for one in report.findings if one.code in ("fill value", "range", "constant channel")]
    assert {one.code for one in found} == {code}
    assert says in f"{found[0].text}; {found[0].advice}"
    assert all(one.level == "warning" for one in found)
    assert found[0].names == {} or next(iter(found[0].names)) in ("item 199", "item 191")
    if fields is GOOD:
        assert spell(found[0].advice, in_python) == "ranges='channel' gives each channel its own range"


def test_channels_of_conditions_are_looked_at_and_good_ones_are_not_named():
    report = examine((GOOD, {"low": with_value(1e20)}), configs.preset("arrays"))
    texts = [one.text for one in report.findings if one.level == "warning"]
    assert texts == ["1 of 12,800 values of channel 0 of the condition low are 1e+20, as where values are missing"]


@pytest.mark.parametrize("labelled", [False, True])
def test_data_in_order_are_named_unless_blocks_are_held_out(labelled):
    """A walk whose neighbours share most of their values; and classes one after another, which are no order."""
    generator = torch.Generator().manual_seed(0)
    walk = torch.randn(240, 1, 8, 8, generator=generator).cumsum(0) / 9
    noise = torch.randn(240, 1, 8, 8, generator=generator)
    labels = torch.arange(240) // 120
    source = (walk, labels) if labelled else walk
    config = configs.preset("arrays").with_settings(dims=2)
    (order,) = [one for one in examine(source, config).findings if one.code == "order"]
    assert "items are nearer to the next one than to a random one" in order.text
    assert "'0.1:blocks' holds out runs of items" in spell(order.advice, in_python)
    assert "order" not in codes(examine(source, config.with_settings(validation="0.1:blocks")))
    assert "order" not in codes(examine((noise + 9 * labels.view(-1, 1, 1, 1), labels) if labelled else noise, config))


def test_a_training_says_what_was_read_and_which_values_are_lost(tmp_path):
    config = dataclasses.replace(tiny_config(steps=2), data=configs.DataConfig(validation=0.1))
    fields = np.concatenate([np.cumsum(GOOD - GOOD.mean(0), 0), with_value(1e30)[..., :1]], 3)
    events = train(config, data=fields, out=tmp_path / "run", device="cpu")
    said = "\n".join(spell(event.text, in_python) for event in events if isinstance(event, Message))
    assert "was read as 200 images of 8x8 with 3 channels (item, y, x, channel)" in said
    assert "1 of 12,800 values of channel 2 are 1e+30" in said
    assert "the data are in order: 64 of 64 items" in said


# -- the estimate -----------------------------------------------------------------------------------------------------


def test_the_estimate_adds_up(emoji):
    report = examine(emoji, steps=2)
    got = report.cost
    trainer_parameters = 386_860
    assert abs(got.parameters / trainer_parameters - 1) < 0.2
    assert got.seconds == pytest.approx(got.seconds_per_step * FOLDER.train.steps)
    assert got.weights == got.parameters * 4 * 7  # weight, gradient, three averages, two moments
    assert got.snapshots == got.parameters * 8 * 10  # of 2,500 steps, every 256 and the last
    assert "snapshots of averages 30.9 MB in all" in str(report)
    assert got.data == 60 * 3 * 32 * 32
    assert got.memory >= got.weights + got.data
    assert got.measured == 2
    assert "memorisation" in codes(report)


@pytest.mark.long
def test_what_may_be_memorised_is_no_forecast(tmp_path):
    """It said "will be memorised; use 214 items; stop at 484" of 132 photographs, of which 1 % was."""
    config = dataclasses.replace(FOLDER, train=dataclasses.replace(FOLDER.train, batch_size=32))
    few, more = (findings.memorisation_finding(count, (3, 64, 64), 10**7, config) for count in (30, 132))
    assert "so they will probably be memorised" in few.text
    assert "so they may be memorised" in more.text
    assert spell(few.advice, in_python) == (
        "hold out 10 % and see (validation=0.1), or end there (until='plateau'); ancestral evaluate measures how many "
        "samples are copies"
    )
    assert "digits were after 104 to 166 times, here step 98 to 156. That step grows with" in few.text
    held_out = dataclasses.replace(config, data=dataclasses.replace(config.data, validation=0.1))
    assert findings.memorisation_finding(30, (3, 64, 64), 10**7, held_out).advice.startswith("watch the validation")
    assert findings.memorisation_finding(30, (3, 64, 64), 1000, config) is None
    events = train("arrays", data=stripes(6).items, out=tmp_path / "run", steps=10, batch_size=64, width=8)
    said = [event.text for event in events if isinstance(event, Message)]
    assert sum("6 items for" in line and "each item is seen 107 times" in line for line in said) == 1


def test_a_step_that_takes_long_is_scaled_up(monkeypatch):
    monkeypatch.setattr(step_cost, "SLOW_STEP", 0.0)
    monkeypatch.setattr(step_cost, "LEAST_SECONDS", 0.0)
    trainer = Trainer(tiny_config(), stripes(), "cpu")
    cost = step_cost.training_cost(trainer, 40, step_cost.step_memory(trainer, 40), steps=3)
    assert (cost.scaled_from, cost.measured, cost.batch_size) == (4, 1, 8)


def test_small_items_in_a_large_batch_are_measured_in_larger_numbers(monkeypatch, measured):
    """A step of a few points takes as long as one of a thousand, which is no reason to multiply its time by 256."""
    rehearsed = []
    monkeypatch.setattr(step_cost, "_seconds", lambda trainer, count: rehearsed.append(count) or 0.05)
    trainer = Trainer(tiny_config(batch_size=1024), stripes(), "cpu")
    cost = step_cost.training_cost(trainer, 40, step_cost.StepMemory(0, 0, 10**12), steps=1)
    assert (cost.scaled_from, cost.seconds_per_step) == (1024, 0.05)
    assert rehearsed == [4, 4, 32, 32, 256, 256, 1024, 1024, 1024]


def test_memory_of_small_items_is_measured_on_more_of_them(monkeypatch, measured):
    trainer, counts = Trainer(tiny_config(batch_size=512), stripes(), "cpu"), list[int]()
    monkeypatch.setattr(trainer, "dry_run", counts.append)

    def peak():  # 2^16 bytes for each item, and pages of 2^22
        return -(-(2**16) * max(counts, default=0) // 2**22) * 2**22

    monkeypatch.setattr(step_cost, "_peak_memory", lambda _: contextlib.nullcontext(peak))
    memory = step_cost.step_memory(trainer, 40)
    assert counts == [1, 4, 32, 256, 512]
    assert memory.each == pytest.approx(2**16, rel=0.15)


def test_a_preset_that_does_not_fit_is_an_error_of_the_report(emoji, tmp_path, capsys):
    report = examine(emoji, FOLDER.with_settings(image_size=3, patch=2), steps=1)
    assert "refused" in codes(report)
    assert not report.trainable
    assert report.cost is None


# -- from Python ------------------------------------------------------------------------------------------------------


class Pairs(torch.utils.data.Dataset):
    """A data set of PyTorch, whose classes have names."""

    classes = ("one", "two")

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return stripes(20).items[index], index % 2


@pytest.mark.parametrize(
    ("source", "classes"),
    [
        (stripes(20).items, {}),
        (stripes(20).items.numpy(), {}),
        ((stripes(20).items, torch.arange(20) % 2), {"0": 10, "1": 10}),
        (Pairs(), {"one": 10, "two": 10}),
        (stripes(20), {"vertical": 10, "horizontal": 10}),
    ],
    ids=["tensor", "array", "pair", "torch", "dataset"],
)
def test_data_of_python_are_inspected(source, classes):
    report = ancestral.inspect(source, tiny_config(), steps=1, device="cpu", progress=False)
    assert (report.count, report.values.shape, report.classes) == (20, (1, 8, 8), classes)
    assert len(found(report, "duplicates")) == 18
    assert report.trainable
    assert report.cost.measured == 1
    assert report.sheet.width >= 1240


def test_data_without_items_are_refused():
    with pytest.raises(InputError, match="stripes holds no items that can be read"):
        ancestral.inspect(stripes(0), tiny_config(), progress=False)
    with pytest.raises(InputError, match="cannot be read as data"):
        ancestral.inspect(3, progress=False)


def test_a_report_comes_back_from_json_and_shows_in_a_notebook(emoji):
    plant(emoji)
    report = examine(emoji, steps=1)
    text = report.to_json()
    assert json.loads(text)["schema"] == "data-2"
    assert DataReport.from_json(text) == report
    assert "Food-Drink/corrupt.png: " in str(report)
    assert "Food-Drink/corrupt.png: " in report._repr_html_()
    with pytest.raises(InputError, match="lacks source"):
        DataReport.from_json('{"trainable": true}')


# -- the command line -------------------------------------------------------------------------------------------------


def test_names_are_shown_as_they_are(tmp_path, run):
    place = tmp_path / "my [red]photos :cat: ü"
    place.mkdir()
    flat(place / "good.png", "red")
    (place / "bad [bold]x[bold]\n\x1b[31m.png").write_bytes(b"")
    text = run("doctor", place, "--steps", 0, "--out", tmp_path)
    assert r"bad [bold]x[bold]\n\x1b[31m.png: the file is empty" in text
    assert "my [red]photos :cat: ü: 1 item of" in text


def test_a_sheet_is_overwritten_by_a_sheet(emoji, tmp_path, run):
    for _ in range(2):
        run("doctor", emoji, "--steps", 0, "--out", tmp_path / "sheet.png", "--json")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.info["Software"] == "ancestral doctor"


def test_a_contact_sheet_that_cannot_be_written_loses_no_finding(tmp_path, monkeypatch, capsys):
    def full(path, sheet):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ancestral.render.compositions.write_sheet", full)
    report = examine(stripes(60), out=tmp_path / "sheet.png")
    assert report.count == 60
    assert ancestral.inspect(stripes(60), FOLDER, steps=0, out=tmp_path / "sheet.png").count == 60
    assert "No space left on device; the report follows" in capsys.readouterr().out

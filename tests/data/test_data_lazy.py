import errno
import math
import os

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from ancestral import data
from ancestral.base.errors import InputError
from ancestral.base.events import Work, finish
from ancestral.config.data_sources import SUFFIXES
from ancestral.data import InMemoryDataset, LazyDataset, lazy_dataset
from ancestral.data.convert import Conversion
from ancestral.data.dataset import evenly_spaced
from ancestral.data.files import SourceLost, Unreadable, read_file
from ancestral.data.sources.file_folder import FileFolder, scan
from ancestral.data.spec import channel_mean
from file_contents import array_bytes, image_bytes, write_tar

RNG = np.random.default_rng(0)


def tree(root, modes=("RGB",), count=24, size=(9, 7)):
    """Images of random pixels in three classes."""
    for i in range(count):
        folder = root / ("cat", "dog", "emu")[i % 3] / str(i % 2)
        folder.mkdir(parents=True, exist_ok=True)
        mode = modes[i % len(modes)]
        bands = len(Image.new(mode, (1, 1)).getbands())
        if mode == "I;16":
            pixels = RNG.integers(0, 65536, (*size, 1), dtype=np.uint16)
        else:
            pixels = RNG.integers(0, 256, (*size, bands), dtype=np.uint8)
        Image.fromarray(pixels.squeeze(-1) if bands == 1 else pixels, None if mode == "I;16" else mode).save(
            folder / f"{i}.png"
        )
    return str(root)


@pytest.mark.parametrize(
    ("modes", "options"),
    [
        (("RGB",), {}),
        (("L",), {}),
        (("I;16",), {}),
        (("I;16", "L"), {}),
        (("RGBA", "LA", "L"), {"background": "red"}),
        (("RGBA",), {"channels": 4}),
        (("RGB", "L"), {"image_size": 4}),
        (("RGB",), {"channels": 1, "bits": 16}),
    ],
)
def test_a_tree_read_by_index_equals_the_folder_in_memory(tmp_path, modes, options):
    eager, lazy = alike(tree(tmp_path, modes), **options)
    assert (len(lazy.labels), lazy.spec.mean) == (24, channel_mean(eager.items))
    assert [*map(lazy.name_of, range(24))] == [*map(os.fsdecode, scan(tmp_path, [".png"], [], []))]


def test_memory_decides(tmp_path):
    source = tree(tmp_path)
    size = 24 * 3 * 9 * 7
    assert isinstance(data.open(source), InMemoryDataset)
    assert isinstance(data.open(source, memory=size / 2**30), InMemoryDataset)
    assert isinstance(data.open(source, memory=(size - 1) / 2**30), LazyDataset)
    deep = tree(tmp_path / "deep", ("I;16",))
    assert isinstance(data.open(deep, memory=(24 * 2 * 9 * 7 - 1) / 2**30), LazyDataset)
    with pytest.raises(InputError, match="did you mean digits"):
        data.open("digts")


def test_the_progress_of_reading_is_reported(tmp_path):
    source = tree(tmp_path, count=130)
    events = data.opening(source, channels=1)
    assert next(events) == Work("looking at the data", 0, 0)  # before anything is looked at
    assert [next(events), next(events)] == [Work(f"reading {tmp_path.name}", n, 130, "items") for n in (64, 128)]
    assert torch.equal(finish(events).items, data.load(source, channels=1).items)
    assert isinstance(finish(data.opening(source, memory=0)), LazyDataset)
    lazy = data.open(source, memory=0)
    assert finish(data.opening(lazy)) is lazy
    items = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    items[0] = 1
    assert torch.equal(finish(data.opening(items)).items, items)


def test_nothing_that_can_be_read(tmp_path):
    with pytest.raises(InputError, match="no images in"):
        data.open(str(tmp_path), memory=0)
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(
        InputError, match=r"no item of .* can be read \(1 tried\), x\.png for example: the file is empty"
    ):
        LazyDataset(FileFolder(tmp_path), Conversion())


def test_a_missing_file_is_bad_but_a_missing_folder_is_lost(tmp_path):
    folder = tmp_path / "cat"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    assert read_file(folder / "a.png") == b"a"
    with pytest.raises(Unreadable, match="No such file"):
        read_file(folder / "b.png")
    (folder / "a.png").unlink()  # an empty folder is what a file system leaves behind
    with pytest.raises(SourceLost, match="cannot be read: No such file"):
        read_file(folder / "a.png")
    folder.rmdir()
    with pytest.raises(SourceLost):
        read_file(folder / "a.png")


@pytest.mark.parametrize("number", ["EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN"])
def test_what_a_network_file_system_says_when_it_is_gone(tmp_path, monkeypatch, number):
    (tmp_path / "a.png").write_bytes(b"a")

    def fail(*_):
        raise OSError(getattr(errno, number), "gone")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(SourceLost, match=r"a\.png cannot be read: gone"):
        read_file(tmp_path / "a.png")


# in memory or not: the same network, the same items


def grey(value=7, mode="L"):
    return image_bytes(Image.new(mode, (3, 2), value))


def crowd(root, count, usual, odd, kind="folder"):
    """`count` files of which all but one are alike, and that one is where no even sample of 128 or 1,000 looks."""
    seen = {*evenly_spaced(1000, count), *evenly_spaced(128, count)} if count > 1000 else set(evenly_spaced(128, count))
    place = next(i for i in range(count // 2, count) if i not in seen)
    if kind == "shards":
        members = [(f"{i:05d}.png", odd if i == place else usual) for i in range(count)]
        return str(write_tar(root / "all.tar", members)), place
    root.mkdir(parents=True, exist_ok=True)
    (root.parent / "usual.png").write_bytes(usual)
    for i in range(count):
        if i == place:
            (root / f"{i:05d}.png").write_bytes(odd)
        else:
            os.link(root.parent / "usual.png", root / f"{i:05d}.png")
    return str(root), place


def alike(source, **options):
    """The source in memory and by index, equal in all that a network and its batches depend on."""
    eager, lazy = data.load(source, **options), data.open(source, memory=0, **options)
    assert isinstance(lazy, LazyDataset)
    assert (lazy.name, lazy.shape, lazy.codec, lazy.classes) == (eager.name, eager.shape, eager.codec, eager.classes)
    kept, skipped = [], list(lazy.skipped)
    for i in range(len(lazy)):
        try:
            kept.append(lazy.read(i))
        except Unreadable as reason:
            skipped.append(f"{lazy.name_of(i)}: {reason}")
    assert torch.equal(eager.items, torch.stack([item for item, _ in kept]))
    assert skipped == list(eager.skipped)
    assert [label for _, label in kept] == (eager.labels.tolist() if eager.labels is not None else [-1] * len(kept))
    return eager, lazy


@pytest.mark.parametrize(
    ("usual", "odd", "shape", "codec", "kind"),
    [
        (grey(700, "I;16"), grey(), (1, 2, 3), "uint8", "folder"),
        (grey(700, "I;16"), image_bytes(Image.new("RGB", (3, 2), "red")), (3, 2, 3), "uint8", "shards"),
        (grey(), grey(700, "I;16"), (1, 2, 3), "uint8", "folder"),
    ],
    ids=["8 among 16 bits", "RGB among 16 bits", "16 among 8 bits"],
)
def test_one_file_among_600_has_a_vote(tmp_path, monkeypatch, kind, usual, odd, shape, codec):
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "cache"))
    source, place = crowd(tmp_path / "set", 600, usual, odd, kind)
    eager, lazy = alike(source)
    assert (lazy.shape, lazy.codec.kind, len(lazy)) == (shape, codec, 600)
    if shape[0] == 3:
        assert eager.items[place, :, 0, 0].tolist() == [255, 0, 0]


def test_a_header_that_is_longer_than_what_is_read_of_it_has_a_vote(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "x" * 100_000)
    long = image_bytes(Image.new("RGB", (3, 2), "red"), pnginfo=text)
    assert long.index(b"IDAT") > 100_000
    assert alike(crowd(tmp_path / "set", 300, grey(), long)[0])[0].shape == (3, 2, 3)


def test_no_more_headers_are_read_than_it_takes(tmp_path, monkeypatch):
    read = []
    real = lazy_dataset.read_header
    monkeypatch.setattr(lazy_dataset, "read_header", lambda *given: read.append(0) or real(*given))
    colour, plain = image_bytes(Image.new("RGB", (3, 2), "red")), grey()
    photos, scans = (
        crowd(tmp_path / "a" / "x", 1200, colour, plain)[0],
        crowd(tmp_path / "b" / "x", 1200, plain, b"")[0],
    )
    for source, options, most in (
        (photos, {}, 8),
        (scans, {}, 1200),
        (scans, {"channels": 1, "bits": 8}, 8),
        (scans, {"channels": 1}, 8),
        (scans, {"bits": 8}, 1200),
    ):
        read.clear()
        data.open(source, memory=0, **options)
        assert len(read) == most


def test_classes_follow_from_names(tmp_path):
    """Whether a file can be read is not known of all of them unless all are read."""
    source = tree(tmp_path)
    (tmp_path / "ape").mkdir()
    (tmp_path / "ape" / "a.png").write_bytes(b"broken")
    eager, _ = alike(source)
    assert (eager.classes, eager.labels.min()) == (("ape", "cat", "dog", "emu"), 1)
    (tmp_path / "a.png").write_bytes(b"broken")
    assert alike(source)[0].classes == ()


def test_items_are_tried_until_one_can_be_read(tmp_path):
    source, _ = crowd(tmp_path / "set", 400, b"broken", grey())
    eager, _ = alike(source)
    assert (eager.items.tolist(), len(eager.skipped)) == ([[[[7] * 3] * 2]], 399)


def test_one_item_of_another_size_is_left_out_by_name(tmp_path):
    source, place = crowd(tmp_path / "set", 300, grey(), image_bytes(Image.new("L", (4, 4))))
    eager, _ = alike(source)
    assert eager.skipped == (f"{place:05d}.png: it is 4 x 4 with 1 channels, but the others are 2 x 3 with 1 channels",)


def test_a_file_system_that_is_gone_does_not_shrink_the_data(tmp_path, monkeypatch):
    source = tree(tmp_path)
    real = os.open

    def fail(path, *rest):
        if str(path).endswith("6.png"):
            raise OSError(errno.EIO, "Input/output error")
        return real(path, *rest)

    monkeypatch.setattr(os, "open", fail)
    for memory in (0, 1, math.inf):
        with pytest.raises(SourceLost, match=r"6\.png cannot be read: Input/output error"):
            data.open(source, memory=memory)


def test_floats_of_shards_have_one_range_and_no_gaps(tmp_path, monkeypatch):
    """By a sample of the items, as not all are read; one beyond it is mapped beyond [-1, 1], in memory too."""
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "cache"))
    signals = RNG.uniform(-1, 1, (300, 5)).astype(np.float32)
    beyond, gap = [i for i in range(300) if i not in evenly_spaced(128, 300)][:2]
    signals[beyond, 2], signals[gap, 1] = 3, np.nan
    write_tar(tmp_path / "x.tar", [(f"{i:03d}.npy", array_bytes(signal)) for i, signal in enumerate(signals)])
    eager, _ = alike(str(tmp_path / "x.tar"))
    assert eager.codec.limits[1] < 1
    assert eager.codec.encode(eager.items).max() > 2.9
    assert eager.skipped == (f"x.tar/{gap:03d}.npy: it holds NaN or infinity",)


# finding files


def test_scan_is_sorted_by_the_parts_of_paths_and_links_are_entered_once(tmp_path):
    names = ["a/x.png", "a b/x.png", "a.png/y.PNG", "b.png", "a/b/c.jpg", "a/b.jpg", "é/ü.webp", "a-/x.bmp"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a" / "notes.txt").write_bytes(b"")
    (tmp_path / "zlink").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert [tmp_path / os.fsdecode(path) for path in scan(tmp_path, SUFFIXES, [], [])] == sorted(
        tmp_path / name for name in names
    )


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    source = tree(tmp_path)
    real = os.scandir

    def scandir(path):
        if os.fsdecode(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert data.open(source, memory=0).skipped == ("dog/: Permission denied",)
    assert data.load(source).skipped == ("dog/: Permission denied",)

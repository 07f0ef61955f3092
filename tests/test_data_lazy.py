import errno
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ancestral import data
from ancestral.data import Dataset, Indexed
from ancestral.data.convert import Conversion
from ancestral.data.files import Names, scan
from ancestral.data.folder import SUFFIXES, find
from ancestral.data.reading import SourceLost, Unreadable, contents
from ancestral.data.statistics import channel_mean
from ancestral.data.tree import Tree
from ancestral.errors import InputError

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
    source = tree(tmp_path, modes)
    eager, lazy = data.load(source, **options), data.open(source, memory=0, **options)
    assert isinstance(lazy, Indexed)
    assert (lazy.name, lazy.shape, lazy.codec, lazy.classes) == (eager.name, eager.shape, eager.codec, eager.classes)
    assert (len(lazy), lazy.labelled, lazy.mean) == (24, True, channel_mean(eager.items))
    for i in range(24):
        item, label = lazy.read(i)
        assert item.dtype == eager.items.dtype
        assert torch.equal(item, eager.items[i])
        assert label == eager.labels[i]
        assert str(tmp_path / lazy.name_of(i)) == str(find(tmp_path)[i])


def test_memory_decides(tmp_path):
    source = tree(tmp_path)
    size = 24 * 3 * 9 * 7
    assert isinstance(data.open(source), Dataset)
    assert isinstance(data.open(source, memory=size / 2**30), Dataset)
    assert isinstance(data.open(source, memory=(size - 1) / 2**30), Indexed)
    deep = tree(tmp_path / "deep", ("I;16",))
    assert isinstance(data.open(deep, memory=(24 * 2 * 9 * 7 - 1) / 2**30), Indexed)
    with pytest.raises(InputError, match=r"cannot be streamed, only \.tar shards"):
        data.open(source, streaming=True)
    with pytest.raises(InputError, match="digits cannot be streamed"):
        data.open("digits", streaming=True)
    with pytest.raises(InputError, match="did you mean digits"):
        data.open("digts")


def test_images_in_the_root_have_no_class(tmp_path):
    source = tree(tmp_path)
    Image.new("RGB", (7, 9)).save(tmp_path / "z.png")
    lazy = data.open(source, memory=0)
    assert (lazy.labelled, lazy.classes, lazy.read(0)[1]) == (False, (), -1)


def test_what_is_not_like_the_rest(tmp_path):
    source = tree(tmp_path)
    (tmp_path / "cat" / "0" / "bad.png").write_bytes(b"nonsense")
    (tmp_path / "cat" / "0" / "gone.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "cat" / "0" / "pipe.png")
    lazy = data.open(source, memory=0)
    reasons = {}
    for i in range(len(lazy)):
        try:
            lazy.read(i)
        except Unreadable as reason:
            reasons[lazy.name_of(i)] = str(reason)
    assert reasons == {
        "cat/0/bad.png": "not an image of a kind that is read (PNG, JPEG, WEBP, BMP, GIF)",
        "cat/0/gone.png": "No such file or directory",
        "cat/0/pipe.png": "not a regular file",
    }
    Image.new("RGB", (8, 8)).save(tmp_path / "cat" / "0" / "bad.png")
    with pytest.raises(Unreadable, match="it is 8 x 8 with 3 channels, but the others are 7 x 9"):
        lazy.read(next(i for i in range(len(lazy)) if lazy.name_of(i) == "cat/0/bad.png"))
    with pytest.raises(InputError, match=r"items that differ .*: give --image-size N"):
        data.open(source, memory=0)
    assert data.open(source, memory=0, image_size=5).shape == (3, 5, 5)


def test_nothing_that_can_be_read(tmp_path):
    with pytest.raises(InputError, match="no images in"):
        data.open(str(tmp_path), memory=0)
    (tmp_path / "x.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"no item of .* can be read \(1 were tried\): the file is empty"):
        Tree(tmp_path, Conversion())


def test_a_missing_file_is_bad_but_a_missing_folder_is_lost(tmp_path):
    folder = tmp_path / "cat"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"a")
    assert contents(folder / "a.png") == b"a"
    with pytest.raises(Unreadable, match="No such file"):
        contents(folder / "b.png")
    (folder / "a.png").unlink()  # an empty folder is what a file system leaves behind
    with pytest.raises(SourceLost, match="cannot be read: No such file"):
        contents(folder / "a.png")
    folder.rmdir()
    with pytest.raises(SourceLost):
        contents(folder / "a.png")


@pytest.mark.parametrize("number", ["EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN"])
def test_what_a_network_file_system_says_when_it_is_gone(tmp_path, monkeypatch, number):
    (tmp_path / "a.png").write_bytes(b"a")

    def fail(*_):
        raise OSError(getattr(errno, number), "gone")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(SourceLost, match=r"a\.png cannot be read: gone"):
        contents(tmp_path / "a.png")


# finding files


def test_scan_is_sorted_by_the_parts_of_paths_and_links_are_entered_once(tmp_path):
    names = ["a/x.png", "a b/x.png", "a.png/y.PNG", "b.png", "a/b/c.jpg", "a/b.jpg", "é/ü.webp", "a-/x.bmp"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a" / "notes.txt").write_bytes(b"")
    (tmp_path / "zlink").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    files = scan(tmp_path, SUFFIXES)
    assert [files.path(i) for i in range(len(files))] == sorted(tmp_path / name for name in names)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    source = tree(tmp_path)
    real = os.scandir

    def scandir(path):
        if os.fsdecode(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert data.open(source, memory=0).skipped == ("dog/: Permission denied",)


def test_names():
    names = Names([b"", b"abc", "é".encode()])
    names.append(b"z" * 1000)
    assert [names[i] for i in range(len(names))] == [b"", b"abc", "é".encode(), b"z" * 1000]
    raw, ends = names.buffers()
    again = Names.of(raw.tobytes(), ends)
    assert [again[i] for i in range(4)] == [names[i] for i in range(4)]
    with pytest.raises(IndexError):
        names[4]


def test_a_file_of_many_takes_few_bytes(tmp_path):
    """20,000 hard links to one image, in 20 folders: no more than 60 bytes each, all told."""
    Image.new("L", (4, 4), 7).save(tmp_path / "one.png")
    root = tmp_path / "root"
    for i in range(20):
        (root / f"class {i:02d}").mkdir(parents=True)
        for j in range(1000):
            os.link(tmp_path / "one.png", root / f"class {i:02d}" / f"picture {j:06d}.png")
    lazy = Tree(root, Conversion())
    files = lazy.files
    raw, ends = files.names.buffers()
    size = raw.nbytes + ends.nbytes + sys.getsizeof(files.folder) + lazy.labels.nbytes
    assert (len(lazy), size / len(lazy) < 60) == (20_000, True)
    assert lazy.classes == tuple(f"class {i:02d}" for i in range(20))
    assert np.array_equal(lazy.labels, np.repeat(np.arange(20), 1000))
    assert lazy.name_of(12_345) == "class 12/picture 000345.png"
    assert lazy.read(19_999)[1] == 19

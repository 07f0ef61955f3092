"""Data in object storage equal the local copy, item for item and bit for bit, whatever the connection does.

s3:// is moto's server on this machine, and so are gs:// and http://, whose requests for lists and objects are those of
S3. The logins of Google are not tested.
"""

import contextlib
import fcntl
import multiprocessing
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

import ancestral
from ancestral import data
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.data import object_cache, remote_files
from ancestral.data.files import SourceLost, Unreadable
from ancestral.data.loading import batch_indices
from ancestral.data.remote_files import RemoteFiles
from file_contents import image_bytes, write_tar
from tiny_models import but_one_long, same_tensors

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)


def photos(root):
    """20 images in two classes, with a table, a hidden file and the picture of a run, which are no items."""
    for i, pixels in enumerate(PICTURES):
        file = root / "ab"[i % 2] / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image_bytes(pixels))
    for name in ("a/.hidden.png", "runs/x/sample.png", "runs/x/config.json", "runs/x/checkpoints/1.pt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(image_bytes(PICTURES[0]))
    rows = [f"{'ab'[i % 2]}/{i:02d}.png,{i / 2},{'xy'[i % 2]}" for i in range(20)]
    (root / "metadata.csv").write_text("\n".join(["file_name,age,kind", *rows]))
    return root


def shards(root, count=20, shard=5):
    for k in range(0, count, shard):
        members = []
        for i in range(k, k + shard):
            members += [(f"{i:04d}.cls", str(i % 4).encode()), (f"{i:04d}.png", image_bytes(PICTURES[i]))]
        write_tar(root / f"part-{k // shard:03d}.tar", members)
    return root


def equal(one, other):
    assert one.spec == other.spec
    assert one.classes == other.classes
    assert one.labels.tolist() == other.labels.tolist()
    assert one.fingerprint == other.fingerprint
    assert one.notes == other.notes
    for index in range(len(other)):
        assert one.name_of(index) == other.name_of(index)
        assert torch.equal(one.read(index)[0], other.read(index)[0])
    return True


def gets(requests):
    return [(path.rpartition("/")[2], part) for method, path, part in requests if "?" not in path]


@pytest.mark.parametrize(
    ("store", "make", "limit"),
    [
        ("s3", photos, "1"),
        ("s3", photos, "0"),
        ("s3", shards, "0.000001"),
        *(pytest.param(*case, marks=pytest.mark.long) for case in (("s3", photos, "0.000001"), ("s3", shards, "0"))),
        ("gs", shards, "1"),
    ],
    ids=["all fits", "no cache", "some shards fit", "some images fit", "shards without a cache", "gs"],
)
def test_items_equal_those_of_the_local_copy(store, make, limit, bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("ANCESTRAL_CACHE_LIMIT", limit)
    root = make(tmp_path / "pics")
    address = bucket.upload(root, root.name, ACL="public-read").replace("s3://", f"{store}://")
    given = ["age", "kind"] if make is photos else None
    local, remote = (data.open(str(place), memory=0, given=given) for place in (root, address))
    assert equal(remote, local)
    for name, values in local.conditions.items():
        assert torch.equal(values, remote.conditions[name])
    assert data.absolute(f"{address}/") == address


def test_each_object_is_requested_once_and_none_from_the_cache(bucket, tmp_path):
    address = bucket.upload(photos(tmp_path / "pics"), "pics")
    with bucket.counting() as requests:
        first = data.open(address, memory=0)
        first.prefetch(range(20))
        for index in range(20):
            first.read(index)
    assert sorted(name for name, _ in gets(requests)) == [*(f"{i:02d}.png" for i in range(20)), "metadata.csv"]
    assert len(requests) == 22, "one for the list"
    with bucket.counting() as requests:
        again = data.open(address, memory=0)
        for index in range(20):
            again.read(index)
    assert len(requests) == 1, "the list, which shows whether the data have changed"
    shutil.rmtree(object_cache.folder())
    with bucket.counting() as requests:
        again.prefetch([3, 4, 5, 3])
    assert sorted(name for name, _ in gets(requests)) == ["06.png", "08.png", "10.png"]


def test_of_large_objects_the_header_alone_is_requested(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_files, "SMALL_OBJECT", 100)
    files = RemoteFiles(bucket.upload(photos(tmp_path / "pics"), "pics"))
    with bucket.counting() as requests:
        assert files.read(b"a/02.png", 60) == image_bytes(PICTURES[2])[:60]
        assert files.read(b"a/02.png", 10_000) == files.read(b"a/02.png") == image_bytes(PICTURES[2])
        assert files.read(b"a/02.png", 60) == image_bytes(PICTURES[2])[:60]
    assert [part for _, part in gets(requests)] == ["bytes=0-59", None]


def test_shards_are_fetched_whole_where_they_fit_and_else_in_parts(bucket, tmp_path, monkeypatch):
    root = shards(tmp_path / "set")
    address = bucket.upload(root, "set")
    with bucket.counting() as requests:
        whole = data.open(address, memory=0)
        for index in range(20):
            whole.read(index)
    assert sorted(gets(requests)) == [(path.name, None) for path in sorted(root.iterdir())]
    shutil.rmtree(object_cache.folder())
    monkeypatch.setenv("ANCESTRAL_CACHE_LIMIT", str(10_000 / 2**30))
    with bucket.counting() as requests:
        parts = data.open(address, memory=0)  # whose index was kept
        parts.prefetch(range(20))
        for index in range(20):
            parts.read(index)
    assert len(gets(requests)) == 20, "one for each item"
    assert all(torch.equal(whole.read(index)[0], parts.read(index)[0]) for index in range(20))


def test_addresses_name_several_shards_by_their_numbers(bucket, tmp_path):
    address = bucket.upload(shards(tmp_path / "set"), "set")
    assert len(data.open(f"{address}/part-{{000..002}}.tar", memory=0)) == 15
    assert len(data.open(f"{address}/part-003.tar", memory=0)) == 5
    with pytest.raises(InputError, match=r"there is no .*/part-004\.tar: check the address"):
        data.open(f"{address}/part-{{002..005}}.tar")
    assert remote_files.numbered("a-{8..10}-{0..1}.tar") == [
        *("a-8-0.tar", "a-8-1.tar", "a-9-0.tar", "a-9-1.tar", "a-10-0.tar", "a-10-1.tar")
    ]


def test_arrays_recordings_and_folders_of_conditions_are_read_too(bucket, tmp_path):
    from scipy.io import wavfile

    places = tmp_path / "places"
    photos(places / "pics")
    for i, pixels in enumerate(PICTURES):
        small = places / "low" / "ab"[i % 2] / f"{i:02d}.png"
        small.parent.mkdir(parents=True, exist_ok=True)
        small.write_bytes(image_bytes(pixels[::2, ::2]))
        (places / "sounds").mkdir(exist_ok=True)
        wavfile.write(places / "sounds" / f"{i}.wav", 8000, RNG.standard_normal(64).astype(np.float32))
    np.savez(places / "all.npz", images=PICTURES, labels=np.arange(20) % 3)
    address = bucket.upload(places, "places")
    for name in ("all.npz", "sounds"):
        local, remote = (data.load(f"{place}/{name}") for place in (places, address))
        assert torch.equal(local.items, remote.items)
        assert local.fingerprint == remote.fingerprint
    local, remote = (data.open(f"{place}/pics", given=f"low={place}/low", memory=0) for place in (places, address))
    assert local.conditions["low"].fingerprint == remote.conditions["low"].fingerprint
    assert local.fingerprint == remote.fingerprint
    with pytest.raises(InputError, match="lies in the data"):
        data.open(f"{address}/pics", given=f"{address}/pics/a")


def test_a_web_server_has_files_by_name_and_no_lists(bucket, tmp_path):
    root = shards(tmp_path / "set")
    bucket.upload(root, "set", ACL="public-read")
    remote, local = data.open(f"{bucket.url}/set/part-{{000..003}}.tar", memory=0), data.open(str(root), memory=0)
    assert all(torch.equal(remote.read(index)[0], local.read(index)[0]) for index in range(20))
    with pytest.raises(SourceLost, match=r"http://\S+/set cannot be read: .*PROPFIND"):
        data.open(f"{bucket.url}/set")


def test_names_are_those_of_the_store(bucket, tmp_path):
    """Also such as have a meaning in addresses; a folder that a browser made is no file."""
    names = ["a b/50% größe #1?.png", "a b/x+y&z=1.png", "a b/%20.png"]
    for name in names:
        bucket.put(f"pics #1/{name}", image_bytes(PICTURES[0]))
    for name in ("", "a b/"):
        bucket.put(f"pics #1/{name}", b"")
    files = RemoteFiles(f"{bucket.address}/pics #1")
    assert sorted(name.decode() for name in files.names([".png"], [], [])) == sorted(names)
    assert all(files.read(name.encode()) == image_bytes(PICTURES[0]) for name in names)
    assert files.top() == {"/"}


def first_times(count, kind, amount, ending):
    """A fault of the first requests for objects whose names have an ending."""
    left = [count]

    def fault(method, path, part):
        if method == "GET" and path.partition("?")[0].endswith(ending) and left[0] > 0:
            left[0] -= 1
            return kind, amount
        return None

    return fault


@pytest.mark.parametrize(
    ("kind", "amount"),
    but_one_long([("cut", 50), ("cut", 0), ("status", 503), ("status", 500), ("stall", 0.3)]),
    ids=["cut in the body", "cut before the body", "throttled", "server error", "stalled"],
)
def test_requests_that_fail_are_made_again(kind, amount, bucket, tmp_path, monkeypatch):
    monkeypatch.setitem(remote_files.CLIENT, "read_timeout", timedelta(seconds=0.15))
    root = shards(tmp_path / "set")
    with bucket.faulty(first_times(2, kind, amount, "part-001.tar")):
        assert equal(data.open(bucket.upload(root, "set"), memory=0), data.open(str(root), memory=0))


@pytest.mark.parametrize(
    ("kind", "amount"),
    but_one_long([("cut", 50), ("status", 503), ("length", 9), ("length", -9), ("stall", 0.3)]),
    ids=["cut", "throttled", "said to be longer", "said to be shorter", "stalled"],
)
def test_the_error_of_the_last_request_names_the_object_and_nothing_is_kept(
    kind, amount, bucket, tmp_path, monkeypatch
):
    address = bucket.upload(shards(tmp_path / "set"), "set")
    with monkeypatch.context() as patch:
        patch.setitem(remote_files.CLIENT, "read_timeout", timedelta(seconds=0.15))
        patch.setitem(remote_files.RETRY, "max_retries", 1)
        files = RemoteFiles(address)
        with (
            bucket.faulty(first_times(99, kind, amount, "part-001.tar")),
            pytest.raises(SourceLost, match=r"s3://\w+/set/part-001\.tar cannot be read: \S+"),
        ):
            files.read(b"part-001.tar")
    assert nothing_kept()
    assert RemoteFiles(address).read(b"part-001.tar") == (tmp_path / "set" / "part-001.tar").read_bytes()


def nothing_kept():
    return not [path for path in object_cache.folder().glob("??/*") if path.stat().st_size]


@pytest.mark.parametrize("amount", [9, -9])
def test_a_list_whose_sizes_are_wrong_gives_no_part_of_an_object(amount, bucket, tmp_path):
    address = bucket.upload(shards(tmp_path / "set"), "set")
    with bucket.faulty(lambda method, path, part: ("listed", amount) if "list-type" in path else None):
        files = RemoteFiles(address)
    for read in (lambda: files.read(b"part-001.tar"), lambda: files.read(b"part-001.tar", 512)):
        with pytest.raises(SourceLost, match=r"bytes came, and it has [\d,]+ bytes in all, [\d,]+ by the list"):
            read()
    assert nothing_kept()


def test_a_list_that_fails_is_made_again(bucket, tmp_path):
    address = bucket.upload(photos(tmp_path / "pics"), "pics")
    with bucket.faulty(first_times(2, "status", 503, bucket.name)), bucket.counting() as requests:
        assert len(data.open(address)) == 20
    assert sum("list-type" in path for _, path, _ in requests) == 3


def test_objects_that_are_replaced_or_deleted_are_noticed(bucket, tmp_path):
    address = bucket.upload(photos(tmp_path / "pics"), "pics")
    before = data.open(address, memory=0)
    old = before.fingerprint
    shutil.rmtree(object_cache.folder())
    bucket.put("pics/a/02.png", image_bytes(PICTURES[3]))
    bucket.delete("pics/a/04.png")
    with pytest.raises(Unreadable, match="replaced since the data were listed"):
        before.read(1)
    with pytest.raises(Unreadable, match="deleted since the data were listed"):
        before.read(2)
    assert torch.equal(before.read(0)[0], torch.from_numpy(PICTURES[0]).permute(2, 0, 1))
    after = data.open(address, memory=0)
    assert torch.equal(after.read(1)[0], torch.from_numpy(PICTURES[3]).permute(2, 0, 1))
    assert len(after) == 19
    assert after.fingerprint != old


def size_of_cache():
    """Return the bytes in the cache while no process makes room in it; a download that ends meanwhile is renamed."""
    folder, total = object_cache.folder(), 0
    with (folder / "locks" / "size").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for path in folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                total += path.stat().st_size
    return total


def read_all(address, seed, limit, rounds, queue):
    most = 0
    remote = data.open(address, memory=0)
    for _ in range(rounds):
        for index in np.random.default_rng(seed).permutation(20):
            item = remote.read(int(index))[0]
            pixels = torch.from_numpy(PICTURES[sorted(range(20), key=lambda i: (i % 2, i))[index]])
            assert torch.equal(item, pixels.permute(2, 0, 1))
        most = max(most, size_of_cache())
    queue.put(most)


@pytest.mark.long
def test_two_processes_share_a_cache_that_is_smaller_than_the_data(bucket, tmp_path, monkeypatch):
    address = bucket.upload(photos(tmp_path / "pics"), "pics")
    limit = 5 * len(image_bytes(PICTURES[0]))
    monkeypatch.setenv("ANCESTRAL_CACHE_LIMIT", repr(limit / 2**30))
    context = multiprocessing.get_context("spawn")  # obstore stops in processes that are forked
    queue = context.SimpleQueue()
    workers = [context.Process(target=read_all, args=(address, seed, limit, 3, queue)) for seed in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert 0 < max(queue.get(), queue.get()) <= limit


def test_the_least_recently_used_entries_leave_and_half_a_file_is_never_read(tmp_path, monkeypatch):
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path))
    monkeypatch.setenv("ANCESTRAL_CACHE_LIMIT", repr(100 / 2**30))
    keys = [object_cache.key_of(i) for i in range(5)]
    for age, key in enumerate(keys[:4]):
        object_cache.keep(key, 25, [bytes([age]) * 25])
        os.utime(object_cache.path_of(key), (1000 + age, 1000 + age))
    assert object_cache.read(keys[0], 25, 3, 4) == b"\0" * 4, "which is a use"
    object_cache.keep(keys[4], 25, [b"4" * 25])
    assert [object_cache.has(key, 25) for key in keys] == [True, False, True, True, True]
    assert not object_cache.keep(keys[1], 101, [bytes(101)]), "it is larger than the limit"
    assert object_cache.has(keys[4], 25)
    os.truncate(object_cache.path_of(keys[4]), 24)
    assert object_cache.read(keys[4], 25, 0, 25) is None

    def half():
        yield b"half"
        raise KeyError

    with pytest.raises(KeyError):
        object_cache.keep(keys[1], 25, half())
    assert not [path for path in object_cache.folder().glob("??/*") if path.name.startswith(".")]
    monkeypatch.setenv("ANCESTRAL_CACHE_LIMIT", "a lot")
    with pytest.raises(InputError, match="ANCESTRAL_CACHE_LIMIT=a lot is no size: give a number of GiB"):
        object_cache.limit()


def test_a_cache_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"the cache .* cannot be used .*: let ANCESTRAL_CACHE name a folder of yours"):
        object_cache.keep("0" * 40, 1, [b"0"])


def test_what_is_wrong_with_an_address_is_said_in_one_line(bucket, tmp_path, monkeypatch):
    address = bucket.upload(photos(tmp_path / "pics"), "pics")
    for place, message in (
        ("s3://no-such-bucket/pics", "there is no bucket no-such-bucket: check the name"),
        (f"{address}/nothing", "there is nothing at s3://.*/nothing: check the name of the bucket and of the folder"),
        (f"{address}/one.tar", r"there is no .*/one\.tar: check the address"),
        ("nosuchstore://bucket/pics", "nosuchstore://bucket/pics cannot be opened .*: give s3://, gs:// or a path"),
        ("s3:///pics", "names no bucket: write s3://bucket/folder"),
        ("https://user:secret@host/pics", "password, of https, would be written into the run"),
    ):
        with pytest.raises(InputError, match=message):
            data.open(place)
    with (
        bucket.faulty(lambda *request: ("status", 403)),
        pytest.raises(InputError, match=r"access to s3://.* is denied \(.*\): set AWS_ACCESS_KEY_ID"),
    ):
        data.open(address)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(InputError, match=r"is read by a further package: .*pip install .*object-storage"):
        data.open(f"{address}/another")


def test_a_public_bucket_needs_no_credentials(bucket, tmp_path, monkeypatch):
    address = bucket.upload(photos(tmp_path / "pics"), "pics", ACL="public-read")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert len(data.open(address)) == 20
    with (
        bucket.faulty(lambda *request: ("status", 403)),
        pytest.raises(InputError, match="no login was found, so it was read as a public one"),
    ):
        data.open(address)


def test_offline_the_cache_alone_is_read(bucket, tmp_path, monkeypatch):
    root = photos(tmp_path / "pics")
    address = bucket.upload(root, "pics")
    data.open(address, memory=0).prefetch(range(20))
    monkeypatch.setenv("ANCESTRAL_OFFLINE", "1")
    with bucket.counting() as requests:
        assert equal(data.open(address, memory=0), data.open(str(root), memory=0))
        shutil.rmtree(object_cache.folder())
        with pytest.raises(InputError, match="is not in the cache of this machine, and ANCESTRAL_OFFLINE is set"):
            data.open(address, memory=0)
        with pytest.raises(InputError, match="is not in the cache of this machine"):
            data.open(f"{address}/a")
    assert not requests


TINY = {"batch_size": 4, "width": 16, "blocks": 1, "sample_every": 100, "preview_steps": 1, "memory": 0.0}


@pytest.mark.long
@pytest.mark.parametrize("make", [photos, shards], ids=["folder", "shards"])
def test_training_equals_that_from_the_local_copy(make, bucket, tmp_path):
    """Bit for bit, with and without workers, and resumed in the middle with an empty cache."""
    root = make(tmp_path / "pics")
    address = bucket.upload(root, "pics")
    options = {**TINY, "progress": False, "device": "cpu", "trackers": "none"}
    ancestral.train(data=str(root), out=tmp_path / "local", steps=6, workers=0, **options)
    expected = storage.read_tensors(tmp_path / "local" / "model.safetensors")[0]
    for workers in (0, 2):
        out = tmp_path / f"remote{workers}"
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        ancestral.train(data=address, out=out, steps=3, workers=workers, **options)
        shutil.rmtree(tmp_path / "cache")
        ancestral.train(out=out, steps=6, workers=workers, resume=True, **options)
        assert same_tensors(storage.read_tensors(out / "model.safetensors")[0], expected)
    bucket.put("pics/a/00.png" if make is photos else "pics/part-000.tar", b"another")
    with pytest.raises(InputError, match="Resuming needs the same data"):
        ancestral.train(out=out, steps=7, resume=True, **options)


SCRIPT = """
import sys
from ancestral import data
from ancestral.data.loading import Loader

print("begun", flush=True)
with Loader(data.open(sys.argv[1], memory=0), seed=0, batch_size=4, positions=range(4), workers=2) as loader:
    print(*(next(loader.batches(step)).indices.tolist() for step in range(2)), sep=";")
"""


@pytest.mark.long
def test_workers_of_a_script_do_not_run_it_again(bucket, tmp_path):
    """They are spawned, as obstore stops in processes that are forked."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, bucket.upload(photos(tmp_path / "pics"), "pics")]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == ["begun", ";".join(str(batch_indices(20, 4, 0, step).tolist()) for step in range(2))]


def test_a_process_that_was_forked_does_not_wait_for_ever(bucket, tmp_path, monkeypatch):
    address = bucket.upload(photos(tmp_path / "pics"), "pics")
    monkeypatch.setattr(remote_files, "_first_process", lambda: 0)
    with pytest.raises(InputError, match=r"cannot be read in a process that was forked: .* read by workers=0"):
        data.open(address)


@pytest.mark.parametrize(
    "command",
    [
        *(
            "train digits --out",
            "sample runs/a --out",
            "doctor digits --out",
            "evaluate runs/a --out",
            "compare a b --out",
        ),
        *("sample runs/a --gif=", "edit runs/a vary a.png --film=", "distil runs/a --out"),
    ],
)
def test_nothing_is_written_to_object_storage(command, refused):
    words = f"{command} s3://bucket/runs/x".replace("= ", "=").split()
    line = refused(*words)
    assert "nothing is written to s3://bucket/runs/x" in line
    assert "give --" in line
    assert "by `aws s3 " in line


@pytest.mark.parametrize(
    "command",
    [
        *("sample {}", "evaluate {}", "compare {} {}", "info {}", "average {}", "distil {}", "export {} --to onnx"),
        *("edit {} vary a.png", "train --data digits --from {}", "train --config {}", "runs {}", "import {}"),
    ],
)
def test_runs_and_models_in_object_storage_are_copied_first(command, refused):
    line = refused(*command.replace("{}", "gs://bucket/run").split())
    assert "copy it to this machine, by `gcloud storage rsync -r gs://bucket/run run`, and name the copy" in line


def test_places_are_refused_from_python_too(tmp_path):
    for place in ("s3://bucket/x", Path("s3://bucket/x")):
        with pytest.raises(InputError, match="nothing is written to s3://bucket/x: give out a place on this machine"):
            ancestral.train("digits", out=place, steps=1)

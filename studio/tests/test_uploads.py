"""Uploads: what is too large is refused before it fills the memory, and what is kept is what it says it is."""

import http.client
import io
import json
import os
import resource
import struct
import threading
import time
import wave
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ancestral_studio import uploads

GIGABYTE = 1 << 30


def put(client, content, name="a.png"):
    return client.ask("PUT", f"/api/uploads?name={name}", content)


def png(width, height, mode="L", **options):
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def npy(shape, kind="<f4", content=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


def npz(**files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_gigabyte_is_refused_early_and_without_memory(own_studio, chunked):
    server, client = own_studio
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
    connection.putrequest("PUT", "/api/uploads?name=large.png")
    connection.putheader("Cookie", client.cookie)
    connection.putheader(*("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(GIGABYTE)))
    connection.endheaders()
    block, sent = b"\0" * (1 << 20), 0
    try:
        while sent < GIGABYTE:
            connection.send(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
            sent += len(block)
    except OSError:
        pass  # the server has closed the connection
    assert sent < GIGABYTE / 4
    try:
        answer = connection.getresponse()
        assert answer.status == 413
        assert "at most 64 MB" in json.loads(answer.read())["error"]
    except (OSError, http.client.HTTPException):
        pass  # the answer was lost with the connection, as the rest was under way
    connection.close()
    assert time.monotonic() - began < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes
    assert not [*server.state.uploads.folder.glob("*")]
    assert put(client, png(2, 2)).status == 201


def test_the_answer_to_an_upload_that_says_its_length(shared_studio):
    """A client that waits for it, as browsers do, gets the line."""
    connection = http.client.HTTPConnection("127.0.0.1", shared_studio[1].port, timeout=30)
    connection.putrequest("PUT", "/api/uploads?name=large.png")
    connection.putheader("Cookie", shared_studio[1].cookie)
    connection.putheader("Content-Length", str(GIGABYTE))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    connection.close()


@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o002, 0o664)])
def test_uploads_have_the_rights_that_the_user_gives_to_files(own_studio, mask, mode):
    server, client = own_studio
    before = os.umask(mask)
    try:
        number = put(client, png(2, 2)).json["id"]
    finally:
        os.umask(before)
    folder = server.state.uploads.folder / number
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {mode}
    assert folder.stat().st_mode & 0o777 == 0o777 & ~mask


def black(side, promise=None):
    """A PNG of black pixels that was never in memory, whose header may promise another side."""
    packer = zlib.compressobj()
    data = b"".join(packer.compress(b"\0" * (side + 1)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", promise or side, promise or side, 8, 0, 0, 0, 0)
    return png(1, 1)[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


BOMBS = {
    "pixels": lambda: black(8_100),
    "more pixels": lambda: black(14_000),
    "header": lambda: black(1, 2**31 - 1),
    "array": lambda: npy((1 << 40,)),
    "arrays": lambda: npz(**{f"a{i}": npy((1 << 24,), content=b"\0" * (1 << 26)) for i in range(4)}),
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=[*BOMBS])
def test_what_is_large_once_it_is_decoded_is_refused(shared_studio, make):
    content = make()
    assert len(content) < 300_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = put(shared_studio[1], content)
    assert answer.status == 413
    assert "at most" in answer.line
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_an_animation_counts_with_all_its_frames(shared_studio, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_PIXELS", 1000)
    file = io.BytesIO()
    frames = [Image.new("L", (20, 20), grey) for grey in (0, 80, 160)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert put(shared_studio[1], file.getvalue()).status == 413


def text_bomb():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("ancestral", "0" * 70_000_000, zip=True)
    return png(2, 2, pnginfo=info)


NO_IMAGES = {
    "page": b"<html><script>alert(1)</script>",
    "drawing": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "nothing": b"",
    "cut": png(64, 64, "RGB")[:60],
    "text": text_bomb(),
    "objects": npy((2,), "|O", b"\x80\x04K\x01."),
    "records": npy((2,), [("a", "<i4")]),
    "short": npy((1000,)),
    "negative": npy((-1,)),
    "zip": npz() or b"",
    "pickle": npz(a=npy((1,), "|O", b"\x80\x04.")),
    "broken zip": b"PK\x03\x04" + b"\0" * 40,
    "sound": b"RIFF\0\0\0\0WAVEfmt ",
    "program": b"\x7fELF" + b"\0" * 100,
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
}


@pytest.mark.parametrize("content", NO_IMAGES.values(), ids=[*NO_IMAGES])
def test_what_is_no_image_or_array_is_refused_whatever_its_name(shared_studio, content):
    answer = put(shared_studio[1], content, "a.png")
    assert answer.status in (400, 413)
    assert answer.line
    assert not [*shared_studio[0].state.uploads.folder.glob(".upload-*")]


def test_an_image_is_served_as_what_it_is(shared_studio):
    server, client = shared_studio
    file = io.BytesIO()
    Image.new("RGB", (5, 3), "red").save(file, "JPEG")
    facts = put(client, file.getvalue(), "..%2F..%2Fphoto.html").json
    assert facts == {**facts, "name": "photo.jpg", "width": 5, "height": 3, "recipe": None}
    answer = client.get(facts["url"])
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content == file.getvalue()
    again = put(client, file.getvalue(), "again.jpg").json
    assert again == {**facts, "name": "again.jpg", "file": "photo.jpg"}  # kept once, under the first name
    path = server.state.uploads.path(facts["id"])
    assert path.parent.parent == server.state.uploads.folder
    deep = io.BytesIO()
    Image.fromarray(np.zeros((4, 6), "uint16")).save(deep, "TIFF")
    facts = put(client, deep.getvalue(), "deep.tif").json
    assert client.get(facts["url"]).headers["content-type"] == "image/png"
    assert server.state.uploads.path(facts["id"]).suffix == ".tif"


def test_arrays_and_recordings_are_kept_for_options(shared_studio):
    server, client = shared_studio
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * 100)
    array = npy((2, 3), content=b"\0" * 24)
    for content, name in ((array, "a.npy"), (npz(items=array), "a.npz"), (sound.getvalue(), "a.wav")):
        facts = put(client, content, name).json
        assert (facts["name"], facts["width"]) == (name, None)
        assert server.state.uploads.path(facts["id"]).read_bytes() == content


def test_the_oldest_uploads_make_room(own_studio, monkeypatch):
    client = own_studio[1]
    monkeypatch.setattr(uploads, "MOST_KEPT", 3000)
    ids = []
    for side in range(2, 12):
        noise = np.random.default_rng(side).integers(0, 256, (20, 20), "uint8")
        file = io.BytesIO()
        Image.fromarray(noise).save(file, "PNG")
        ids.append(put(client, file.getvalue()).json["id"])
    statuses = [client.get(f"/files/uploads/{number}").status for number in ids]
    assert statuses == sorted(statuses, reverse=True)
    assert (statuses[0], statuses[-1]) == (404, 200)


def test_one_image_is_decoded_at_a_time(tmp_path, monkeypatch):
    """Twelve PNGs of 184 KB were 2 GB at once."""
    store, decoding, together = uploads.Uploads(tmp_path / "kept"), [], []

    def load(file, name):
        decoding.append(name)
        time.sleep(0.02)
        together.append(len(decoding))
        decoding.remove(name)
        return ".png", {}

    monkeypatch.setattr(uploads, "_checked", load)
    threads = []
    for number in range(4):
        (file := tmp_path / f"{number}").write_bytes(bytes([number]))
        threads.append(threading.Thread(target=store.keep, args=(file, f"{number}.png")))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert together == [1, 1, 1, 1]


def hdf5(folder, fill):
    with h5py.File(folder / "a.nc", "w") as file:
        fill(file)
    return (folder / "a.nc").read_bytes()


def test_fields_are_kept_if_they_hold_their_own_values(shared_studio, tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    whole = hdf5(tmp_path, lambda file: file.create_group("part").create_dataset("t2m", data=np.zeros((2, 3))))
    answer = put(shared_studio[1], whole, "a.nc")
    assert answer.json["name"] == "a.nc"
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "x", (2,))
    elsewhere = [
        lambda file: file.__setitem__("x", h5py.ExternalLink(tmp_path / "secret.h5", "x")),
        lambda file: file.create_dataset("x", (8,), "f8", external=[(tmp_path / "secret.bin", 0, 64)]),
        lambda file: file.create_virtual_dataset("x", layout),
    ]
    for fill in elsewhere:
        answer = put(shared_studio[1], hdf5(tmp_path, fill), "a.nc")
        assert answer.status == 400
        assert "refers to other files" in answer.line
    large = hdf5(tmp_path, lambda file: file.create_dataset("x", (1 << 30,), "f8", chunks=True))
    assert put(shared_studio[1], large, "a.nc").status == 413
    assert "no .nc" in put(shared_studio[1], whole[:200], "a.nc").line

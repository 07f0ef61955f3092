"""Decoding of images by several threads."""

import threading

import pytest
from PIL import Image

from ancestral.data import decoding
from ancestral.data.convert import Conversion
from ancestral.data.files import Unreadable
from file_contents import image_bytes


def png(side):
    return image_bytes(Image.new("L", (side, side)))


@pytest.mark.parametrize(("side", "at_once"), [(10, 2), (100, 1)], ids=["small", "larger than the room"])
def test_threads_decode_no_more_pixels_at_once_than_there_is_room_for(monkeypatch, side, at_once):
    """Files of a few kilobytes may decode to hundreds of megabytes each."""
    monkeypatch.setattr(decoding, "PIXELS_AT_ONCE", 250)
    inside, most, enough = 0, 0, threading.Barrier(at_once)
    original = decoding._loaded

    def loaded(opened, conversion):
        nonlocal inside, most
        inside, most = inside + 1, max(most, inside + 1)
        enough.wait(30)  # so many are decoded at the same time
        item = original(opened, conversion)
        inside -= 1
        return item

    monkeypatch.setattr(decoding, "_loaded", loaded)
    with decoding.reading_threads(4) as pool:
        items = pool.map(lambda _: decoding.decode_image(png(side), Conversion()), range(8))
    assert [item.shape for item in items] == [(1, side, side)] * 8
    assert most == at_once
    assert decoding.PIXEL_LIMIT.pixels == 0
    with pytest.raises(Unreadable):
        decoding.decode_image(png(side)[:-30], Conversion())
    assert decoding.PIXEL_LIMIT.pixels == 0

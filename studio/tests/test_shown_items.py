"""Single items as pages show them: recordings are heard, and volumes are looked through slice by slice."""

import base64
import io
import wave

import numpy as np
import pytest
import torch
from PIL import Image

import ancestral
from ancestral.base.errors import InputError
from ancestral_studio import shown_items
from ancestral_studio.shown_items import slices_of
from studio_client import studio
from studio_page import until

TINY = {"steps": 2, "batch_size": 4, "width": 8, "mults": (1,), "blocks": 1, "attention": (), "preview_steps": 1,
        "trackers": ("none",), "device": "cpu", "precision": "fp32", "progress": False, "snapshots": 0}  # fmt: skip
RATE = 4000


def heard(content):
    with wave.open(io.BytesIO(content), "rb") as file:
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")


def tiles_of(answer):
    """The tiles of a picture of slices, (count, height, width)."""
    raw = base64.b64decode(answer["picture"].removeprefix("data:image/png;base64,"))
    sheet, (rows, columns) = np.array(Image.open(io.BytesIO(raw))), (answer["height"], answer["width"])
    places = (divmod(place, answer["columns"]) for place in range(answer["count"]))
    return np.stack([sheet[y * rows : (y + 1) * rows, x * columns : (x + 1) * columns] for y, x in places])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A studio over recordings and volumes, and a run of each."""
    folder = tmp_path_factory.mktemp("items")
    generator = np.random.default_rng(0)
    signals = (generator.normal(0, 0.2, (8, 256)).clip(-0.9, 0.9) * 2**15).astype("<i2")
    volumes = generator.integers(0, 256, (8, 1, 4, 8, 6), dtype=np.uint8)
    (folder / "sounds").mkdir()
    for number, signal in enumerate(signals):
        with wave.open(str(folder / "sounds" / f"{number}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(signal.tobytes())
    np.savez(folder / "volumes.npz", volumes=volumes)
    ancestral.train("arrays", data=folder / "sounds", out=folder / "runs" / "sounds", **TINY)
    ancestral.train("arrays", data=folder / "volumes.npz", out=folder / "runs" / "volumes", **TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with studio(folder, out=folder / "studio") as (_, client):
            yield folder, client, signals, volumes


def inspected(client, source, **options):
    name = client.start("doctor", source=str(source), steps=0, **options)
    client.wait(lambda: client.get(f"/api/processes/{name}").json["state"] == "finished", 60)
    return name


def run_named(client, name):
    return next(row["id"] for row in client.get("/api/overview").json["runs"] if row["name"] == f"runs/{name}")


@pytest.mark.long
def test_the_slices_of_a_volume_are_those_along_each_axis(place):
    folder, client, _, volumes = place
    process = inspected(client, folder / "volumes.npz")
    for axis in range(3):
        answer = client.get(f"/api/processes/{process}/items/3?axis={axis}").json
        assert (answer["items"], answer["axes"], answer["count"]) == (8, [4, 8, 6], [4, 8, 6][axis])
        assert np.array_equal(tiles_of(answer), np.moveaxis(volumes[3, 0], axis, 0))
    for path in ("items/8", "items/-1", "items/x", f"items/{'9' * 30}"):
        assert client.get(f"/api/processes/{process}/{path}").status == 404, path
    assert client.get(f"/api/processes/{process}/items/0?axis=3").status == 400
    assert client.get(f"/files/items/{process}/0.wav").status == 404


def test_a_recording_is_heard_as_training_gets_it(place):
    """With the options of the inspection: here its first 100 samples."""
    folder, client, signals, _ = place
    process = inspected(client, folder / "sounds", length=100)
    answer = client.get(f"/api/processes/{process}/items/5").json
    assert (answer["name"], answer["items"]) == ("5.wav", 8)
    file = client.get(answer["sound"])
    assert file.headers["content-type"] == "audio/wav"
    rate, signal = heard(file.content)
    assert rate == RATE
    assert np.array_equal(signal, signals[5][:100])


def test_volumes_that_were_made_are_kept_whole(place):
    """In an array beside the picture with the recipe; each is looked through."""
    _, client, _, _ = place
    kind, event = client.end(client.start("sample", model=run_named(client, "volumes"), n=3, steps=1))
    assert kind == "done"
    entry = client.get(f"/api/history/{event['entry']['id']}").json
    assert [file["name"] for file in entry["files"]] == ["grid.png", "samples.npz"]
    with np.load(io.BytesIO(client.get(entry["files"][1]["url"]).content)) as arrays:
        volumes = arrays["volumes"]
    assert volumes.shape == (3, 1, 4, 8, 6)
    answer = client.get(f"/api/history/{entry['id']}/items/2?axis=1").json
    assert np.array_equal(tiles_of(answer), np.moveaxis(volumes[2, 0], 1, 0))
    assert client.get(f"/api/history/{entry['id']}/items/3").status == 404


def test_previews_have_a_recording_or_a_volume(place):
    folder, client, _, _ = place
    sounds, volumes = (run_named(client, name) for name in ("sounds", "volumes"))
    preview = client.get(f"/api/runs/{sounds}/live").json["previews"][-1]
    rate, signal = heard(client.get(preview["sound"]).content)
    assert (rate, len(signal)) == (RATE, 8 * (256 + RATE // 4))
    assert not signal.reshape(8, -1)[:, 256:].any()
    preview = client.get(f"/api/runs/{volumes}/live").json["previews"][-1]
    with np.load(folder / "runs" / "volumes" / "samples" / "000002.npz") as arrays:
        (first,) = arrays["volumes"]
    assert np.array_equal(tiles_of(client.get(f"{preview['volume']}?axis=2").json), np.moveaxis(first[0], 2, 0))
    assert client.get(f"/api/runs/{volumes}/previews/7").status == 404
    assert client.get(f"/api/runs/{sounds}/previews/2").status == 404


def test_of_a_large_volume_some_slices_are_drawn(monkeypatch):
    """Evenly, from the first to the last; numbers of any range are black to white."""
    monkeypatch.setattr(shown_items, "MOST_SLICE_PIXELS", 64 * 3)
    volume = torch.arange(9.0)[None, :, None, None].expand(1, 9, 8, 8) * 1e6
    answer = slices_of(volume, 0)
    assert answer["numbers"] == [0, 4, 8]
    assert tiles_of(answer)[:, 0, 0].tolist() == [0, 128, 255]
    with pytest.raises(InputError, match="axes 0, 1 and 2"):
        slices_of(volume, 3)


@pytest.mark.browser
def test_sound_is_played_and_volumes_are_turned(chromium, place):
    """In the report on data and beside the previews of a run; the canvas has the pixels of the slice."""
    folder, client, _, volumes = place
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    address = f"http://127.0.0.1:{client.port}/"
    context.add_cookies([{"name": name, "value": text, "url": address} for name, text in client.cookies.items()])
    page, complaints = context.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for source in ("sounds", "volumes.npz"):
        inspected(client, folder / source)
    duration = """one => new Promise(done => {
      if (one.readyState) done(one.duration); else one.onloadedmetadata = () => done(one.duration);
    })"""
    page.goto(f"{address}#data?source={folder / 'sounds'}")
    items = page.get_by_role("region", name="Items")
    assert items.locator("audio").evaluate(duration) == pytest.approx(256 / RATE, abs=0.01)
    page.goto(f"{address}#data?source={folder / 'volumes.npz'}")
    items.get_by_role("button", name="Along width").click()  # the data of before have none
    items.get_by_role("slider", name="Item").fill("3")
    pixels = """one => [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data]
      .filter((_, place) => place % 4 === 0)"""
    canvas = items.get_by_role("img", name="item 3, slice 4 of 6 along its width")
    canvas.wait_for()
    assert canvas.evaluate(pixels) == volumes[3, 0, :, :, 3].flatten().tolist()
    slider = items.get_by_role("slider", name="Slice")
    slider.focus()
    page.keyboard.press("Home")
    assert items.get_by_role("img").evaluate(pixels) == volumes[3, 0, :, :, 0].flatten().tolist()
    page.goto(f"{address}#train/{run_named(client, 'sounds')}")
    seconds = page.locator(".previews audio").evaluate(duration)
    assert seconds == pytest.approx(8 * (256 / RATE + 0.25), abs=0.01)
    page.goto(f"{address}#train/{run_named(client, 'volumes')}")
    page.locator(".previews summary", has_text="slice by slice").click()
    page.locator(".previews").get_by_role("img", name="slice 3 of 4 along its depth").wait_for()
    tab = page.locator("section[data-tab=sample]")
    for run in ("volumes", "sounds"):
        page.goto(f"{address}#sample/{run_named(client, run)}")
        until(page, tab.get_by_label("Run", exact=True).input_value, equals=run_named(client, run))
        tab.locator("[data-option=n] input").fill("2")
        tab.locator("form button.primary").click()
        if run == "volumes":
            tab.get_by_role("img", name="sample 0, slice 3 of 4 along its depth").wait_for()
            tab.get_by_role("slider", name="Sample").fill("1")
            tab.get_by_role("img", name="sample 1, slice 3 of 4 along its depth").wait_for()
        else:
            tab.locator("audio[aria-label='Sample 1']").wait_for()
            assert tab.locator("audio").count() == 2
    context.close()
    assert [text for text in complaints if not text.startswith("Canvas2D: Multiple readback")] == []  # of this test

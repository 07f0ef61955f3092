"""The tab Sample in Chromium: watched, scrubbed, stopped, branched, and repeated from a picture."""

import numpy as np
import pytest
import torch
import xarray
from PIL import Image

import ancestral
from ancestral import data
from ancestral.training import RunFolder, Trainer
from studio_client import studio
from studio_page import studio_pages
from tiny_models import conditional_stripes, tiny_config

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of two runs: digits with classes, and stripes with conditions of every kind."""
    folder = tmp_path_factory.mktemp("studio-runs")
    torch.manual_seed(0)
    ancestral.train(
        "digits", out=folder / "digits", steps=2, width=8, blocks=1, mults=(1, 2), batch_size=8, attention=(), seed=0
    )
    items = conditional_stripes()
    trainer = Trainer(tiny_config(), items, "cpu")
    stripes = RunFolder(folder / "stripes")
    stripes.begin(trainer.config)
    list(trainer.run(stripes))
    return folder


@pytest.fixture(scope="module")
def server(runs, tmp_path_factory):
    with studio(runs, out=tmp_path_factory.mktemp("studio")) as (server, _):
        yield server


@pytest.fixture
def pages(chromium, server):
    with studio_pages(chromium, server) as new:
        yield new


@pytest.fixture
def page(pages, server):
    return pages().open(f"sample/{id_of(server, 'digits')}")


def id_of(server, name):
    return next(id for id, folder in server.state.places.runs().items() if folder.name == name)


def tiles(page, kind):
    """The pixels of the tiles that are shown."""
    return [
        np.array(one, dtype=np.uint8).reshape(28, 28, 4)[..., 0]
        for one in page.tab.locator(f".tile canvas[data-kind={kind}]").evaluate_all(
            "all => all.map(c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data])"
        )
    ]


def cut(page, step, kind):
    """The tiles of the picture of a step."""
    sheet, size = page.pixels(step[kind]), 28
    places = [divmod(place, step["columns"]) for place in range(step["count"])]
    return [sheet[row * size : (row + 1) * size, column * size : (column + 1) * size] for row, column in places]


def test_each_step_is_shown_at_the_pixels_of_the_model(page):
    page.set(n=6, seed=3, steps=4)
    entry = page.start()
    assert (len(entry["steps"]), entry["count"], len(page.samples(entry))) == (5, 6, 6)
    slider = page.tab.get_by_label("Step", exact=True)
    assert slider.input_value() == "4"
    page.until(lambda: np.array_equal(tiles(page, "x0"), page.samples(entry)))
    slider.focus()
    for index in (3, 2):
        slider.press("ArrowLeft")
        page.tab.get_by_text(f"step {index} of 4").wait_for()
        expected = cut(page, entry["steps"][index], "x0")
        page.until(lambda expected=expected: np.array_equal(tiles(page, "x0"), expected))
    page.tab.get_by_role("button", name="States and estimates").click()
    page.tab.locator(".tile canvas[data-kind=x]").first.wait_for()
    page.tab.get_by_role("button", name="States and estimates").focus()
    page.page.keyboard.press("ArrowLeft")  # anywhere but in a field
    page.tab.get_by_text("step 1 of 4").wait_for()
    for kind in ("x", "x0"):
        expected = cut(page, entry["steps"][1], kind)
        page.until(lambda kind=kind, expected=expected: np.array_equal(tiles(page, kind), expected))


def test_a_sample_is_chosen_by_keyboard_with_its_neighbours(page, runs):
    page.set(n=5, seed=4, steps=3)
    entry = page.start()
    page.tab.locator(".tile").first.focus()
    page.page.keyboard.press("Enter")
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("ArrowRight")
    details = page.tab.get_by_label("The chosen sample")
    details.get_by_role("heading", name="Sample 2: 2").wait_for()
    near = details.locator(".near img")
    page.until(near.count, equals=5)
    items = data.open("digits").items[:, 0].double()
    sample = torch.from_numpy(page.samples(entry)[2]).double()
    nearest = int((items - sample).square().flatten(1).mean(1).argmin())
    assert near.first.get_attribute("src").endswith(f"/items/{nearest}")
    assert np.array_equal(page.pixels(near.first.get_attribute("src")), items[nearest].numpy().astype(np.uint8))
    details.get_by_role("button", name="Favourite").click()
    details.get_by_role("button", name="Favourite", pressed=True).wait_for()
    assert page.get(f"/api/history/{entry['id']}")["favourite"]
    with page.page.expect_download() as download:
        details.get_by_role("link", name="Download").click()
    assert np.array_equal(np.array(Image.open(download.value.path())), page.samples(entry)[2])


def test_stop_now_keeps_what_there_is(page):
    page.set(n=4, seed=5, sampler="ddpm", batch_size=4)
    page.begin()
    page.tab.locator(".tile").first.wait_for()
    page.tab.get_by_role("button", name="Stop now").click()
    entry = page.end("cancelled")
    assert 1 <= len(entry["steps"]) < 1000
    assert entry["state"] == "cancelled"
    assert [file["name"] for file in entry["files"]] == ["stopped.png"]
    assert page.tab.get_by_label("Step", exact=True).is_enabled()
    assert page.tab.locator("form button.primary").is_enabled()


def test_a_branch_continues_from_a_step(page, runs):
    page.set(n=3, seed=6, sampler="ddim", steps=5)
    parent = page.start()
    slider = page.tab.get_by_label("Step", exact=True)
    slider.focus()
    for _ in range(3):
        slider.press("ArrowLeft")
    page.tab.get_by_text("step 2 of 5").wait_for()
    page.tab.get_by_role("button", name="Branch from here").click()
    page.tab.get_by_role("button", name="7", exact=True).click()
    page.set(eta=1, seed=8)
    assert page.tab.get_by_role("button", name="Continue").is_visible()
    entry = page.start()
    for index in range(3):
        assert np.array_equal(*(cut(page, one["steps"][index], "x") for one in (parent, entry)))
    grid = page.server.state.history.file(parent["id"], "files/grid.png")
    out = grid.parent / "again"
    ancestral.sample(runs / "digits", branch=grid, at=2, label="7", seed=8, sampler="ddim", steps=5, eta=1.0, out=out)
    expected = [np.array(Image.open(file)) for file in sorted(out.glob("0*.png"))]
    assert np.array_equal(page.samples(entry), expected)
    assert not np.array_equal(page.samples(entry), page.samples(parent))


RECIPES = {
    "defaults": {"n": 4, "seed": 0},
    "sampler": {"n": 3, "seed": 11, "sampler": "heun", "steps": 3, "batch_size": 2},
    "guided": {"n": 3, "seed": 12, "steps": 4, "sampler": "ddim", "eta": 0.5, "guidance": 1.7, "guidance_rescale": 0.3},
}


@pytest.mark.parametrize("values", RECIPES.values(), ids=RECIPES)
def test_a_picture_dropped_in_again_repeats_to_the_bit(pages, server, values, tmp_path):
    page = pages().open(f"sample/{id_of(server, 'digits')}")
    page.set(**values)
    for name in ("3", "none"):
        page.tab.get_by_role("button", name=name, exact=True).click()
    entry = page.start()
    single, grid = (tmp_path / name for name in ("000001.png", "grid.png"))
    for file in entry["files"]:
        (tmp_path / file["name"]).write_bytes(page.file(file["url"]))
    again = pages().open(f"sample/{id_of(server, 'stripes')}")
    again.set(n=9, seed=99, steps=7)
    again.drop(grid)
    again.toast("Every control is as it was")
    assert again.tab.get_by_label("Run").input_value() == id_of(server, "digits")
    assert again.values("seed") == {"seed": str(values["seed"])}
    assert [one.text_content() for one in again.tab.locator(".chip[aria-pressed=true]").all()] == ["3", "none"]
    repeated = again.start()
    assert np.array_equal(again.samples(repeated), page.samples(entry))
    assert {**repeated["recipe"], "sampler": ""} == {**entry["recipe"], "sampler": ""}  # where 1 became 1.0
    again.drop(single, again.tab.locator("form"))
    again.until(again.tab.locator(".chip[aria-pressed=true]").count, equals=1)
    one = again.start()
    assert one["files"][0]["name"] == "000001.png"
    assert np.array_equal(again.samples(one)[0], page.samples(entry)[1])


def test_conditions_have_controls(pages, server, tmp_path):
    page = pages().open(f"sample/{id_of(server, 'stripes')}")
    page.set(n=2, seed=1, steps=2)
    for name in ("angle", "colour", "low"):
        page.tab.locator(f"[data-condition={name}] legend input").check()
    page.tab.locator("[data-condition=angle] input[type=number]").fill("4.25")
    page.tab.locator("[data-condition=colour] select").select_option(index=1)
    small = tmp_path / "small.png"
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4) * 16).save(small)
    page.tab.locator("[data-condition=low] input[type=file]").set_input_files(small)
    page.tab.locator("[data-condition=low] img").wait_for()
    entry = page.start()
    given = entry["recipe"]["given"]
    assert given["angle"] == ["4.25"]
    assert given["colour"] == ["1"]
    assert given["low"][0].startswith("small.png sha256:")
    picture = tmp_path / "000000.png"
    picture.write_bytes(page.file(next(file["url"] for file in entry["files"] if file["name"] == "000000.png")))
    again = pages().open(f"sample/{id_of(server, 'digits')}")
    again.drop(picture)
    again.toast("Every control is as it was")
    assert again.tab.locator("[data-condition=angle] input[type=number]").input_value() == "4.25"
    assert np.array_equal(again.samples(again.start())[0], page.samples(entry)[0])


def test_samples_of_one_condition_are_shown_together(pages, server):
    page = pages().open(f"sample/{id_of(server, 'stripes')}")
    page.set(n=7, seed=1, steps=2)
    page.tab.locator("[data-condition=angle] legend input").check()
    page.tab.locator("[data-condition=angle] input[type=number]").fill("4.25")
    samples = np.stack(page.samples(page.start())).astype(float).reshape(7, 8, 8, -1)
    page.tab.get_by_text("All samples together").click()

    def drawn(name):
        return np.array(page.tab.locator(f"canvas[data-map={name}]").evaluate(
            "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
        )).reshape(8, 8, 4)[..., :3]  # fmt: skip

    members = page.tab.get_by_label("Members")
    page.until(members.input_value, equals="7")
    for count in (7, 3):
        members.fill(str(count))
        some = samples[:count]
        page.until(lambda some=some: np.abs(drawn("mean") - some.mean(0)).max() <= 0.5 + 1e-6)
        for name, share in (("low", 0.05), ("median", 0.5), ("high", 0.95)):
            assert np.abs(drawn(name) - np.quantile(some, share, axis=0)).max() <= 0.5 + 1e-6
        spread = np.sqrt(some.var(0, ddof=1).mean(-1))
        assert np.abs(drawn("spread")[..., 0] - 255 * spread / spread.max()).max() <= 0.5 + 1e-6
    mean = page.tab.locator("canvas[data-map=mean]")
    box = page.still(mean)
    mean.click(position={"x": 2.5 / 8 * box["width"], "y": 5.5 / 8 * box["height"]})
    quantiles = np.floor(np.quantile(samples[:3, 5, 2], (0.05, 0.5, 0.95), axis=0) + 0.5).astype(int).T.tolist()
    names = ("red ", "green ", "blue ") if len(quantiles) == 3 else ("",)
    said = ", ".join(f"{name}{mid} ({low} to {high})" for name, (low, mid, high) in zip(names, quantiles, strict=True))
    page.tab.get_by_text(f"row 5, column 2: median and 5 to 95 %: {said}").wait_for()
    page.tab.get_by_label("Maps of all samples").press("ArrowRight")
    page.tab.get_by_text("row 5, column 3").wait_for()
    page.tab.locator("[data-condition=angle] legend input").uncheck()  # without a condition there is nothing to compare
    page.start()
    page.tab.get_by_text("All samples together").wait_for(state="hidden")


def test_fields_are_shown_by_channel_in_their_units(pages, server, runs, tmp_path):
    waves = 280 + 5 * np.sin(np.arange(20)[:, None, None] + np.arange(8)[:, None] + np.arange(8) / 3)
    fields = xarray.Dataset({
        "t2m": (("time", "y", "x"), waves.astype("f4"), {"units": "K"}),
        "pr": (("time", "y", "x"), (waves - 270).astype("f4"), {"units": "mm"}),
    })  # fmt: skip
    small = {"width": 8, "mults": (1,), "blocks": 1, "attention": (), "patch": 1, "groups": 2, "snapshots": 0}
    ancestral.train(data=fields, out=runs / "fields", given=("previous:1",), steps=2, batch_size=8, **small)
    fields.to_netcdf(tmp_path / "start.nc", engine="h5netcdf")
    page = pages().open(f"sample/{id_of(server, 'fields')}")
    page.tab.locator("[data-condition=previous] legend input").check()
    page.tab.locator("[data-condition=previous] input[type=file]").set_input_files(tmp_path / "start.nc")
    page.tab.get_by_text("start.nc").wait_for()
    page.set(n=3, steps=2)
    entry = page.start()
    page.tab.get_by_text("pr [mm]: black is 5, white 15; t2m [K]: black is 275, white 285").wait_for()
    canvas = page.tab.locator(".tile canvas[data-kind=x0]").first
    size = "one => [one.width, one.height]"
    page.until(lambda: canvas.evaluate(size), equals=[8, 17])  # drawn when its file is here
    (tmp_path / "made.nc").write_bytes(
        page.file(next(file["url"] for file in entry["files"] if file["name"] == "samples.nc"))
    )
    with xarray.open_dataset(tmp_path / "made.nc", engine="h5netcdf") as made:
        assert made.t2m.shape == (3, 8, 8)
        assert made.t2m.attrs["units"] == "K"
    page.tab.get_by_text("All samples together").click()
    # from the middle, the first row of the second channel
    page.tab.get_by_label("Maps of all samples").press("ArrowUp")
    page.tab.get_by_text("pr [mm], row 7, column 4: median and 5 to 95 %").wait_for()


def test_a_key_may_come_before_the_maps_of_all_samples_are_drawn(pages, server):
    """The browser says a moment later that the maps are unfolded."""
    page = pages().open(f"sample/{id_of(server, 'stripes')}")
    page.set(n=3, seed=1, steps=2)
    page.tab.locator("[data-condition=angle] legend input").check()
    page.start()
    page.tab.get_by_text("All samples together").wait_for()
    said = page.tab.locator("details.ensemble").evaluate(
        """one => {
            one.open = true;
            const key = new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true });
            one.querySelector("[role=group]").dispatchEvent(key);
            return one.querySelector("output.small:not(.number)").textContent;
        }"""
    )
    assert said.startswith("row 3, column 4: median and 5 to 95 %: ")


def test_a_job_is_followed_over_two_reloads(pages, server):
    """The second one comes before the job has ended."""
    page = pages().open(f"sample/{id_of(server, 'digits')}")
    page.set(n=64, seed=31, sampler="ddim", steps=900)
    page.begin()
    job = page.tab.locator(".job").get_attribute("data-job")
    for _ in range(2):
        page.page.reload()
        page.tab.locator(f".job[data-job='{job}'][data-state=running]").wait_for()
    page.tab.locator(".job button.danger").click()
    page.tab.locator(f".job[data-job='{job}'][data-state=cancelled]").wait_for()


def test_errors_are_said_where_they_are_mended(page):
    page.expected.append("400")
    page.set(n=2, seed=1, steps=3, sampler="ddim")
    added_noise = page.tab.locator("[data-setting=eta]")
    added_noise.fill("-1")
    page.tab.locator("form button.primary").click()
    page.tab.locator(".error", has_text="eta must lie between 0").wait_for()
    added_noise.fill("1")
    page.set(n=5000)
    page.tab.locator("form button.primary").click()
    problem = page.tab.locator("[data-option=n] .problem", has_text="at most 1,024")
    problem.wait_for()
    assert "-n" not in problem.inner_text()  # but its name for people
    page.set(n=2)
    entry = page.start()
    assert entry["recipe"]["sampler"].startswith("ddim:steps=3,eta=1")


def test_an_entry_of_the_history_is_opened_again(pages, server):
    first = pages().open(f"sample/{id_of(server, 'digits')}")
    first.set(n=3, seed=31, steps=3)
    first.tab.get_by_role("button", name="5", exact=True).click()
    entry = first.start()
    page = pages().open(f"sample?entry={entry['id']}")
    page.tab.locator(".tile").nth(2).wait_for()
    page.until(lambda: page.values("n", "seed"), equals={"n": "3", "seed": "31"})
    page.until(page.tab.locator(".tile-text").all_text_contents, equals=["5", "5", "5"])
    page.until(lambda: np.array_equal(tiles(page, "x0"), page.samples(entry)))


def test_sampling_needs_no_mouse(page):
    keys = page.page.keyboard
    for _ in range(40):
        keys.press("Tab")
        if page.page.evaluate("document.activeElement.name") == "n":
            break
    keys.press("Control+a")
    keys.type("3")
    keys.press("Enter")
    page.tab.locator(".job[data-state=done]").wait_for()
    page.tab.locator(".tile").nth(2).wait_for()  # drawn when the picture of the step is loaded
    for _ in range(60):
        keys.press("Tab")
        if page.page.evaluate("document.activeElement.classList.contains('tile')"):
            break
    keys.press("Enter")
    keys.press("End")
    page.tab.get_by_label("The chosen sample").get_by_text("Sample 2: 2").wait_for()
    slider = page.tab.get_by_label("Step", exact=True)
    keys.press("ArrowDown")
    assert int(slider.input_value()) == int(slider.get_attribute("max")) - 1
    keys.press("Escape")  # the window gives the focus back a moment after it is closed
    page.until(lambda: page.page.evaluate("document.activeElement.getAttribute('aria-label')"), equals="Sample 2")

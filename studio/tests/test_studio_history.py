"""The history in Chromium: found by words, several marked, compared, repeated on another run, and deleted."""

import io
import shutil
import zipfile

import pytest

from studio_client import studio
from studio_page import studio_pages

pytestmark = pytest.mark.browser


@pytest.fixture
def place(chromium, tiny_run, tmp_path):
    """A studio over two runs in which three samples were made by seeds 1 to 3, its history, a client and the runs."""
    for name in ("one", "two"):
        shutil.copytree(tiny_run.path, tmp_path / "runs" / name)
    with studio(tmp_path / "runs", out=tmp_path / "out") as (server, client):
        client.get("/")
        runs = {run["name"]: run["id"] for run in client.get("/api/overview").json["runs"]}
        for seed in (1, 2, 3):
            client.end(client.start("sample", model=runs["one"], n=4, seed=seed, steps=2 + (seed == 3)))
        with studio_pages(chromium, server) as new:
            one = new()
            one.page.goto(f"{one.address}/#history")
            one.tab = one.page.locator("section[data-tab=history]")
            one.cards = one.tab.locator(".made .card")
            one.until(lambda: one.cards.count() == 3)
            yield one, client, runs


def entries(client, query=""):
    return client.get(f"/api/history{query}").json["entries"]


def test_several_are_marked_sent_and_deleted_by_keyboard(place):
    one, client, _ = place
    page, tab = one.page, one.tab
    tab.get_by_label("Find in the history").fill("seed=2")
    one.until(lambda: one.cards.count() == 1)
    tab.get_by_label("Find in the history").fill("one")
    one.until(lambda: one.cards.count() == 3)
    for place_of_card in (0, 1):
        one.cards.nth(place_of_card).get_by_role("checkbox").focus()
        page.keyboard.press("Space")
    tab.get_by_text("2 selected").wait_for()
    tab.get_by_label("Tag", exact=True).last.fill("for the <b>poster</b>")
    page.keyboard.press("Enter")
    one.until(lambda: len(entries(client, "?tag=for+the+%3Cb%3Eposter%3C%2Fb%3E")) == 2)
    tab.get_by_role("button", name="Favourite", exact=True).press("Enter")
    one.until(lambda: [entry["favourite"] for entry in entries(client)] == [True, True, False])
    with page.expect_download() as download:
        tab.get_by_role("link", name="Download").press("Enter")
    with zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())) as archive:
        assert sum(name.endswith("grid.png") for name in archive.namelist()) == 2
    tab.get_by_label("Tag", exact=True).first.select_option("for the <b>poster</b>")
    one.until(lambda: one.cards.count() == 2)
    tab.get_by_role("button", name="Delete", exact=True).press("Enter")
    page.get_by_role("button", name="Undo").focus()  # the undo stays while it has the focus
    one.until(lambda: one.cards.count() == 0)
    assert len(entries(client)) == 3  # until the undo is gone
    page.get_by_role("button", name="Undo").press("Enter")
    one.until(lambda: one.cards.count() == 2)
    tab.get_by_role("checkbox").first.check()
    tab.get_by_role("button", name="Select all 2 that are found").click()
    tab.get_by_text("2 selected").wait_for()
    tab.get_by_role("button", name="Delete", exact=True).click()
    page.reload()
    one.until(lambda: len(entries(client)) == 1)


def test_two_are_compared_by_what_differs(place):
    one, _, _ = place
    for number in (0, 1):
        one.cards.nth(number).get_by_role("checkbox").check()
    one.tab.get_by_role("button", name="Compare two").click()
    window = one.page.get_by_role("dialog")
    rows = window.locator("tbody tr")
    one.until(lambda: [row.replace("\t", " ") for row in rows.all_inner_texts()] == ["Seed 3 2", "Steps 3 2"])
    window.get_by_label("Show what is the same too").check()
    assert rows.count() > 4
    pictures = window.locator(".beside-pictures img")
    one.until(lambda: pictures.evaluate_all("all => all.every(one => one.naturalWidth > 0)"))
    window.get_by_role("button", name="One over the other").press("Enter")
    window.get_by_label("One over the other: share of the first picture").press("ArrowRight")
    one.page.keyboard.press("Escape")
    window.wait_for(state="hidden")

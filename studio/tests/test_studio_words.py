"""Words in the studio: a field for a text, tables over texts, what is posted and restored, and what data hold."""

import pytest
import torch

from ancestral import config as configs
from ancestral import data
from ancestral.base.errors import InputError
from ancestral.conditions import Image as ImageCondition
from ancestral.conditions import Words
from ancestral.measure.condition_findings import condition_statistics
from ancestral_studio.history import History
from ancestral_studio.model_description import model_description
from ancestral_studio.posted_options import ReadableFiles, read_posted
from ancestral_studio.uploads import Uploads
from studio_client import studio
from studio_page import studio_pages
from tiny_models import untrained

VOCABULARY = ("\u2581a", "\u2581red", "\u2581blue", "\u2581circle", "\u2581c", "\u2581z", "u", "r", "b", "e", ",")
WORDS = Words(VOCABULARY, 6, example="a red circle")
TEXTS = ["a red circle, r/b", "a blue circle; u:e"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A studio over a model with words, and one whose condition of the same name is an image."""
    folder = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    for name, kind in (("words", WORDS), ("image", ImageCondition(1))):
        model = untrained((1, 8, 8), conditions={"caption": kind}, process=configs.ProcessConfig("cosine", 20, "v"))
        for parameter in model.diffusion.net.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        (folder / name).mkdir()
        model.save(folder / name / "model.safetensors")
        (folder / name / "config.json").write_text(model.config.to_json())
    with studio(folder, out=tmp_path_factory.mktemp("studio")) as (server, _):
        yield server, {path.name: number for number, path in server.state.places.runs().items()}, folder


def test_a_model_with_words_is_described(place):
    about = model_description(place[2] / "words" / "model.safetensors")
    assert about["conditions"]["caption"] == {
        "kind": "words", "vocabulary": VOCABULARY, "length": 6, "shuffled": False, "example": "a red circle",
        "cut": 0,
    }  # fmt: skip
    assert about["axes"]["sample"][0] == {"name": "caption", "title": "caption", "values": "", "texts": True}


def test_texts_name_no_files_where_all_models_have_words(place, tmp_path):
    """They may have slashes and colons; a condition that is an image in one of the models may not."""
    server, ids, _ = place
    files = ReadableFiles(server.state.places, Uploads(tmp_path / "uploads"), History(tmp_path / "history"))
    for text in ("/etc/passwd", "math:sin", "a red/blue circle"):
        options = {"model": ids["words"], "given": [f"caption={text}"]}
        assert read_posted(files, "sample", options).values["given"] == (f"caption={text}",)
        for other in ({"model": ids["image"]}, {"weak": ids["image"]}, {"then": [ids["image"]]}):
            with pytest.raises(InputError):
                read_posted(files, "sample", options | other)


def test_an_inspection_has_some_texts():
    items, captions = torch.zeros(40, 1, 8, 8, dtype=torch.uint8), [f"a circle {number}" for number in range(40)]
    statistics = condition_statistics(data.open((items, {"caption": captions})))["caption"]
    assert statistics.kind == "words"
    assert len(statistics.text.examples) == 6
    assert {"a circle 0", "a circle 39"} <= set(statistics.text.examples) <= set(captions)


@pytest.mark.browser
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["laptop", "phone"])
def test_words_are_typed_tabled_and_restored(chromium, place, tmp_path, size):
    server, ids, _ = place
    with studio_pages(chromium, server, viewport=dict(zip(("width", "height"), size, strict=True))) as pages:
        page = pages().open(f"sample/{ids['words']}")
        field = page.tab.locator("[data-condition=caption]")
        field.get_by_role("checkbox").check()
        area = field.get_by_label("caption", exact=True).last
        assert area.input_value() == "a red circle"
        area.fill("a zebra / Ω circle")
        assert field.locator(".words-note").first.text_content() == (
            "of the caption 'a zebra / Ω circle' the model read only: a zebr circle"
        )
        field.get_by_label("avoid caption").last.fill("blue")
        page.set(n=2, seed=3, steps=2, guidance=2)
        before = page.tab.locator(".job").get_attribute("data-job")
        area.press("Enter")
        page.tab.locator(f".job[data-job]:not([data-job='{before}'])").wait_for()
        entry = page.end()
        assert entry["recipe"]["given"] == {"caption": ["a zebra / Ω circle"]}
        assert entry["recipe"]["avoid"] == {"caption": ["blue"]}
        texts_of_tiles = page.tab.locator(".tile-text").all_text_contents
        page.until(texts_of_tiles, equals=["a zebra / Ω circle"] * 2)

        page.tab.get_by_label("Table of caption").click()
        texts = page.tab.get_by_label("Texts of caption").first
        assert texts.input_value() == "a red circle"
        texts.fill("\n".join(["", *TEXTS, "  "]))
        page.set(n=1)
        table = page.start()
        assert table["recipe"]["sweep"] == {"caption": TEXTS}
        page.until(texts_of_tiles, equals=[f"caption {one}" for one in TEXTS])

        again = pages().open(f"sample/{ids['words']}")
        whole = again.tab.locator("[data-condition=caption]").get_by_label("caption", exact=True).last
        lines = again.tab.get_by_label("Texts of caption").first
        for made, name, place, text in (
            (table, "sweep.png", lines, "\n".join(TEXTS)),
            (entry, "grid.png", whole, "a zebra / Ω circle"),
        ):
            file = next(one for one in made["files"] if one["name"].endswith(name))
            (tmp_path / "made.png").write_bytes(page.file(file["url"]))
            again.drop(tmp_path / "made.png")
            again.toast("Every control is as it was")
            again.until(place.input_value, equals=text)
            assert again.start()["recipe"] == made["recipe"]

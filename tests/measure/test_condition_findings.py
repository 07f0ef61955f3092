"""`doctor` on conditions: planted faults are named, and those that training refuses are errors of the report."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

import ancestral
from ancestral import config as configs
from ancestral import data
from ancestral.base.errors import InputError
from ancestral.results.data_report import DataReport

N = 40
FOLDER = configs.preset("folder")


def examine(source, *given, **options):
    options = {"steps": 0, "device": "cpu", "progress": False, **options}
    return ancestral.inspect(source, FOLDER, **options, **({"given": given} if given else {}))


def found(report, code):
    """The finding of a code, which is made once."""
    (finding,) = [finding for finding in report.findings if finding.code == code]
    return finding


@pytest.fixture
def photos(tmp_path):
    """40 images of noise 16×16."""
    root = tmp_path / "photos"
    root.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (N, 16, 16, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        PillowImage.fromarray(image).save(root / f"{number:02}.png")
    return root


def table(root, **columns):
    lines = [",".join(["file_name", *columns])]
    lines += [",".join([f"{row:02}.png", *(str(column[row]) for column in columns.values())]) for row in range(N)]
    (root / "metadata.csv").write_text("\n".join(lines))


def planted(root):
    age = [f"{30 + (row * 7) % 13 / 2}" for row in range(N)]
    age[3], age[5], age[6] = "900", "", ""
    hair = ["dark"] * 33 + ["fair"] * 6 + ["red"]
    table(root, age=age, hair=hair, legs=[2 + row % 2 for row in range(N)], note=[f"text {row}" for row in range(N)])


def test_planted_faults_of_columns_are_named(photos):
    planted(photos)
    report = examine(photos, "age", "hair", "legs")
    missing = found(report, "missing_condition")
    assert missing.text == "the condition age is missing for 2 of 40 items"
    assert list(missing.names) == ["05.png", "06.png"]
    assert found(report, "outliers").names == {"03.png": "900"}
    assert found(report, "single_classes").names == {"red": "one item"}
    assert "dark has 33 items, red 1" in found(report, "uneven_classes").text
    assert "label=hair" in found(report, "uneven_classes").advice
    assert "2, 3" in found(report, "like_classes").text
    assert report.trainable
    age, hair, legs = (report.conditions[name] for name in ("age", "hair", "legs"))
    values = data.open(photos, given="age").conditions["age"].numpy()
    assert (age.kind, age.missing, age.low, age.high) == ("vector", 2, (30.0,), (900.0,))
    assert (age.mean[0], age.std[0]) == pytest.approx((np.nanmean(values), np.nanstd(values)))
    assert hair.classes == {"dark": 33, "fair": 6, "red": 1}
    assert legs.missing == 0
    assert "3 classes, dark with 33 items to red with 1" in str(report)
    assert DataReport.from_json(report.to_json()).conditions == report.conditions
    assert "--given age hair legs" in report.command


def test_sound_columns_have_no_findings_and_a_table_is_noted(photos):
    before = {finding.code for finding in examine(photos).findings}
    values = torch.randn(N, generator=torch.Generator().manual_seed(0)).tolist()
    table(photos, age=values, hair=["dark", "fair"] * 20)
    assert {finding.code for finding in examine(photos, "age", "hair").findings} == before | {"reading"}
    assert found(examine(photos), "reading").text == "metadata.csv has the columns age, hair"


def test_text_that_is_no_class_is_found(photos):
    planted(photos)
    finding = found(examine(photos, "classes:note"), "single_classes")
    assert finding.text == "the condition note has 40 classes for 40 items"
    assert len(finding.names) == N


def test_numbers_that_are_mostly_equal_have_outliers_too(photos):
    finding = found(examine((torch.rand(N, 1, 8, 8), {"flow": [0.0] * 37 + [0.5, -0.5, 80.0]})), "outliers")
    assert finding.names == {"item 39": "80"}


def test_what_training_refuses_are_errors_all_at_once(photos, tmp_path, run, monkeypatch):
    planted(photos)
    rows = (photos / "metadata.csv").read_text()
    (photos / "metadata.csv").write_text(rows + "\n98.png,1,dark,2,x\n99.png,1,dark,2,x")
    edges = tmp_path / "edges"
    edges.mkdir()
    for number in range(N - 2):
        PillowImage.new("L", (8, 8), number).save(edges / f"{number:02}.png")
    report = examine(photos, "age", "height", str(edges), "grey", "upscale:5")
    errors = {finding.text: finding.names for finding in report.findings if finding.code == "condition"}
    assert len(errors) == 4
    assert not report.trainable
    assert {"98.png": "no such file", "99.png": "no such file"} in errors.values()
    assert dict.fromkeys(["38.png", "39.png"], "no partner") in errors.values()
    assert any("no column 'height'" in text for text in errors)
    assert list(report.conditions) == ["grey"]
    for given in ("age", "height", str(edges), "upscale:5"):
        with pytest.raises(InputError):
            data.open(photos, given=given)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AssertionError):  # the exit code is 1
        run("doctor", photos, "--given", "age", "--given", f"edge={edges}", "--steps", 0, "--json", "all.json")
    tree = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert sum(finding["level"] == "error" for finding in tree["findings"]) == 2


def test_nan_is_named_with_its_item(photos):
    table(photos, age=[row / 3 if row != 7 else "nan" for row in range(N)])
    assert found(examine(photos, "age"), "condition").names == {"07.png": "nan"}


def test_partners_of_another_shape_or_that_are_damaged_are_named(photos, tmp_path):
    edges = tmp_path / "edges"
    edges.mkdir()
    for number in range(N):
        PillowImage.new("L", (16, 9) if number == 4 else (32, 32), number).save(edges / f"{number:02}.png")
    (edges / "08.png").write_bytes(b"no image")
    report = examine(photos, f"edge={edges}", image_size=16)
    assert found(report, "condition_aspect").names == {"04.png": "16x16, and 9x16"}
    assert list(found(report, "unreadable").names) == ["08.png"]
    assert "edges/08.png" in found(report, "unreadable").names["08.png"]
    assert report.count == N - 1
    assert report.conditions["edge"].shape == (1, 16, 16)


def test_statistics_and_planted_faults_of_captions_are_named(photos):
    """Repeated ones, words that occur once, those that are too long and those that are missing."""
    captions = [[f"a red shape {row}", f"shape of size {row}"] for row in range(N)]
    captions[4], captions[9] = [], ["red " * 70 + "end"]
    captions[20:35] = [["a blue square"]] * 15
    captions[39] = ["a red sqaure"]
    report = examine((torch.rand(N, 1, 8, 8), {"caption": captions}))
    assert found(report, "missing_condition").names == {"item 4": "missing"}
    assert found(report, "repeated_captions").names == {"a blue square": "15 items"}
    once = found(report, "single_words")
    assert once.text.endswith("words of the condition caption occur once")
    assert once.names["sqaure"] == "item 39"
    assert "red" not in once.names
    long = found(report, "long_captions")
    assert long.text == "the condition caption has texts of more than 64 tokens for 1 item"
    assert list(long.names) == ["item 9"]
    assert [finding.code for finding in report.findings].count("reading") == 0  # each is said once
    text = report.conditions["caption"].text
    assert (text.captions, text.most, text.tokens[2], text.cut) == (2 * 22 + 17, 2, 64, 1)
    assert text.different_words == len({"a", "red", "shape", "of", "size", "blue", "square", "sqaure"})
    assert "61 captions, at most 2 an item, of 3 to 64 tokens" in str(report)
    assert DataReport.from_json(report.to_json()).conditions == report.conditions


def test_captions_that_all_repeat_alike_are_no_fault():
    captions = [f"a {('red', 'blue')[row % 2]} square left of circle {row % 4}" for row in range(N)]
    report = examine((torch.rand(N, 1, 8, 8), {"caption": captions}), "words:caption")
    assert not {"repeated_captions", "single_words", "long_captions"} & {finding.code for finding in report.findings}

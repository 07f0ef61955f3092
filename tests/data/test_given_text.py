"""Text as a condition: captions beside images, and text of every source, which is words or classes by one rule."""

import json
import re
import time

import datasets
import numpy as np
import pytest
import torch

from ancestral import data
from ancestral.base.errors import InputError
from ancestral.base.options import in_python, spell
from ancestral.conditions import Classes, Words
from ancestral.data.texts import LONGEST_CAPTION, MOST_CAPTIONS, TextColumn
from file_contents import image_bytes, write_images, write_tar
from test_given import Listed

N = 24
IMAGES = torch.randint(0, 256, (N, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
CAPTIONS = [f"a {('red', 'blue')[i % 2]} circle, number {i}" for i in range(N)]


def folder(root, captions=None):
    """Images in two sub-folders, and by number the content of text files beside them."""
    for i, image in enumerate(IMAGES):
        write_images(root / "ab"[i % 2], [image], f"{i:02}.png")
    for i, content in (captions or {}).items():
        raw = content if isinstance(content, bytes) else content.encode()
        (root / "ab"[i % 2] / f"{i:02}.txt").write_bytes(raw)
    return root


def texts(opened, name="caption"):
    """The texts of each item by its number, a list each."""
    kind, values = opened.spec.conditions[name], opened.conditions[name]
    columns = [kind.texts(column) for column in values.unbind(1)]
    return [[one for one in row if one] for row in zip(*columns, strict=True)]


def notes(opened):
    return [tuple(spell(part, in_python) for part in note) for note in opened.notes]


# -- files beside images ----------------------------------------------------------------------------------------------

BESIDE = {0: "A cat\r\n\n  a small cat  \n", 1: "\ufeffA dog", 2: "", 3: " \n", 5: "a cat"}
READ = [["a cat", "a small cat"], ["a dog"], [], [], [], ["a cat"]]


@pytest.mark.parametrize("memory", [1.0, 0.0], ids=["in memory", "read by index"])
def test_the_lines_of_text_files_beside_images_are_captions(tmp_path, memory):
    root = folder(tmp_path / "photos", BESIDE)
    (root / "README.txt").write_bytes(b"\xff no caption")
    opened = data.open(root, given="caption", memory=memory)
    by_name = {opened.name_of(row): texts for row, texts in enumerate(texts(opened))}
    assert [by_name[f"{'ab'[i % 2]}/{i:02}.png"] for i in range(N)] == READ + [[]] * (N - 6)
    assert opened.classes == ("a", "b")
    assert ("the condition caption is missing for 21 of 24 items", "these are trained on without it") in notes(opened)


def test_text_files_in_object_storage_are_those_of_the_local_copy(bucket, tmp_path):
    root = folder(tmp_path / "photos", BESIDE)
    remote, local = data.open(bucket.upload(root, "photos"), given="caption"), data.open(root, given="caption")
    assert torch.equal(remote.conditions["caption"], local.conditions["caption"])
    assert remote.spec.conditions["caption"] == local.spec.conditions["caption"]


def test_text_files_are_used_if_they_are_named_and_noted_otherwise(tmp_path):
    root = folder(tmp_path / "photos", BESIDE)
    assert notes(data.open(root)) == [
        ("5 items have captions in .txt files", "given='caption' conditions the model on it")
    ]
    rows = [f"{'ab'[i % 2]}/{i:02}.png,{i},x" for i in range(N)]
    (root / "metadata.csv").write_text("\n".join(["file_name,age,caption", *rows]))
    assert list(data.open(root, given="age").conditions) == ["age"]
    with pytest.raises(InputError, match=r"in \.txt files: rename the column caption, or move the \.txt files away"):
        data.open(root, given="caption")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("Größe".encode("latin-1"), "2 files of captions cannot be read (a/00.txt: not UTF-8): write UTF-8 of at most"),
        (b"a " * 2**15 + b".", "(a/00.txt: more than 64 KiB)"),
        ("a cat".encode("utf-16-le"), "(a/00.txt: it holds NUL (it may be UTF-16)): write UTF-8 of at most"),
    ],
)
def test_text_files_that_cannot_be_read_are_named(tmp_path, content, says):
    root = folder(tmp_path / "photos", {**BESIDE, 0: content, 1: content})
    with pytest.raises(InputError, match=re.escape(says)):
        data.open(root, given="caption")
    faults = []
    assert data.open(root, given="caption", faults=faults).spec.further == {}
    assert set(faults[0].names) == {"a/00.txt", "b/01.txt"}


# -- words or classes -------------------------------------------------------------------------------------------------


NINE_WORDS = [
    f"a {colour} {shape} on a {ground} ground"
    for colour in ("red", "blue")
    for shape in ("cube", "ball", "ring", "star", "tree")
    for ground in ("dark", "pale")
]


@pytest.mark.parametrize(
    ("texts", "called", "words"),
    [
        (NINE_WORDS * 20, "x", True),  # twenty captions of nine words, each of twenty items
        (["golden retriever", "great dane", "poodle"] * 20, "breed", True),  # most have several words
        (["dark brown", "black", "fair"] * 20, "hair", False),
        ([f"breed {i % 30}" for i in range(3000)], "x", False),  # a number is no second word
        ([f"name{i}" for i in range(30)], "x", True),  # many, few items each
        ([f"name{i}" for i in range(6)], "x", False),
        (["cat", "dog"] * 20, "x", False),
        (["cat", "dog"] * 20, "caption", True),
        (["cat", "dog"] * 20, "Text", True),
        (["cat", "dog"] * 20, "prompts", True),
        ([["cat"], ["dog"]], "x", True),
    ],
)
def test_text_is_words_by_its_name_or_by_several_words(texts, called, words):
    """Of a column that is called so, and of a condition that is; text of single words that repeats is classes."""
    rows = [tuple(text) if isinstance(text, list) else text for text in texts]
    for names in ((called, "x"), ("x", called)):
        column = TextColumn.of(rows, "the column", names)
        assert column.are_words == words
        assert isinstance(column.condition()[0], Words if words else Classes)


def test_a_new_combination_of_repeated_captions_is_read(tmp_path):
    texts = [one for one in NINE_WORDS if one != NINE_WORDS[0]]
    opened = data.open((torch.zeros(57, 1, 4, 4, dtype=torch.uint8), {"style": texts * 3}))
    kind = opened.spec.conditions["style"]
    assert kind.texts(kind.read([NINE_WORDS[0]])) == [NINE_WORDS[0]]
    assert notes(opened) == [
        (
            "the column style has 19 different texts for 57 items: they are words",
            "given='classes:style' reads them as classes",
        )
    ]


def test_what_text_was_taken_for_is_said_and_can_be_the_other(tmp_path):
    root = folder(tmp_path / "photos")
    rows = [f"{'ab'[i % 2]}/{i:02}.png,{CAPTIONS[i].replace(',', '')},{'xy'[i % 2]},{i}" for i in range(N)]
    (root / "metadata.csv").write_text("\n".join(["file_name,caption,hair,age", *rows]))
    ((said, advice),) = notes(data.open(root, given="hair"))
    assert said == "the column hair has 2 different texts for 24 items: they are classes"
    assert advice == "given='words:hair' reads them as words"
    forced = data.open(root, given=("classes:caption", "words:hair", "fur=words:hair"))
    assert len(forced.spec.conditions["caption"].names) == N
    assert sorted(map(str, texts(forced, "hair"))) == ["['x']"] * 12 + ["['y']"] * 12
    assert list(forced.spec.further) == ["caption", "hair", "fur"]
    assert forced.notes == ()
    assert len(data.open(root, given="classes:age").spec.conditions["age"].names) == N
    np.save(tmp_path / "hair.npy", np.array(["x", "y"] * (N // 2)))
    assert isinstance(data.open(root, given=f"caption={tmp_path}/hair.npy").spec.conditions["caption"], Words)
    with pytest.raises(InputError, match="age holds no text"):
        data.open(root, given="words:age")


def test_text_of_every_source_is_the_same_words(tmp_path, monkeypatch):
    """Dicts, arrays in memory and in files, lines of JSON, shards and `datasets`; lists are several captions."""
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "cache"))
    several = [[CAPTIONS[i], "a shape"] if i % 3 else [CAPTIONS[i]] for i in range(N)]
    root = folder(tmp_path / "photos")
    lines = [
        {"file_name": f"{'ab'[i % 2]}/{i:02}.png", "caption": CAPTIONS[i], "all": several[i]}
        for i in sorted(range(N), key=lambda i: i % 2)
    ]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    np.savez(
        tmp_path / "a.npz", images=IMAGES[:, 0].numpy(), caption=np.array(CAPTIONS), all=np.array(several[1:2] * N)
    )
    members = []
    for i in range(N):
        members += [
            (f"{i:04}.all.txt", "\n\n".join(several[i]).encode()),
            (f"{i:04}.txt", CAPTIONS[i].encode()),
            (f"{i:04}.png", image_bytes(IMAGES[i])),
        ]
    write_tar(tmp_path / "a.tar", members)
    datasets.disable_progress_bars()
    columns = {
        "image": [{"bytes": image_bytes(one), "path": None} for one in IMAGES],
        "caption": CAPTIONS,
        "all": several,
    }
    features = {"image": datasets.Image(), "caption": datasets.Value("string")}
    features["all"] = datasets.Sequence(datasets.Value("string"))
    datasets.Dataset.from_dict(columns, features=datasets.Features(features)).save_to_disk(tmp_path / "saved")
    items = [{"image": IMAGES[i], "caption": CAPTIONS[i], "all": several[i]} for i in range(N)]
    whole = data.open((IMAGES, {"caption": CAPTIONS, "all": several}))
    assert texts(whole) == [[one] for one in CAPTIONS]
    assert texts(whole, "all") == several
    opened = [data.open(one, given=("caption", "all")) for one in (tmp_path / "a.tar", tmp_path / "saved")]
    for other in [*opened, data.open(Listed(items))]:
        for name in ("caption", "all"):
            assert other.spec.conditions[name] == whole.spec.conditions[name]
            assert torch.equal(other.conditions[name], whole.conditions[name])
    in_order = sorted(range(N), key=lambda i: i % 2)
    of_table = data.open(root, given=("caption", "all"))
    assert texts(of_table, "all") == [several[i] for i in in_order]
    assert texts(of_table) == [[CAPTIONS[i]] for i in in_order]
    of_arrays = data.open(tmp_path / "a.npz", given=("caption", "all"))
    assert torch.equal(of_arrays.conditions["caption"], whole.conditions["caption"])
    assert texts(of_arrays, "all") == [several[1]] * N


def test_what_is_left_out_of_long_and_many_captions_is_said():
    captions = [[f"a circle {i}"] for i in range(N)]
    captions[3] = ["x " * (LONGEST_CAPTION + 1), "x " * LONGEST_CAPTION]
    captions[5] = [f"text {i}" for i in range(MOST_CAPTIONS + 1)]
    opened = data.open((IMAGES, {"caption": captions}))
    assert opened.conditions["caption"].shape == (N, MOST_CAPTIONS, LONGEST_CAPTION)
    assert [text for text, _ in opened.notes] == [
        "the column caption has more than 16 texts for 1 item",
        "the condition caption has texts of more than 64 tokens for 1 item",
    ]
    assert len(texts(opened)[3][0].split()) == LONGEST_CAPTION


@pytest.mark.parametrize("hostile", ["ab" * 2**18, "a" + "\u0301\u0316" * 2**18, "ﷺ" * 2**18, "a b " * 2**18])
def test_text_of_any_length_is_read_in_little_time(hostile):
    start = time.perf_counter()
    kind, values = TextColumn.of([(hostile,), (hostile,), ("a red square",)], "x").condition()
    assert time.perf_counter() - start < 5
    assert kind.texts(values)[2] == "a red square"


WRONG_TEXTS = {"a \0 caption": "NUL (it may be UTF-16)", "a \ud800 caption": "text that is no Unicode"}


@pytest.mark.parametrize("text", WRONG_TEXTS, ids=ascii)
@pytest.mark.parametrize("given", [None, "words:caption", "classes:caption"])
def test_text_that_no_model_file_holds_is_refused_by_every_road(tmp_path, text, given):
    """In a table of JSON, in arrays and in items from Python, by the name of the item, whatever the kind."""
    root = folder(tmp_path / "photos")
    lines = [{"file_name": f"{'ab'[i % 2]}/{i:02}.png", "caption": text if i == 3 else CAPTIONS[i]} for i in range(N)]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    captions = [line["caption"] for line in lines]
    np.savez(tmp_path / "a.npz", images=IMAGES[:, 0].numpy(), caption=np.array(captions))
    for source, name in (
        (root, "b/03.png"),
        (tmp_path / "a.npz", "item 3"),
        ((IMAGES, {"caption": captions}), "item 3"),
    ):
        with pytest.raises(InputError) as error:
            data.open(source, given=given or "caption")
        assert f"holds {WRONG_TEXTS[text]} in 1 row ({name}): save it as UTF-8" in str(error.value)


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_table_in_utf_16_is_named(tmp_path, name):
    root = folder(tmp_path / "photos")
    table = (
        "file_name,caption\na/00.png,a cat\n"
        if name.endswith("csv")
        else '{"file_name": "a/00.png", "caption": "a cat"}\n'
    )
    (root / name).write_bytes(table.encode("utf-16-le"))
    with pytest.raises(InputError, match=rf"{name} holds NUL \(it may be UTF-16\) in line 1: save it as UTF-8"):
        data.open(root, given="caption")


def test_a_caption_of_a_shard_that_is_not_utf_8_is_refused(tmp_path):
    texts = [(f"{i:04}.txt", "a Größe".encode("latin-1" if i == 2 else "utf-8")) for i in range(N)]
    images = [(f"{i:04}.png", image_bytes(image)) for i, image in enumerate(IMAGES)]
    write_tar(tmp_path / "a.tar", sorted(texts + images))
    with pytest.raises(InputError, match=r"no Unicode in 1 row \(.*0002"):
        data.open(tmp_path / "a.tar", given="caption")


def test_texts_that_are_links_out_of_the_data_are_refused_and_other_links_are_said(tmp_path):
    """A caption or a table may be a link within the data, or into the folder where the pictures are links to."""
    secret = tmp_path / "home" / "key.txt"
    secret.parent.mkdir()
    secret.write_text("a secret\n")
    root = folder(tmp_path / "photos", {0: "a cat"})
    (root / "b" / "01.txt").symlink_to("../a/00.txt")
    assert sorted(map(str, texts(data.open(root, given="caption")))) == sorted(["['a cat']"] * 2 + ["[]"] * (N - 2))
    assert data.open(root).notes[:-1] == ()
    (root / "b" / "03.txt").symlink_to(secret)
    with pytest.raises(
        InputError, match=rf"1 file of captions cannot be read \(b/03.txt: a link out of the data to {secret}\)"
    ):
        data.open(root, given="caption")
    (root / "b" / "03.txt").unlink()
    (root / "metadata.csv").symlink_to(secret)
    with pytest.raises(InputError, match=rf"metadata.csv is a link out of the data to {secret}: put a copy"):
        data.open(root, given="age")
    (root / "metadata.csv").unlink()

    cache = tmp_path / "cache"
    blobs = folder(cache / "blobs", {0: "a cat", 1: "a dog"})
    linked = cache / "snapshot"
    linked.mkdir()
    for file in sorted(blobs.glob("a/*")):
        (linked / file.name).symlink_to(file)
    opened = data.open(linked, given="caption")
    assert [one for one in texts(opened) if one] == [["a cat"]]
    said = f"12 links lead out of the folder snapshot (00.png to {blobs}/a/00.png)"
    assert (said, "what it leads to is read; remove links that you did not make") in opened.notes
    opened = data.open(blobs / "a", given=f"low={linked}")
    assert said in [text for text, _ in opened.notes]


@pytest.mark.parametrize("name", [chr(0xD800), chr(0xDCFF), "a\0b", "x" * 5000, "9" * 5000])
def test_a_name_that_no_file_has_is_one_of_no_file(tmp_path, name):
    root = folder(tmp_path / "photos")
    lines = [{"file_name": "a/00.png", "age": 1}, {"file_name": name, "age": 2}]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(InputError, match="1 row for files that do not exist"):
        data.open(root, given="age")

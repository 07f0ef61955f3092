"""Sources of conditions: tables beside files, dicts, WebDataset members, columns of `datasets`, recordings.

In memory, read by index, and by two workers they have the same values.
"""

import gc
import json
import re
import wave

import datasets
import numpy as np
import pytest
import torch
from torch.utils.data import Dataset as TorchMapStyle

from ancestral import data
from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image, Vector
from ancestral.data.loading import Loader
from file_contents import array_bytes, image_bytes, write_images, write_tar

N = 12
IMAGES = torch.randint(0, 256, (N, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
MASKS = IMAGES[:, :1, ::2, ::2]
AGES = torch.linspace(20, 75, N).double().round(decimals=1)
HAIR = [("dark", "fair", "red")[i % 3] for i in range(N)]


def csv_table(root, rows, header="file_name,age,hair", **options):
    root.joinpath("metadata.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8", **options)


def rows_of_table():
    return [f"{i:02}.png,{AGES[i]},{HAIR[i]}" for i in range(N)]


def batches(opened, workers, count=4):
    """The values of each item, by its number."""
    with Loader(opened, seed=0, batch_size=5, positions=range(5), workers=workers) as loader:
        stream = loader.batches(2)
        return [next(stream) for _ in range(count)]


def assert_all(opened, **expected):
    """Whether the conditions of all items are these, by index and in batches of two workers."""
    assert opened.conditions.keys() == expected.keys()
    values = opened.conditions_of(torch.arange(len(opened)))
    for name, value in expected.items():
        assert torch.equal(values[name], value), name
    for workers in (0, 2):
        for batch in batches(opened, workers, 2 if workers else 4):
            assert torch.equal(batch.items, IMAGES[batch.indices])
            for name, value in expected.items():
                assert torch.equal(batch.conditions[name], value[batch.indices]), (name, workers)


# -- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [1.0, 0.0], ids=["in memory", "read by index"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_in_the_folder(tmp_path, kind, memory):
    root = write_images(tmp_path / "photos", IMAGES)
    if kind == "csv":
        lines = [f'{i:02}.png,{AGES[i]},"{HAIR[i]}, long",{-i}' for i in range(N)]
        text = "\ufefffile_name,age,hair,yaw\r\n" + "\r\n".join(reversed(lines)) + "\r\n"
    else:
        lines = [
            {"age": AGES[i].item(), "file_name": f"./{i:02}.png", "hair": f"{HAIR[i]}, long", "yaw": -i}
            for i in range(N)
        ]
        text = "\n".join(map(json.dumps, lines))
    (root / f"metadata.{kind}").write_bytes(text.encode())
    opened = data.open(root, given=("classes:hair", "pose=age,yaw"), memory=memory)
    pose = torch.stack([AGES, -torch.arange(N).double()], 1)
    assert opened.spec.conditions["hair"] == Classes(("dark, long", "fair, long", "red, long"))
    assert opened.spec.conditions["pose"].names == ("age", "yaw")
    assert opened.spec.conditions["pose"].mean == pytest.approx(pose.mean(0).tolist())
    assert_all(opened, hair=torch.arange(N) % 3, pose=pose)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_table_is_read_as_hugging_face_reads_it(tmp_path):
    root = write_images(tmp_path / "photos", IMAGES, "{:02}/a.png")
    rows = [f'"{i:02}/a.png", {AGES[i]},"say ""{HAIR[i]}"""' for i in range(N)]
    csv_table(root, rows)
    datasets.disable_progress_bars()
    theirs = datasets.load_dataset("imagefolder", data_dir=str(root), split="train", cache_dir=str(tmp_path / "cache"))
    gc.collect()  # the library leaves the table open
    ages = {np.asarray(row["image"]).tobytes(): row["age"] for row in theirs}
    hair = {np.asarray(row["image"]).tobytes(): row["hair"] for row in theirs}
    opened = data.open(root, given=("age", "classes:hair"))
    names = opened.spec.conditions["hair"].names
    values = opened.conditions_of(list(range(N)))
    for item, age, number in zip(opened.items, values["age"], values["hair"], strict=True):
        raw = item.permute(1, 2, 0).contiguous().numpy().tobytes()
        assert (age.item(), names[number]) == (ages[raw], hair[raw])


def test_sub_folders_may_have_a_table_each_and_what_has_no_row_is_absent(tmp_path):
    root = write_images(tmp_path / "photos", IMAGES[:6], "cats/{:02}.png")
    write_images(root, IMAGES[6:], "dogs/{:02}.png")
    csv_table(root / "cats", ["00.png;1.5;x;2", "", "02.png;;;3"], "file_name;age;hair;legs")
    (root / "dogs" / "metadata.jsonl").write_text('{"file_name": "01.png", "age": null, "hair": "y"}\n')
    opened = data.open(root, given=("age=legs", "fur=hair"))
    assert opened.classes == ("cats", "dogs")
    values = opened.conditions_of(list(range(N)))
    assert values["age"][[0, 2], 0].tolist() == [2, 3]
    assert values["age"].isnan().sum() == N - 2
    assert values["fur"].tolist() == [0, -1, -1, -1, -1, -1, -1, 1, -1, -1, -1, -1]
    assert ("the condition age is missing for 10 of 12 items", "these are trained on without it") in opened.notes


def test_whole_numbers_of_a_table_may_be_the_class_and_others_not(tmp_path):
    root = write_images(tmp_path / "photos", IMAGES)
    csv_table(root, [f"{i:02}.png,{(10, 2, '')[i % 3]},{i / 2}" for i in range(N)], "file_name,season,age")
    opened = data.open(root, given="label=season")
    assert opened.classes == ("2", "10")
    assert opened.labels.tolist() == [(1, 0, -1)[i % 3] for i in range(N)]
    with pytest.raises(InputError, match="label is the name of classes, and age holds no texts"):
        data.open(root, given="label=age")


@pytest.mark.parametrize(
    ("rows", "header", "says"),
    [
        (["00.png,1,x"], "file_name,age,hair", "no column 'height' (its columns are age, hair)"),
        (["00.png,1"], "name,height", "no column file_name (its columns are name, height)"),
        (["00.png,1", "99.png,2"], "file_name,height", "1 row for files that do not exist (99.png): correct"),
        (["00.png,1", "01.png,2", "./00.png,2"], "file_name,height", "several rows for 1 file (00.png)"),
        (["00.png,1", "01.png,nan"], "file_name,height", "not finite in 1 row (nan of 01.png)"),
        (["00.png,1", "01.png,2", "02.png,NA"], "file_name,height", "holds numbers, and text in 1 row (NA of 02.png)"),
        (["00.png,1,2"], "file_name,height", "has 3 fields in line 2, and 2 columns"),
        (["00.png,1,2"], "file_name,height,height", "several columns height"),
        (["00.png,", "01.png,"], "file_name,height", "no value at all"),
        (["00.png,5", "01.png,5"], "file_name,height", "one value in all items"),
        (["00.png,\udcff"], "file_name,height", "is not UTF-8"),
        (["00.png,1"], "file_name,height\nfile,x", "row for files that do not exist (file)"),
        (["00.png;0,5", "01.png;-1,25", "02.png;,5"], "file_name;height", "decimal commas in 3 rows (0,5 of 00.png)"),
        (["00.png;1", "01.png;2", "02.png;2,5"], "file_name;height", "decimal commas in 1 row (2,5 of 02.png)"),
        (["/a/00.png,1", "/01.png,2"], "file_name,height", "2 rows with absolute paths (/a/00.png, /01.png)"),
        ([], "file_name,height", "metadata.csv has no rows: write file_name from the folder of the table"),
        (["metadata.csv,1", "./metadata.csv,2"], "file_name,height", "2 rows, and none for a file that is read"),
        ([], "", "metadata.csv has no columns in its first line: write file_name"),
        (["00.png,1", "01.png,1e300"], "file_name,height", "numbers that are too large, in 1 row (1e+300 of 01.png)"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_is_refused_in_one_line(tmp_path, rows, header, says):
    root = write_images(tmp_path / "photos", IMAGES)
    csv_table(root, rows, header, errors="surrogateescape")
    with pytest.raises(InputError, match=re.escape(says)):
        data.open(root, given="height")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"file_name": "00.png", "height": 1}\n{', "no JSON in line 2"),
        ("[1]", "no JSON object in line 1"),
        ('{"file_name": "00.png", "height": NaN}', "not finite in 1 row (nan of 00.png)"),
        ('{"file_name": "00.png", "height": 1' + 400 * "0" + "}", f"is too large in 1 row (1{59 * '0'}... of 00.png)"),
        ('{"file_name": "00.png", "height": "0,5"}', "decimal commas in 1 row"),
        ("", "no columns in its first rows: give file_name"),
        ('{"file_name": 3, "height": 1}', "no file_name in row 1"),
        ('{"file_name": "00.png", "height": {"a": 1}}', "several kinds or lengths"),
        ('{"file_name": "00.png", "height": [1, 2]}\n{"file_name": "01.png", "height": [1]}', "several kinds"),
    ],
)
def test_a_table_of_json_that_does_not_fit_is_refused_in_one_line(tmp_path, text, says):
    root = write_images(tmp_path / "photos", IMAGES)
    (root / "metadata.jsonl").write_text(text)
    with pytest.raises(InputError, match=re.escape(says)):
        data.open(root, given="height")


def test_two_tables_in_a_folder_are_refused_and_lists_are_vectors(tmp_path):
    root = write_images(tmp_path / "photos", IMAGES)
    lines = [{"file_name": f"{i:02}.png", "box": [i, 2.5 * i]} for i in range(1, N)]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    box = data.open(root, given="box").conditions["box"]
    assert box[1:].tolist() == [[i, 2.5 * i] for i in range(1, N)]
    assert box[0].isnan().all()
    csv_table(root, rows_of_table())
    with pytest.raises(InputError, match=r"metadata\.csv and metadata\.jsonl: keep one"):
        data.open(root, given="age")


# -- further partners -------------------------------------------------------------------------------------------------


def test_partners_of_one_stem_are_told_apart_by_their_suffix_or_refused(tmp_path):
    photos, edges = write_images(tmp_path / "photos", IMAGES), write_images(tmp_path / "edges", MASKS)
    (photos / "00.bmp").write_bytes(image_bytes(IMAGES[5], "BMP"))
    (edges / "00.bmp").write_bytes(image_bytes(MASKS[5], "BMP"))
    opened = data.open(photos, given=str(edges))
    assert torch.equal(opened.conditions_of([0, 1])["edges"], MASKS[[5, 0]])
    (photos / "00.bmp").unlink()
    (photos / "00.png").rename(photos / "00.tif")
    with pytest.raises(InputError, match=r"several partners for 1 of 12 items \(00\.tif\): keep one for each"):
        data.open(photos, given=str(edges))


def test_a_file_of_arrays_has_a_row_for_each_item(tmp_path):
    photos = write_images(tmp_path / "photos", IMAGES)
    np.save(tmp_path / "masks.npy", MASKS[:, 0].numpy())
    np.save(tmp_path / "ages.npy", AGES.numpy())
    opened = data.open(photos, given=(str(tmp_path / "masks.npy"), f"age={tmp_path / 'ages.npy'}"), memory=0)
    assert_all(opened, masks=MASKS, age=AGES[:, None])
    np.save(tmp_path / "masks.npy", MASKS[1:, 0].numpy())
    with pytest.raises(InputError, match="11 rows, and the data have 12 items"):
        data.open(photos, given=str(tmp_path / "masks.npy"))


def test_an_array_of_the_name_of_the_condition_is_taken_of_a_file_of_several(tmp_path):
    photos, file = write_images(tmp_path / "photos", IMAGES), tmp_path / "both.npz"
    np.savez(file, ages=AGES.numpy(), images=MASKS[:, 0].numpy())
    opened = data.open(photos, given=(f"ages={file}", f"mask={file}"), memory=0)
    assert_all(opened, ages=AGES[:, None], mask=MASKS)
    np.savez(file, a=AGES.numpy(), b=AGES.numpy())
    with pytest.raises(
        InputError, match=r"both\.npz holds a, b: name the array of the condition `c`, as np.savez does with c="
    ):
        data.open(photos, given=f"c={file}")


def test_conditions_are_added_to_a_part_of_data_that_are_open(tmp_path):
    photos, edges = write_images(tmp_path / "photos", IMAGES), write_images(tmp_path / "edges", MASKS)
    np.save(tmp_path / "ages.npy", AGES[[7, 2, 5]].numpy())
    part = data.open(photos, memory=0).subset(torch.tensor([7, 2, 5]))
    values = data.open(part, given=(str(edges), str(tmp_path / "ages.npy"))).conditions_of([0, 2])
    assert torch.equal(values["edges"], MASKS[[7, 5]])
    assert torch.equal(values["ages"][:, 0], AGES[[7, 5]])


def recordings(path, count, rate=8000, length=64):
    path.mkdir(parents=True)
    for i in range(count):
        with wave.open(str(path / f"{i}.wav"), "wb") as file:
            file.setnchannels(1), file.setsampwidth(2), file.setframerate(rate)
            file.writeframes((np.sin(np.arange(length + i) * (i + 1) / 9) * 20000).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("memory", [1.0, 0.0], ids=["in memory", "read by index"])
def test_recordings_have_tables_and_partners_too(tmp_path, memory):
    root, low = recordings(tmp_path / "takes", 5), recordings(tmp_path / "low", 5, 4000, 32)
    csv_table(root, [f"{i}.wav,{i / 2},{'ab'[i % 2]}" for i in range(5)], "file_name,pitch,player")
    opened = data.open(root, length=60, given=("pitch", "player", f"low={low}"), memory=memory)
    assert (opened.spec.conditions["low"].sides, opened.spec.conditions["low"].rate) == ((30,), 4000)
    values = opened.conditions_of(list(range(5)))
    assert values["pitch"][:, 0].tolist() == [0, 0.5, 1, 1.5, 2]
    assert values["player"].tolist() == [0, 1, 0, 1, 0]
    expected = (np.sin(np.arange(30) * 3 / 9) * 20000).astype("<i2") / 2**15
    assert np.allclose(values["low"][2, 0], expected)


# -- items of Python --------------------------------------------------------------------------------------------------


class Items(TorchMapStyle):
    """Items that a function makes, and the number of times that each was read."""

    def __init__(self, make, count=N):
        self.make, self.count, self.reads = make, count, [0] * count

    def __len__(self):
        return self.count

    def __getitem__(self, row):
        self.reads[row] += 1
        return self.make(row)


def as_dict(row):
    return {
        "image": IMAGES[row],
        "mask": MASKS[row],
        "age": AGES[row].item(),
        "hair": HAIR[row],
        "kind": row % 2,
        "box": np.array([row, 0.5 * row]),
        "label": row % 4,
    }


EXPECTED = {
    "mask": MASKS,
    "age": AGES[:, None],
    "hair": torch.arange(N) % 3,
    "kind": torch.arange(N) % 2,
    "box": torch.stack([torch.arange(N), torch.arange(N) / 2], 1).double(),
}


@pytest.mark.parametrize("memory", [1.0, 0.0], ids=["in memory", "read by index"])
@pytest.mark.parametrize("form", ["dict", "pair"])
def test_items_of_a_data_set_of_pytorch_may_have_conditions(memory, form):
    def pair(row):
        content = as_dict(row)
        return content.pop("image"), content

    source = Items(as_dict if form == "dict" else pair)
    opened = data.open(source, memory=memory)
    assert opened.labels.tolist() == [row % 4 for row in range(N)]
    kinds = opened.spec.conditions
    assert {name: type(kind) for name, kind in kinds.items()} == {
        "label": Classes, "mask": Image, "age": Vector, "hair": Classes, "kind": Classes, "box": Vector
    }  # fmt: skip
    assert_all(opened, **EXPECTED)
    assert list(data.open(source, memory=memory, given=("hair",)).conditions) == ["hair"]


@pytest.mark.parametrize("memory", [1.0, 0.0], ids=["in memory", "read by index"])
def test_a_condition_that_the_first_item_lacks_is_one_of_the_others(memory):
    def make(row):
        content = as_dict(row)
        if row == 0:
            content["label"] = None
        for name in ("hair", "box") if row < 3 else ("kind",) if row == 5 else ("mask",) if row == 7 else ():
            del content[name]
        return content

    opened = data.open(Items(make), memory=memory)
    assert opened.labels.tolist()[:7] == [-1] + [row % 4 for row in range(1, 7)]
    assert opened.conditions.keys() == EXPECTED.keys()
    values = opened.conditions_of([0, 5, 6])
    assert values["hair"].tolist() == [-1, 2, 0]
    assert values["kind"].tolist() == [0, -1, 0]
    assert values["box"].isnan().any(1).tolist() == [True, False, False]
    assert torch.equal(values["mask"], MASKS[[0, 5, 6]])
    if memory:
        assert opened.skipped == ("item 7: item 7: it has no mask",)


def test_items_without_any_label_have_none():
    assert data.open(Items(lambda row: (IMAGES[row], None))).labels is None
    late = data.open(Items(lambda row: (IMAGES[row], None if row < 9 else row - 9)))
    assert late.labels.tolist() == [-1] * 9 + [0, 1, 2]


def test_an_item_and_its_images_are_of_one_access():
    """So a crop that the data set draws at random is the same for both."""

    def crop(row):
        left = int(torch.randint(4, ()))
        image = IMAGES[row, :, :, left : left + 4]
        return {"image": image, "mask": image[:1], "edge": image.flip(1)[2:]}

    opened = data.open(Items(crop), memory=0)
    for batch in batches(opened, 2):
        assert torch.equal(batch.conditions["mask"], batch.items[:, :1])
        assert torch.equal(batch.conditions["edge"], batch.items.flip(2)[:, 2:])
    source = Items(crop)
    opened = data.open(source, memory=0)
    before = sum(source.reads)
    batches(opened, 0, 3)
    assert sum(source.reads) - before == 15
    one, other = (opened.read(0)[0] for _ in range(20)), opened.read(0)[0]
    assert any(not torch.equal(item, other) for item in one)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda row: {"picture": IMAGES[row]}, "without any of image, images, x, item, signal, volume"),
        (
            lambda row: {"image": IMAGES[row], "index": row},
            "'index' cannot be the name of a condition, since Python or networks use the word",
        ),
        (lambda row: {"image": IMAGES[row], "a": [1] * (row + 1)}, "several kinds or lengths"),
        (lambda row: {"image": IMAGES[row], "a": [1, "b"][row % 2]}, "several kinds or lengths"),
        (lambda row: {"image": IMAGES[row], "a": {"b": 1}}, "several kinds or lengths"),
        (lambda row: {"image": IMAGES[row], "a": None}, "no value at all"),
        (lambda row: {"image": IMAGES[row], "a": float("inf")}, "infinity"),
        (lambda row: {"image": IMAGES[row], "a": torch.zeros(1, 2, 2, 2)}, "shape (1, 1, 2, 2, 2) with"),
        (lambda row: {"image": IMAGES[row], 3: 4}, "keys that are no texts"),
        (lambda row: {"image": IMAGES[row], "label": "cat"}, "labels that are no whole numbers"),
        (lambda row: (IMAGES[row], MASKS[row]), "labels that are no whole numbers"),
        (lambda row: {"image": IMAGES[row], "label": 2**70}, "labels of shape"),
        (
            lambda row: {"image": IMAGES[row]} | ({"mask": MASKS[row]} if row == 5 else {}),
            "item 5 of Items has the condition mask, and item 0 has none: give item 0 one too",
        ),
    ],
)
def test_items_that_do_not_fit_are_refused_in_one_line(change, says):
    with pytest.raises(InputError, match=re.escape(says)):
        data.open(Items(change))


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        ({"a": 3}, "is a int that cannot be used"),
        ({"a": np.array([{}] * N, dtype=object)}, "several kinds"),
        ({"a": np.array([1, "b"] * (N // 2), dtype=object)}, "several kinds"),
        ({"a": np.array([b"x"] * N)}, "cannot be used"),
        ({3: np.zeros(N)}, "names of conditions are texts"),
        ({"label": np.linspace(0, 1, N)}, "label is the name of classes"),
        ({"label": torch.arange(N) - 2}, "would be classes"),
        ({"a": [1, 2**63] * (N // 2)}, "numbers that are too large"),
        ({"a": [1.5, 10**5000] * (N // 2)}, "numbers that are too large"),
        ({"a=b": AGES}, "'a=b' cannot be the name of a condition: take another"),
        ({"class": HAIR}, "'class' cannot be the name of a condition, since Python or networks use the word"),
        ({"seed": AGES}, "as in given='other=seed'; or name the conditions to use"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(conditions, says):
    with pytest.raises(InputError, match=re.escape(says)):
        data.open((IMAGES, conditions))


@pytest.mark.parametrize(
    ("labels", "names", "numbers"),
    [
        (HAIR, ("dark", "fair", "red"), [i % 3 for i in range(N)]),
        ([None, *HAIR[1:]], ("dark", "fair", "red"), [-1] + [i % 3 for i in range(1, N)]),
        ([True, False] * 6, ("False", "True"), [1, 0] * 6),
        ([2, None] * 6, ("0", "1", "2"), [2, -1] * 6),
        (torch.arange(N) % 3 - 1, ("0", "1"), [i % 3 - 1 for i in range(N)]),
        (np.array(["b", "b"] * 6), ("b",), [0] * N),
    ],
)
def test_a_label_among_conditions_of_python_is_read_as_each_condition_is(labels, names, numbers):
    opened = data.open((IMAGES, {"label": labels, "age": AGES}), given=("age",))
    assert (opened.classes, opened.labels.tolist()) == (names, numbers)
    assert list(opened.spec.conditions) == ["label", "age"]


def test_lists_and_halves_are_arrays_too():
    masked = np.ma.masked_array(AGES.numpy(), mask=[True] + [False] * 11)
    missing = data.open((IMAGES, {"age": masked})).conditions["age"][:, 0]
    assert missing.isnan().tolist() == masked.mask.tolist()
    opened = data.open((IMAGES, {"age": AGES.bfloat16(), "hair": HAIR, "on": [True, None] + [False] * 10}))
    assert opened.conditions["age"].flatten().tolist() == AGES.bfloat16().double().tolist()
    assert opened.conditions["hair"].tolist() == [i % 3 for i in range(N)]
    assert opened.spec.conditions["on"] == Classes(("False", "True"))
    assert opened.conditions["on"].tolist() == [1, -1] + [0] * 10
    both = data.open(opened, given=("grey",))
    assert list(both.spec.conditions) == ["age", "hair", "on", "grey"]


# -- WebDataset and datasets ------------------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path, monkeypatch):
    """Two shards with every kind of member; sample 3 has no mask, and 4 no json."""
    monkeypatch.setenv("ANCESTRAL_CACHE", str(tmp_path / "cache"))
    for shard in (0, 1):
        members = []
        for i in range(6 * shard, 6 * shard + 6):
            content = {"age": AGES[i].item(), "hair": HAIR[i], "count": i, "pair": [i / 2, -i]}
            kinds = {
                "json": json.dumps(content).encode(),
                "mask.png": image_bytes(MASKS[i]),
                "cls": str(i % 4).encode(),
                "png": image_bytes(IMAGES[i]),
                "box.npy": array_bytes(np.array([i, 0.5 * i])),
                "txt": HAIR[i].encode() + b"\n",
                "angle.txt": str(i / 4).encode(),
            }
            absent = {3: "mask.png", 4: "json"}.get(i)
            members += [(f"{i:04}.{kind}", raw) for kind, raw in kinds.items() if kind != absent]
        write_tar(tmp_path / "set" / f"{shard}.tar", members)
    return tmp_path / "set"


def test_members_of_web_dataset_samples(shards):
    names = ("age", "hair", "count", "pair", "box", "txt", "angle")
    for _ in range(2):  # from the archive, then from the cache
        opened = data.open(str(shards), given=names, memory=0)
        age, count = AGES[:, None].clone(), torch.arange(N).double()
        age[4] = torch.nan
        values = opened.conditions_of(list(range(N)))
        assert torch.equal(values["age"].nan_to_num(-9), age.nan_to_num(-9))
        assert values["hair"].tolist() == [-1 if i == 4 else i % 3 for i in range(N)]
        assert values["count"].nan_to_num(4).flatten().tolist() == count.tolist()
        assert values["pair"][5].tolist() == [2.5, -5]
        assert torch.equal(values["box"], torch.stack([count, count / 2], 1))
        assert values["txt"].tolist() == [i % 3 for i in range(N)]
        assert torch.equal(values["angle"][:, 0], count / 4)
    assert opened.labels.tolist() == [i % 4 for i in range(N)]
    assert data.open(str(shards)).spec.further == {}


def test_images_of_web_dataset_samples_are_read_by_index_and_a_sample_without_is_left_out(shards):
    lazy = data.open(str(shards), given="mask", memory=0)
    for workers in (0, 2):
        for batch in batches(lazy, workers):
            assert 3 not in batch.indices
            assert torch.equal(batch.items, IMAGES[batch.indices])
            assert torch.equal(batch.conditions["mask"], MASKS[batch.indices])
    eager = data.open(str(shards), given="mask")
    rest = [i for i in range(N) if i != 3]
    assert torch.equal(eager.items, IMAGES[rest])
    assert torch.equal(eager.conditions_of(list(range(N - 1)))["mask"], MASKS[rest])
    assert "the sample has no mask" in eager.skipped[0]
    with pytest.raises(InputError, match="its columns are mask, box, txt, angle, age, hair, count, pair"):
        data.open(str(shards), given="weight")


def test_columns_of_hugging_face_data_sets(tmp_path):
    columns = {
        "picture": [{"bytes": image_bytes(image), "path": None} for image in IMAGES],
        "mask": [{"bytes": image_bytes(image), "path": None} for image in MASKS],
        "kind": [i % 2 for i in range(N)],
        "hair": [None, *(i % 3 for i in range(1, N))],
        "age": [*AGES.tolist()[:-1], None],
        "count": list(range(N)),
        "name": HAIR,
        "box": [[float(i), i / 2] for i in range(N)],
        "nested": [{"a": i} for i in range(N)],
    }
    features = {
        "picture": datasets.Image(),
        "mask": datasets.Image(),
        "kind": datasets.ClassLabel(names=["cat", "dog"]),
        "hair": datasets.ClassLabel(names=["red", "dark", "fair", "grey"]),
        "age": datasets.Value("float32"),
        "count": datasets.Value("int64"),
        "name": datasets.Value("string"),
        "box": datasets.Sequence(datasets.Value("float32")),
        "nested": {"a": datasets.Value("int32")},
    }
    datasets.disable_progress_bars()
    rows = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    rows.save_to_disk(tmp_path / "saved")
    for memory in (0, 1):
        opened = data.open(tmp_path / "saved", memory=memory, given=("mask", "hair", "count", "name", "box"))
        assert opened.spec.conditions["hair"] == Classes(("red", "dark", "fair", "grey"))
        assert opened.classes == ("cat", "dog")
        count = torch.arange(N)
        assert_all(
            opened,
            mask=MASKS,
            hair=torch.tensor([-1, *(i % 3 for i in range(1, N))]),
            count=count[:, None].double(),
            name=count % 3,
            box=torch.stack([count, count / 2], 1).double(),
        )
    age = data.open(tmp_path / "saved", given="age").conditions["age"]
    assert torch.equal(age[:-1, 0], AGES[:-1].float().double())
    assert age[-1].isnan()
    for name, says in (("nested", "several kinds"), ("picture", "no column 'picture'")):
        with pytest.raises(InputError, match=says):
            data.open(tmp_path / "saved", given=name)

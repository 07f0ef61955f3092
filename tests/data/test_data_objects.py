"""Data that Python hands over: tensors, arrays, and data sets of PyTorch."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset as TorchMapStyle
from torch.utils.data import TensorDataset

from ancestral import data
from ancestral.base.errors import InputError
from ancestral.base.events import finish
from ancestral.data import InMemoryDataset, LazyDataset

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 3, 6, 4), dtype=np.uint8)
LABELS = np.arange(12) % 3


class Pairs(TorchMapStyle):
    def __init__(self, *items, **attributes):
        self.items = items
        self.__dict__ |= attributes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def test_tensors_have_their_channels_second_and_arrays_are_as_in_files(tmp_path):
    for given in (torch.from_numpy(IMAGES), torch.from_numpy(IMAGES).requires_grad_(False)):
        opened = data.open(given)
        assert isinstance(opened, InMemoryDataset)
        assert np.array_equal(opened.items.numpy(), IMAGES)
        assert (opened.name, opened.labels, opened.classes) == ("arrays", None, ())
    np.save(tmp_path / "x.npy", IMAGES)
    assert torch.equal(data.open(IMAGES).items, data.load(str(tmp_path / "x.npy")).items)
    assert torch.equal(data.open(IMAGES).items, data.load(tmp_path / "x.npy").items)
    assert data.open(IMAGES, channels=4).shape == (4, 3, 6)  # a last axis of 1..4 is channels
    assert data.open(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), image_size=2, channels=3).shape == (3, 2, 2)
    floats = torch.randn(5, 2, 7, dtype=torch.bfloat16, requires_grad=True)
    assert data.open(floats, dims=1).items.dtype == torch.float32
    points = data.open(torch.rand(9, 2))
    assert (points.shape, points.spec.mean) == ((2,), ())


def pictures(folder):
    """Images of four modes and three sizes, one with an orientation, in the order of their names."""
    exif = Image.Exif()
    exif[0x0112] = 6
    rng = np.random.default_rng(1)
    rgba = Image.fromarray(rng.integers(0, 256, (9, 12, 4), dtype=np.uint8))
    images = {
        "0.png": rgba,
        "1.png": rgba.convert("L"),
        "2.png": rgba.convert("RGB").resize((20, 10)),
        "3.png": rgba.convert("P"),
        "4.tif": rgba.convert("RGB").resize((8, 14)),
    }
    for name, image in images.items():
        image.save(folder / name, **({"exif": exif} if name == "2.png" else {}))
    return sorted(folder.iterdir())


def read(path):
    """A Pillow image of a file that is closed again."""
    with Image.open(path) as image:
        image.load()
    return image


def test_a_list_of_paths_or_of_images_is_converted_as_a_folder(tmp_path):
    paths = pictures(tmp_path)
    for options in ({"image_size": 8}, {"image_size": "6x9", "fit": "pad", "background": "red"},
                    {"image_size": 8, "channels": 4}, {"image_size": 8, "channels": 1}):  # fmt: skip
        folder = data.load(tmp_path, **options)
        for given in (paths, list(map(str, paths)), [read(path) for path in paths]):
            opened = data.open(given, memory=0, **options)
            assert isinstance(opened, LazyDataset)
            assert opened.spec == folder.spec
            assert torch.equal(finish(opened.loading()).items, folder.items)
            assert (opened.labels, opened.classes, opened.name) == (None, (), "images")
            assert data.open(given, **options).fingerprint == opened.fingerprint
    with pytest.raises(InputError, match=r"items of images differ .*give image_size='HxW'"):
        data.open(paths)


def test_lists_that_are_no_data(tmp_path):
    paths = pictures(tmp_path)
    for bad, message in (
        ([], "the list holds no items"),
        ([torch.zeros(3, 8, 8)], "item 0 of the list is a Tensor: .* stacked"),
        ([paths[0], tmp_path / "none.png"], "item 1 of the list is .*none.png, which is no file"),
        ([paths[0], tmp_path], "item 1 of the list is .*, which is no file"),
        ((paths, [0] * 5), "a list of images has no labels"),
        (iter(paths), "of type list_iterator cannot be read as data: .*a list of paths or Pillow images"),
    ):
        with pytest.raises(InputError, match=message):
            data.open(bad, image_size=8)
    with pytest.raises(InputError, match="the list holds no signals"):
        data.open(paths, dims=1)
    (tmp_path / "5.png").write_bytes(paths[0].read_bytes()[:100])
    with Image.open(tmp_path / "5.png") as broken:
        for given in ([*paths, tmp_path / "5.png"], [*map(read, paths), broken]):
            opened = data.load(given, image_size=8)
            assert len(opened) == 5  # as in a folder
            assert len(opened.skipped) == 1
    with pytest.raises(InputError, match="no item of images can be read"):
        data.open([tmp_path / "5.png"], image_size=8)


@pytest.mark.parametrize("bad", [torch.zeros(3, 2, dtype=torch.int64), torch.full((4, 1, 2, 2), float("nan"))])
def test_arrays_that_are_no_data(bad):
    with pytest.raises(InputError, match=r"holds (torch\.)?(int64|NaN)"):
        data.open(bad)
    with pytest.raises(InputError, match="holds no items"):
        data.open(torch.zeros(0, 1, 2, 2))
    with pytest.raises(InputError, match="of type dict cannot be read as data: give a name or path, a tensor"):
        data.open({})


def test_a_data_set_of_ours_is_returned():
    digits = data.load("digits")
    assert data.open(digits) is digits


@pytest.mark.parametrize("memory", [0, 1])
def test_a_torch_data_set(memory):
    opened = data.open(TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS)), memory=memory)
    assert isinstance(opened, LazyDataset if memory == 0 else InMemoryDataset)
    assert (opened.name, opened.shape, opened.classes) == ("TensorDataset", (3, 6, 4), ("0", "1", "2"))
    assert [opened.read(i)[1] for i in range(12)] == LABELS.tolist()
    assert np.array_equal(torch.stack([opened.read(i)[0] for i in range(12)]).numpy(), IMAGES)
    assert data.open(TensorDataset(torch.from_numpy(IMAGES)), memory=memory).labels is None
    assert opened[3][1] == 0  # it is one itself
    assert [label for _, label in opened] == LABELS.tolist()
    assert data.open(TensorDataset(torch.rand(8, 2)), memory=memory).shape == (2,)


@pytest.mark.parametrize("memory", [0, 1])
def test_a_torch_data_set_of_pictures_is_treated_as_a_folder(tmp_path, memory):
    pictures = [Image.new("L", (5, 4), 10 * i) for i in range(20)]
    assert data.open(Pairs(*pictures), memory=memory).shape == (1, 4, 5)
    pictures[13] = Image.new("RGBA", (5, 4), (255, 0, 0, 128))
    pairs = Pairs(*((picture, i % 2) for i, picture in enumerate(pictures)), classes=["even", "odd"])
    opened = data.open(pairs, memory=memory, background="black")
    for i, picture in enumerate(pictures):
        path = tmp_path / ("even", "odd")[i % 2] / f"{i:02d}.png"
        path.parent.mkdir(exist_ok=True)
        picture.save(path)
    folder = data.load(str(tmp_path), background="black")
    assert (opened.shape, opened.codec, opened.classes) == (folder.shape, folder.codec, folder.classes)
    for number, row in enumerate([*range(0, 20, 2), *range(1, 20, 2)]):
        assert torch.equal(opened.read(row)[0], folder.items[number])
        assert opened.read(row)[1] == folder.labels[number]
    assert pictures[0].size == (5, 4)


def test_labels_by_targets_are_found_without_reading_items():
    class Counted(Pairs):
        read = 0

        def __getitem__(self, index):
            Counted.read += 1
            return super().__getitem__(index)

    many = Counted(*((torch.zeros(1, 2, 2) + i, i % 2) for i in range(1000)), targets=[i % 2 for i in range(1000)])
    assert data.open(many, memory=0).classes == ("0", "1")
    assert Counted.read <= 129


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ((), "holds no items"),
        (("a.png",), "item 0 of Pairs is a str: return a tensor, an array or a Pillow image, or a pair"),
        (((torch.zeros(1, 2, 2), "cat"),), "labels that are no whole numbers"),
        (((torch.zeros(1, 2, 2), -1),), "labels from -1"),
        ((torch.zeros(1, 2, 2, dtype=torch.int64),), "no item of Pairs can be read .*int64"),
        ((torch.zeros(1, 2, 2), torch.ones(1, 3, 3)), "items of Pairs differ"),
    ],
)
def test_torch_data_sets_that_are_no_data(items, message):
    with pytest.raises(InputError, match=message):
        data.open(Pairs(*items))

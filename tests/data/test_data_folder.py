import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import torch
from PIL import Image

import ancestral
from ancestral.base.errors import InputError, pip_install
from ancestral.data import load
from ancestral.data.decoding import to_pixels
from ancestral.data.sources.file_folder import scan
from file_contents import image_bytes

EMOJI = Path(__file__).parents[1] / "files" / "emoji"


def one(folder, image, suffix=".png", /, background="white", **options):
    """What `image`, saved alone in `folder`, is loaded as: (C, H, W)."""
    folder.mkdir(exist_ok=True)
    image.save(folder / f"x{suffix}", **options)
    data = load(str(folder), background=background, bits=8)
    assert (len(data), data.labels, data.skipped) == (1, None, ())
    return data.items[0]


def flat(mode, colour):
    return Image.new(mode, (6, 5), colour)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width, height, depth, colour, rows, extra=b""):
    """A PNG written by hand, for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


# every mode, by known pixel values


@pytest.mark.parametrize(
    ("mode", "colour", "background", "expected"),
    [
        ("1", 1, "white", [255]),
        ("L", 77, "white", [77]),
        ("LA", (100, 51), "white", [224]),
        ("LA", (100, 51), "black", [20]),
        ("LA", (100, 51), "red", [224, 20, 20]),
        ("RGB", (1, 2, 3), "white", [1, 2, 3]),
        ("RGBA", (255, 0, 0, 128), "white", [255, 127, 127]),
        ("RGBA", (255, 0, 0, 128), "#0000ff", [128, 0, 127]),
        ("RGBA", (255, 0, 0, 0), "lime", [0, 255, 0]),
        ("I;16", 65535, "white", [255]),
        ("I;16", 32768, "white", [128]),
        ("I;16", 257, "white", [1]),
        ("I;16", 128, "white", [0]),
        ("I;16", 129, "white", [1]),
    ],
)
def test_png_modes(tmp_path, mode, colour, background, expected):
    item = one(tmp_path, flat(mode, colour), background=background)
    assert item.shape == (len(expected), 5, 6)
    assert item[:, 2, 3].tolist() == expected


def palette(mode="RGB", data=(10, 20, 30, 200, 100, 50)):
    image = Image.new("P", (6, 5), 1)
    image.putpalette(data, mode)
    image.putpixel((0, 0), 0)
    return image


@pytest.mark.parametrize(
    ("options", "first", "last"),
    [
        ({}, [10, 20, 30], [200, 100, 50]),
        ({"transparency": 1}, [10, 20, 30], [255, 255, 255]),
        ({"transparency": bytes([0, 51])}, [255, 255, 255], [244, 224, 214]),  # a fifth of the colour
    ],
    ids=["opaque", "a transparent entry", "an alpha for each entry"],
)
def test_palettes(tmp_path, options, first, last):
    item = one(tmp_path, palette(), **options)
    assert (item[:, 0, 0].tolist(), item[:, 4, 5].tolist()) == (first, last)


@pytest.mark.parametrize(("mode", "colour", "hole"), [("L", 77, 77), ("RGB", (1, 2, 3), (1, 2, 3))])
def test_one_colour_declared_transparent(tmp_path, mode, colour, hole):
    item = one(tmp_path, flat(mode, colour), transparency=hole, background="#808080")
    assert item.unique().tolist() == [128]


def test_sixteen_bit_grey_with_a_transparent_value(tmp_path):
    rows = b"".join(b"\0" + struct.pack(">2H", 65535, 40000) for _ in range(2))
    (tmp_path / "x.png").write_bytes(png(2, 2, 16, 0, rows, chunk(b"tRNS", struct.pack(">H", 40000))))
    assert load(str(tmp_path), background="black", bits=8).items[0].tolist() == [[[255, 0], [255, 0]]]
    deep = load(str(tmp_path), background="#010101")  # one level of 255 is 257 of 65535
    assert deep.items[0].tolist() == [[[65535, 257], [65535, 257]]]


def test_sixteen_bit_rgb_is_scaled(tmp_path):
    (tmp_path / "x.png").write_bytes(png(1, 1, 16, 2, b"\0" + struct.pack(">3H", 65535, 32768, 256)))
    assert load(str(tmp_path)).items.flatten().tolist() == [255, 128, 1]


def test_cmyk_jpeg(tmp_path):
    item = one(tmp_path, flat("CMYK", (0, 255, 255, 0)), ".jpg", quality=100)
    assert (item[:, 2, 2].int() - torch.tensor([255, 0, 0])).abs().max() <= 2


def test_ycbcr(tmp_path):
    colour = flat("RGB", (200, 100, 50)).convert("YCbCr")
    item = one(tmp_path, colour, ".jpg", quality=100, subsampling=0)
    assert (item[:, 2, 2].int() - torch.tensor([200, 100, 50])).abs().max() <= 3
    assert (to_pixels(colour)[:, 2, 2].int() - torch.tensor([200, 100, 50])).abs().max() <= 2


@pytest.mark.parametrize("suffix", [".bmp", ".webp", ".PNG", ".JPEG", ".Jpg"])
def test_suffixes_in_any_case(tmp_path, suffix):
    item = one(tmp_path, flat("RGB", (200, 100, 50)), suffix)
    assert (item[:, 2, 2].int() - torch.tensor([200, 100, 50])).abs().max() <= 3


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".jpg"])
def test_photographs_of_phones_are_read_by_the_plug_in(tmp_path, suffix):
    """Whatever the suffix says, as of other kinds. Pillow itself reads what it read before."""
    photograph = pillow_heif.from_pillow(Image.new("RGB", (16, 8), (200, 100, 50)))
    item = one(tmp_path, photograph, suffix, format="HEIF", quality=100)
    assert "HEIF" not in Image.OPEN
    assert (item[:, 2, 2].int() - torch.tensor([200, 100, 50])).abs().max() <= 4


def test_without_the_plug_in_photographs_of_phones_are_named_with_it(tmp_path, no_heic):
    for name in ("a/1.HEIC", "b/2.heif", "b/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        flat("RGB", "red").save(tmp_path / name, format="PNG")  # never opened, where the name says HEIC
    data = load(str(tmp_path))
    assert len(data) == 1
    assert ("2 HEIC files are not read", f"{pip_install()} pillow-heif reads them") in data.notes
    (tmp_path / "b" / "3.png").unlink()
    with pytest.raises(InputError, match=r"no images in .*, and 2 HEIC files are not read: .*pillow-heif"):
        load(str(tmp_path))
    with pytest.raises(InputError, match=r"HEIC files .*: .*pillow-heif"):
        ancestral.inspect(str(tmp_path), progress=False, steps=0, device="cpu")


# orientation, size, channels


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_orientation_is_applied(tmp_path, suffix):
    """Orientation 6: the camera was turned, the picture's top is the stored left side."""
    stored = np.zeros((16, 32), dtype=np.uint8)
    stored[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    item = one(tmp_path, Image.fromarray(stored).convert("RGB"), suffix, exif=exif, quality=100)
    assert item.shape == (3, 32, 16)
    assert (item[:, :8] > 245).all()
    assert (item[:, 9:] < 10).all()


def test_broken_exif_does_not_cost_the_picture(tmp_path):
    for exif in (b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xee" * 9):
        assert one(tmp_path, flat("L", 50), ".jpg", exif=exif, quality=100)[0, 2, 2] == 50


def test_large_jpegs_decoded_at_a_fraction_look_the_same(tmp_path):
    y, x = np.mgrid[:600, :920]  # a quarter of it, 230 x 150, has its crop at the same place
    smooth = (127 + 100 * np.sin(x / 60) * np.cos(y / 45)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "x.jpg", quality=95)
    fast = load(str(tmp_path), image_size=40).items[0, 0].double()
    with Image.open(tmp_path / "x.jpg") as image:
        full = image.crop((160, 0, 760, 600)).resize((40, 40), Image.Resampling.BICUBIC)
    assert np.abs(fast.numpy() - np.asarray(full)).max() <= 3


def test_one_colour_image_makes_all_rgb(tmp_path):
    flat("L", 9).save(tmp_path / "a.png")
    flat("LA", (9, 255)).save(tmp_path / "b.png")
    assert load(str(tmp_path)).shape == (1, 5, 6)
    assert load(str(tmp_path), background="navy").shape == (3, 5, 6)
    assert load(str(tmp_path), channels=3).items.unique().tolist() == [9]
    flat("RGB", (255, 0, 0)).save(tmp_path / "c.png")
    data = load(str(tmp_path))
    assert data.items[:, :, 0, 0].tolist() == [[9, 9, 9], [9, 9, 9], [255, 0, 0]]
    assert load(str(tmp_path), channels=1).items[:, :, 0, 0].tolist() == [[9], [9], [76]]


# which files, which classes


def test_classes_are_the_immediate_sub_folders(tmp_path):
    for i, name in enumerate(["b/deep/er/x.png", "a/z.png", "a/Y.png", "c c/é.png", ".hidden/x.png", "a/.h.png"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        flat("L", i).save(tmp_path / name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    data = load(str(tmp_path))
    assert data.items[:, 0, 0, 0].tolist() == [2, 1, 0, 3]
    assert data.classes == ("a", "b", "c c")
    assert data.labels.tolist() == [0, 0, 1, 2]
    assert data.labels.dtype == torch.int64
    assert (data.name, data.skipped) == (tmp_path.name, ())


def test_links_are_followed_but_never_in_circles(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root / "a", elsewhere):
        folder.mkdir(parents=True)
        flat("L", 1).save(folder / "x.png")
    (root / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    (root / "a" / "up").symlink_to(tmp_path)
    (root / "all").symlink_to("/")
    (root / "self").symlink_to("self")
    (root / "twice").symlink_to(elsewhere)
    assert list(scan(root, [".png"], [], [])) == [b"a/x.png", b"linked/x.png"]


# files that cannot be read


def noise(side=64):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


def tiff_of_size(width, height):
    """A TIFF of few bytes whose directory promises this size."""
    raw = image_bytes(flat("L", 1), "TIFF")
    for tag, old, new in ((256, 6, width), (257, 5, height)):
        entry = struct.pack("<HHI", tag, 4, 1)
        assert entry + struct.pack("<I", old) in raw
        raw = raw.replace(entry + struct.pack("<I", old), entry + struct.pack("<I", new))
    return raw


def broken():
    """Files that cannot be read -> a part of the reason of each; "" where it is Pillow's."""
    return {
        "empty.png": (b"", "the file is empty"),
        "text.jpg": (b"hello", "not an image of a kind that is read"),
        "cut.png": (image_bytes(noise(), "PNG")[:3000], ""),
        "cut.jpg": (image_bytes(noise(), "JPEG")[:2000], ""),
        "cut.webp": (image_bytes(noise(), "WEBP")[:1000], ""),
        "cut.bmp": (image_bytes(noise(), "BMP")[:3000], ""),
        "cut.gif": (image_bytes(noise(), "GIF")[:2000], ""),
        "cut.tif": (image_bytes(noise(), "TIFF")[:3000], ""),
        "cut-lzw.tiff": (image_bytes(noise(), "TIFF", compression="tiff_lzw")[:-2000], ""),
        "float.tif": (
            image_bytes(Image.new("F", (8, 8), 0.5), "TIFF"),
            "floating-point numbers: save it with 8 or 16 bits",
        ),
        "header.png": (image_bytes(noise(), "PNG")[:20], ""),
        "crc.png": (image_bytes(noise(), "PNG").replace(b"IDAT", b"IDAX"), ""),
        "bomb.png": (png(50_000, 50_000, 8, 0, b"\0"), "too large to be decoded safely"),
        "bomb-nearly.png": (png(10_000, 10_000, 1, 0, b"\0"), "too large to be decoded safely"),
        "bomb.tif": (tiff_of_size(60_000, 50_000), "too large to be decoded safely"),
        "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not an image of a kind"),
    }


@pytest.mark.parametrize("image_size", [None, 16])
def test_broken_files_are_skipped_and_listed(tmp_path, image_size):
    good = {"a.png": 10, "d.jpg": 20, "z.bmp": 30}
    for name, value in good.items():
        Image.new("L", (64, 64), value).save(tmp_path / name)
    for name, (raw, _) in broken().items():
        (tmp_path / name).write_bytes(raw)
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to("nowhere")
    data = load(str(tmp_path), image_size=image_size, channels=1)
    assert data.items[:, 0, 5, 5].tolist() == [10, 20, 30]
    reasons = dict(line.split(": ", 1) for line in data.skipped)
    assert sorted(reasons) == sorted([*broken(), "pipe.png", "gone.png"])
    for name, (_, part) in broken().items():
        assert reasons[name]
        assert part in reasons[name]
        assert reasons[name].isprintable()
        assert str(tmp_path) not in reasons[name]
    assert reasons["pipe.png"] == "not a regular file"


def test_gif_and_tiff_files_are_read_by_their_first_image(tmp_path):
    frames = [flat("RGB", colour) for colour in ("red", "lime", "blue")]
    for name in ("a.gif", "b.TIF", "c.tiff"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    data = load(str(tmp_path))
    assert (len(data), data.shape, data.skipped) == (3, (3, 5, 6), ())
    assert data.items[:, :, 2, 3].tolist() == [[255, 0, 0]] * 3


def test_transparent_gifs_lie_on_the_background(tmp_path):
    item = one(tmp_path, palette(), ".gif", transparency=1, background="#204060")
    assert item[:, 0, 0].tolist() == [10, 20, 30]
    assert item[:, 4, 5].tolist() == [0x20, 0x40, 0x60]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_sixteen_bit_tiffs_keep_their_bits(tmp_path, compression):
    deep = np.arange(30, dtype=np.uint16).reshape(5, 6) * 2184
    Image.fromarray(deep).save(tmp_path / "x.tif", compression=compression)
    assert np.array_equal(load(str(tmp_path)).items[0, 0].numpy(), deep)
    assert load(str(tmp_path), bits=8).items[0, 0, 4, 5].item() == round(29 * 2184 / 257)


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_mutilated_gifs_and_tiffs_do_no_harm(tmp_path, kind):
    """Any bytes of a whole file are changed: it is read or skipped."""
    rng, raws = np.random.default_rng(0), [image_bytes(noise(), kind), image_bytes(flat("RGB", "red"), kind)]
    if kind == "TIFF":
        raws += [image_bytes(noise(), kind, compression=name) for name in ("tiff_lzw", "packbits", "jpeg")]
    for number in range(60):
        raw = np.frombuffer(raws[number % len(raws)], np.uint8).copy()
        ends = np.r_[:200, len(raw) - 200 : len(raw)]  # headers, directories and the start of the pixels
        raw[rng.choice(ends, 3) % len(raw)] = rng.integers(256, size=3)
        (tmp_path / f"{number}.{kind.lower()}").write_bytes(raw.tobytes())
    flat("RGB", "red").save(tmp_path / "whole.png")
    data = load(str(tmp_path), image_size=8)
    assert len(data) + len(data.skipped) == 61


def test_photographs_are_cropped_upright(tmp_path):
    """A photograph that lies on its side is 20 pixels high and 30 wide; its file says 30 high."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGB", (20, 30), "red")
    image.save(tmp_path / "x.jpg", exif=exif)
    data = load(str(tmp_path), image_size="10x15")
    assert (data.shape, data.notes) == ((3, 10, 15), ())


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_wrong_suffix_is_no_matter(tmp_path, kind):
    (tmp_path / "x.png").write_bytes(image_bytes(flat("L", 200), kind))
    assert (load(str(tmp_path), channels=1).items.int() - 200).abs().max() <= 2


def test_strange_file_names_make_one_printable_line(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    flat("L", 1).save(folder / "x.png")
    (folder / "new\nline\x1b[31m.png").write_bytes(b"")
    data = load(str(tmp_path))
    assert data.classes == ("caf\\udce9",)
    assert data.skipped == ("caf\\udce9/new\\nline\\x1b[31m.png: the file is empty",)


def test_pillows_warnings_stay_inside_and_filters_are_restored(tmp_path):
    palette().save(tmp_path / "x.png", transparency=bytes([0, 51]))
    before = list(warnings.filters)
    load(str(tmp_path))
    assert list(warnings.filters) == before


# real pictures


def test_emoji():
    """60 pictures of Noto Emoji in modes RGBA, LA and P, all of them transparent."""
    data = load(str(EMOJI))
    assert data.items.shape == (60, 3, 64, 64)
    assert data.classes == ("Food-Drink", "Smileys-Emotion", "Travel-Places")
    assert data.labels.bincount().tolist() == [20, 20, 20]
    assert data.skipped == ()
    modes = set()
    for item, file in zip(
        data.items, (EMOJI / os.fsdecode(path) for path in scan(EMOJI, [".png"], [], [])), strict=True
    ):
        with Image.open(file) as image:
            modes.add(image.mode)
            over = Image.alpha_composite(Image.new("RGBA", (64, 64), "white"), image.convert("RGBA")).convert("RGB")
        assert np.abs(item.permute(1, 2, 0).numpy().astype(int) - np.asarray(over)).max() <= 1
    assert modes == {"RGBA", "LA", "P"}


# -- files of other kinds, and large photographs ----------------------------------------------------------------------


def test_files_of_kinds_that_are_not_read_are_counted_by_kind(tmp_path):
    flat("RGB", "red").save(tmp_path / "1.png")
    for name in ("a.jxl", "b/b.JXL", "b/c.svg", "b/sound.wav", ".d.jxl", "metadata.txt", "licence", "caption.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    ((text, advice),) = load(str(tmp_path)).notes
    assert text == "4 files are of kinds that are not read (2 JXL, 1 SVG, 1 WAV)"
    assert advice.startswith("convert images to PNG")
    report = ancestral.inspect(str(tmp_path), progress=False, steps=0, device="cpu")
    assert text in [finding.text for finding in report.findings]
    for name in ("1.png", "b/sound.wav"):
        (tmp_path / name).unlink()
    with pytest.raises(InputError, match=r"no images in .*, and 3 files are of kinds .* \(2 JXL, 1 SVG\)"):
        load(str(tmp_path))


def test_a_large_photograph_is_decoded_at_a_reduced_scale(tmp_path, monkeypatch):
    """As one of 100 million pixels would be, whose limit is lowered here."""
    ramp = np.linspace(0, 255, 256).round().astype(np.uint8)
    picture = Image.fromarray(
        np.stack([*np.broadcast_arrays(ramp[:, None], ramp), np.full((256, 256), 99, np.uint8)], -1)
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", quality=95, exif=exif)
    picture.save(tmp_path / "progressive.jpg", quality=95, progressive=True)
    picture.save(tmp_path / "other.png")
    expected = load(str(tmp_path), image_size=32)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    loaded = load(str(tmp_path), image_size=32)
    assert [line.partition(":")[0] for line in loaded.skipped] == ["other.png", "progressive.jpg"]
    assert all("too large to be decoded safely; save it smaller, or as a JPEG" in line for line in loaded.skipped)
    assert (loaded.items[0].int() - expected.items[2].int()).abs().max() <= 4
    with pytest.raises(InputError, match=r"no item of .* can be read"):
        load(str(tmp_path), image_size=200)  # whose scale of 1 is too large
    report = ancestral.inspect(str(tmp_path), image_size=32, progress=False, steps=0, device="cpu")
    assert (report.count, report.files.height) == (1, (256, 256, 256))

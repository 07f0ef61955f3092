"""Settings of the data that a run is trained on."""

from dataclasses import dataclass
from typing import Any, Literal

from ancestral.base.arguments import checked_class
from ancestral.base.fields import argument, hidden
from ancestral.config.condition_sources import Given
from ancestral.config.image_size import plain_image_size

FROM_PYTHON = "(given from Python)"
"""The source of data that were given as a tensor, an array or a torch Dataset."""


@checked_class
@dataclass(frozen=True)
class DataConfig:
    """The data to train on."""

    source: str = hidden("digits")
    """The name, path or address of the data, as `data` of `train` takes it."""
    image_size: int | str | tuple[int, int] | None = argument(None, words=str | None, metavar="HxW", names="words")
    """Height x width to which images are brought, as in 32x48; one number is the side of a square. {From Python also
    (height, width).} Default: the size that they have."""
    fit: Literal["crop", "pad"] = argument("crop", title="Crop or pad")
    """The way to the shape of `image_size`: crop keeps the largest centre part of that shape; pad keeps all of each
    image, and adds edges in the colour of `background`."""
    crop: float = argument(1.0, title="Random crops", least=1, most=4)
    """Train on random windows of `image_size`, cut from images whose height and width are this many times as large.
    Samples look like windows, and are compared with those at the centre. 1 cuts none."""
    channels: int | None = argument(None, title="Colour channels")
    """1 makes images grey, 3 makes them RGB, and their own number keeps all channels as they are (4: RGBA);
    default: that of the preset, else grey or RGB, whichever they are, and 5 and more kept."""
    dims: Literal[1, 2, 3] | None = argument(None, title="Dimensions")
    """Axes besides the channels: 1 for signals, 2 for images, 3 for volumes; default: as the array's shape says."""
    bits: Literal[8, 16] | None = None
    """8 rounds deeper images to 8 bits, 16 keeps 16-bit files as they are; default: 16 where all are so deep."""
    length: int | None = None
    """Number of samples of .wav recordings: longer ones are cut at their end, shorter ones filled with silence;
    default: all are of one length."""
    rate: int | None = argument(None, title="Sample rate")
    """Sampling rate in Hz that .wav recordings are brought to, which keeps what both rates hold: `length` is counted
    at it. Default: all are of one rate."""
    flip: bool = argument(False, title="Mirror")
    """Mirror half of the images left to right, at random. Not for digits and letters."""
    augment: float = argument(0.0, title="Augmentation", least=0, below=1)
    """Probability of each random transform of an item: translation, flips, and of images rotation, scaling and
    stretching. The network is conditioned on them, and on none in sampling, so samples show none. 0.12 suits small
    data; 0 is none."""
    stretch_period: Literal[180, 360] = hidden(180, earlier=360)
    """Degrees of φ after which the numbers of a stretching of `augment` repeat: 180, as the stretching does; 360
    in runs of earlier versions, whose numbers do not tell a stretching from its inverse."""
    background: str = argument("white", names="words")
    """Colour that shows through transparent images: a name or #rrggbb."""
    class_labels: bool = argument(True, title="Use classes")
    """Condition the model on the classes of the data (one sub-folder each), where there are any."""
    balance: bool = argument(False, title="Balance classes")
    """Train on each class equally often, however many items it has."""
    leave_out_copies: bool = False
    """Train on each item once: items whose values equal those of an earlier one, and images that look like one (saved
    again in another size or quality), are left out, as doctor names them. Nothing is deleted."""
    given: tuple[Given, ...] | None = argument(
        None, title="Conditions", words=tuple[str, ...] | None, metavar="[NAME=]WHAT", repeats=True, names="condition"
    )
    """What the model is conditioned on besides the class: a column of the data (of metadata.csv or metadata.jsonl in a
    folder, caption of .txt files beside images, a further array of an .npz, a column or key), or several joined by
    commas; a folder with a file of the same name for each, or a .npy or .npz file with a row for each; an operator that
    makes it of the item itself ({OPERATORS}), several joined by +, as in upscale:4+noise:0.05; or a function,
    package.module:function. Text is classes, or words where it is called caption, text or prompt or has several words:
    words:COLUMN and classes:COLUMN decide it. Default: what comes from Python with the items."""
    shuffle_tags: bool = argument(False, title="Shuffle tags")
    """Train on captions whose parts between commas are in an order that is drawn for each step."""
    fingerprint: str = hidden("")
    """The number of items and a hash of some of them, by which a run that is resumed knows its data wherever they lie;
    "" in a run that a Trainer began without a workflow."""
    moved: str = hidden("")
    """The rows of items, separated by blanks, that are on the other side of the split by `validation`, a share, than
    chance put them, so that copies stay together; "" in runs of earlier versions, whose copies are on both sides."""
    left_out: str = hidden("")
    """The rows of items, separated by blanks, that `leave_out_copies` left out."""
    memory: float = argument(1.0, title="Keep in memory")
    """GiB of decoded data that are held in memory; larger data sets are read from the disk while training. As many for
    latents, which are else encoded again in each step."""
    validation: float | str | None = argument(
        None, title="Validation share", metavar="SHARE|SOURCE", above=0, below=1, names="data"
    )
    """Share of the items that is held out of training, as in 0.1, or other data of the same kind; their loss is
    measured at every multiple of `sample_every`. Default: none."""

    def __post_init__(self) -> None:
        if self.image_size is not None:
            object.__setattr__(self, "image_size", plain_image_size(self.image_size))

    @property
    def moved_rows(self) -> tuple[int, ...]:
        """`moved` as numbers."""
        return _rows(self.moved)

    @property
    def left_out_rows(self) -> tuple[int, ...]:
        """`left_out` as numbers."""
        return _rows(self.left_out)

    @property
    def form(self) -> dict[str, Any]:
        """Arguments of `data.load` and `data.open` that say how the source is read."""
        names = ("image_size", "fit", "channels", "background", "dims", "bits", "length", "rate", "given", "crop")
        return {name: getattr(self, name) for name in names}


def _rows(text: str) -> tuple[int, ...]:
    """The numbers in a text of rows; files may be damaged."""
    return tuple(int(row) for row in text.split() if row.isdecimal() and len(row) < 19)

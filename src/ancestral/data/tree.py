"""A folder of images, read by index."""

from pathlib import Path

from ancestral.data.convert import Conversion
from ancestral.data.dataset import one_line
from ancestral.data.files import Files, scan
from ancestral.data.folder import SUFFIXES
from ancestral.data.form import HEADER
from ancestral.data.indexed import Indexed
from ancestral.data.reading import contents
from ancestral.errors import InputError


class Tree(Indexed):
    """All images below `root`, in sorted order; a class for each immediate sub-folder.

    If an image file lies in `root` itself there are no labels: it has no class. Classes follow from names alone, so
    files that cannot be read count.
    """

    def __init__(self, root: Path, conversion: Conversion) -> None:
        """Raises InputError where there are no images, or like `survey`."""
        self.files: Files = scan(root, SUFFIXES)
        if not self.files:
            raise InputError(
                f"no images in {one_line(root)}: looked for {', '.join(SUFFIXES)} there and in sub-folders, and for "
                ".tar, .parquet and .arrow files"
            )
        labels, classes = self.files.classes()
        name = one_line(root.resolve().name)
        super().__init__(name, len(self.files), labels, classes, tuple(self.files.skipped), conversion)

    def encoded(self, index: int) -> bytes:
        """The bytes of a file."""
        return contents(self.files.path(index))

    def begin(self, index: int) -> bytes:
        """The first bytes of a file."""
        return contents(self.files.path(index), HEADER)

    def name_of(self, index: int) -> str:
        """The file's path from the root."""
        return one_line(self.files.relative(index).decode("utf-8", "surrogateescape"))

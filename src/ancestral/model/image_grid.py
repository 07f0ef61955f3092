"""Pillow images that show themselves as a grid in a notebook."""

import base64
import html
import io
from collections.abc import Iterable, Sequence

from PIL.Image import Image

MOST_SHOWN = 256
"""Largest number of images that a notebook shows."""
SMALLEST_WIDTH = 64
"""Smallest width of an image on the screen, in pixels."""
CHECKERBOARD_CSS = "background:repeating-conic-gradient(#ccc 0 25%,#fff 0 50%) 0/16px 16px;"
"""The CSS of what is seen behind transparent pixels."""


class ImageGrid(list[Image]):
    """A list of images. Notebooks draw it as a grid, transparent images on a checkerboard.

    Args:
        images: The images.
        before: Of each condition that is an image, the image that stands before each of them.
        captions: A text below each; () draws none.
    """

    def __init__(
        self, images: Iterable[Image], before: Sequence[Sequence[Image]] = (), captions: Sequence[str] = ()
    ) -> None:
        super().__init__(images)
        self.before, self.captions = before, captions

    def _repr_html_(self) -> str:
        groups = []
        for number, image in enumerate(self[:MOST_SHOWN]):
            width = max(image.width, SMALLEST_WIDTH)
            pictures = "".join(picture_html(one, width) for one in (*(each[number] for each in self.before), image))
            text = f"<figcaption>{html.escape(self.captions[number])}</figcaption>" if self.captions else ""
            groups.append(f'<figure style="margin:2px">{pictures}{text}</figure>' if text or self.before else pictures)
        more = f"<p>and {len(self) - MOST_SHOWN:,} more</p>" if len(self) > MOST_SHOWN else ""
        return f'<div style="display:flex;flex-wrap:wrap;gap:2px">{"".join(groups)}</div>{more}'


def picture_html(image: Image, width: int) -> str:
    """Write an image as HTML, of this width in pixels, with its bytes."""
    file = io.BytesIO()
    image.save(file, "PNG")
    code = base64.b64encode(file.getvalue()).decode()
    behind = CHECKERBOARD_CSS if image.has_transparency_data else ""
    style = f"width:{width}px;image-rendering:pixelated;{behind}"
    return f'<img alt="" style="{style}" src="data:image/png;base64,{code}">'

"""Pillow images that show themselves as a grid in a notebook."""

import base64
import io

from PIL.Image import Image

MOST_SHOWN = 256
"""Largest number of images that a notebook shows."""
SMALLEST = 64
"""Smallest width of an image on the screen, in pixels."""
CHECKERBOARD = "background:repeating-conic-gradient(#ccc 0 25%,#fff 0 50%) 0/16px 16px;"
"""The CSS of what is seen behind transparent pixels."""


class ImageGrid(list[Image]):
    """A list of images. Notebooks draw it as a grid, transparent images on a checkerboard."""

    def _repr_html_(self) -> str:
        pictures = "".join(map(_picture, self[:MOST_SHOWN]))
        more = f"<p>and {len(self) - MOST_SHOWN:,} more</p>" if len(self) > MOST_SHOWN else ""
        return f'<div style="display:flex;flex-wrap:wrap;gap:2px">{pictures}</div>{more}'


def _picture(image: Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    code = base64.b64encode(file.getvalue()).decode()
    behind = CHECKERBOARD if image.has_transparency_data else ""
    width = max(image.width, SMALLEST)
    style = f"width:{width}px;image-rendering:pixelated;{behind}"
    return f'<img alt="" style="{style}" src="data:image/png;base64,{code}">'

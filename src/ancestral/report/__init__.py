"""What is shown and written: grids, film strips, animations, files."""

from ancestral.report.files import write_array, write_images, write_picture
from ancestral.report.history import history
from ancestral.report.pictures import evenly, picture
from ancestral.report.reverse import Frame, animation, film

__all__ = ["Frame", "animation", "evenly", "film", "history", "picture", "write_array", "write_images", "write_picture"]

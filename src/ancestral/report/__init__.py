"""What is shown and written: grids, film strips, animations, plots, files."""

from ancestral.report.curves import likelihood_plot
from ancestral.report.files import check_png, write_array, write_images, write_json, write_picture
from ancestral.report.history import history
from ancestral.report.pictures import evenly, picture
from ancestral.report.reverse import Frame, animation, film

__all__ = [
    "Frame",
    "animation",
    "check_png",
    "evenly",
    "film",
    "history",
    "likelihood_plot",
    "picture",
    "write_array",
    "write_images",
    "write_json",
    "write_picture",
]

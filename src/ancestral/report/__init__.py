"""What is shown and written: grids, film strips, animations, plots, files."""

from ancestral.report.compared import Grid, samplers_plot, side_by_side
from ancestral.report.contact import Row, Tile, check_sheet, contact_sheet, thumbnail, write_sheet
from ancestral.report.curves import likelihood_plot
from ancestral.report.environment import environment
from ancestral.report.files import check_png, write_array, write_images, write_json, write_picture
from ancestral.report.history import history
from ancestral.report.page import NAME as PAGE
from ancestral.report.page import About, DataFacts, update_page, write_page
from ancestral.report.pictures import picture
from ancestral.report.reverse import Frame, animation, film
from ancestral.report.twins import Twins, memorisation

__all__ = [
    "PAGE",
    "About",
    "DataFacts",
    "Frame",
    "Grid",
    "Row",
    "Tile",
    "Twins",
    "animation",
    "check_png",
    "check_sheet",
    "contact_sheet",
    "environment",
    "film",
    "history",
    "likelihood_plot",
    "memorisation",
    "picture",
    "samplers_plot",
    "side_by_side",
    "thumbnail",
    "update_page",
    "write_array",
    "write_images",
    "write_json",
    "write_page",
    "write_picture",
    "write_sheet",
]

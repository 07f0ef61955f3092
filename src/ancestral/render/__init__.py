"""What is shown and written: grids, film strips, animations, plots, files."""

from ancestral.render.contact_sheet import Row, Tile, check_sheet, contact_sheet, thumbnail, write_sheet
from ancestral.render.environment import environment
from ancestral.render.film_strip import Frame, animation, film
from ancestral.render.history_figure import history
from ancestral.render.html_report import NAME as PAGE
from ancestral.render.html_report import About, DataFacts, update_page, write_page
from ancestral.render.likelihood_plot import likelihood_plot
from ancestral.render.nearest_pairs import nearest_pairs
from ancestral.render.pictures import picture
from ancestral.render.side_by_side import Grid, samplers_plot, side_by_side
from ancestral.render.writers import check_png, write_array, write_images, write_json, write_picture

__all__ = [
    "PAGE",
    "About",
    "DataFacts",
    "Frame",
    "Grid",
    "Row",
    "Tile",
    "animation",
    "check_png",
    "check_sheet",
    "contact_sheet",
    "environment",
    "film",
    "history",
    "likelihood_plot",
    "nearest_pairs",
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

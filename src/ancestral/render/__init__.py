"""What is shown and written: pictures, film strips, animations, plots, the report, the model card, files."""

from ancestral.render.animation import ANIMATIONS, FPS, check_animation, frame_count, write_animation
from ancestral.render.averaging_plot import averaging_plot
from ancestral.render.contact_sheet import check_sheet, contact_sheet, sample_picture, write_sheet
from ancestral.render.environment import environment
from ancestral.render.film_strip import FILM_STATES, film
from ancestral.render.html_report import REPORT, DataFacts, RunFacts, update_report, write_report
from ancestral.render.likelihood_plot import likelihood_plot
from ancestral.render.managed_sections import README, merge_card, write_card
from ancestral.render.model_card import FOLDER, PICTURE, describe_model, model_card
from ancestral.render.nearest_pairs import nearest_pairs
from ancestral.render.pictures import grid_columns, picture
from ancestral.render.side_by_side import Grid, samplers_plot, side_by_side
from ancestral.render.writers import (
    check_png,
    read_recipe,
    write_array,
    write_images,
    write_picture,
    write_recordings,
)

__all__ = [
    "ANIMATIONS",
    "FILM_STATES",
    "FOLDER",
    "FPS",
    "PICTURE",
    "README",
    "REPORT",
    "DataFacts",
    "Grid",
    "RunFacts",
    "averaging_plot",
    "check_animation",
    "check_png",
    "check_sheet",
    "contact_sheet",
    "describe_model",
    "environment",
    "film",
    "frame_count",
    "grid_columns",
    "likelihood_plot",
    "merge_card",
    "model_card",
    "nearest_pairs",
    "picture",
    "read_recipe",
    "sample_picture",
    "samplers_plot",
    "side_by_side",
    "update_report",
    "write_animation",
    "write_array",
    "write_card",
    "write_images",
    "write_picture",
    "write_recordings",
    "write_report",
    "write_sheet",
]

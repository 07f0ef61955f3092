"""What is shown and written: pictures, film strips, animations, plots, the report, the model card, files."""

from ancestral.render.compositions import (
    FILM_STATES,
    check_sheet,
    contact_sheet,
    film,
    nearest_pairs,
    sample_picture,
    side_by_side,
    write_sheet,
)
from ancestral.render.html_report import REPORT, DataFacts, RunFacts, environment, update_report, write_report
from ancestral.render.model_card import FOLDER, PICTURE, README, describe_model, merge_card, model_card, write_card
from ancestral.render.pictures import grid_columns, picture
from ancestral.render.plots import averaging_plot, likelihood_plot, samplers_plot
from ancestral.render.writers import (
    ANIMATIONS,
    FPS,
    check_animation,
    check_png,
    frame_count,
    read_recipe,
    write_animation,
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

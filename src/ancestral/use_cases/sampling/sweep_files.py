"""The files that a sweep is written to: the table as a picture, arrays, or a folder of its cells."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.config.request import Request
from ancestral.declarations import Edit, Sample
from ancestral.model.editing import deviation_of
from ancestral.model.process import Process
from ancestral.model.sweeps import Sweep, in_rows
from ancestral.render import writers
from ancestral.render.sweep_picture import Heading, sweep_picture
from ancestral.use_cases.output_files import check_empty, check_kind_of_path, folder_of, stem_of
from ancestral.use_cases.sampling import requests
from ancestral.use_cases.sampling.edit_files import of_part
from ancestral.use_cases.sampling.sampling_plan import SamplingPlan

SWEEP_FILES = ".png, .npz or the name of a folder"
TABLE_FILE = "sweep.png"
"""The picture of the table in a folder of cells."""
LONGEST_CELL_STEM = 80
"""The largest number of characters of a file name that are made of values."""


def path_of_table(options: Sample | Edit, sweep: Sweep, recipe: Request) -> Path:
    """Return the file or the folder of a table. Raises InputError if it could not be written."""
    folder = folder_of(options.model, "samples" if recipe.edit is None else "edits")
    task = "" if recipe.edit is None else recipe.edit.task
    stem = stem_of("-".join(filter(None, [f"seed{recipe.seed}", task, "sweep", *sweep.values])), LONGEST_CELL_STEM)
    out = folder / f"{stem}.png" if options.out is None else Path(options.out)
    if out.suffix.lower() not in FILES:
        raise InputError(f"cannot write a sweep as a {out.suffix} file; {option('out')} takes {SWEEP_FILES}")
    if not out.suffix:
        check_kind_of_path(out, SWEEP_FILES)
        check_empty(out, "images of two sweeps")
    return out


def files_of_table(plan: SamplingPlan, samples: Sequence[Tensor]) -> dict[Path, Callable[[Path], None]]:
    """Return the file of a plan with what writes the samples of its cells."""
    return {plan.out: partial(FILES[plan.out.suffix.lower()], plan, samples)}


def _write_picture(plan: SamplingPlan, samples: Sequence[Tensor], path: Path) -> None:
    columns, *rows = (Heading(axis.name, axis.texts) for axis in _sweep(plan).axes)
    limits, captions = plan.process.limits, getattr(plan.options, "captions", None) is not False
    picture = sweep_picture(samples, limits, columns, rows[0] if rows else None, captions)
    writers.write_picture(path, picture, _text(plan.recipe))


def _write_array(plan: SamplingPlan, samples: Sequence[Tensor], path: Path) -> None:
    table = in_rows(samples, len(_sweep(plan).cells[0]))
    axes = {("columns", "rows")[number]: np.array(axis.values) for number, axis in enumerate(_sweep(plan).axes)}
    if plan.recipe.edit is not None and len(samples[0]) > 1:
        alike = map(plan.model.spec.codec.of_one_unit, samples)
        axes["std"] = in_rows([deviation_of(cell).float() for cell in alike], len(_sweep(plan).cells[0])).numpy()
    writers.write_arrays(path, {writers.array_name(plan.model.spec.shape): table.numpy(), **axes})


def _write_folder(plan: SamplingPlan, samples: Sequence[Tensor], path: Path) -> None:
    path.mkdir()
    items, spec = torch.cat([*samples]), plan.model.spec
    _write_picture(plan, samples, path / TABLE_FILE)
    if writers.fits_png(spec.shape, items.dtype):
        recipes = [_text(_of_one(cell, place)) for cell in plan.processes for place in range(cell.count)]
        writers.write_images(path, items, _names(plan), recipes)
    elif spec.rate:
        writers.write_recordings(path, items, spec.rate, _names(plan))
    else:
        _write_array(plan, samples, path / "samples.npz")


FILES: Mapping[str, Callable[[SamplingPlan, Sequence[Tensor], Path], None]] = {
    ".png": _write_picture,
    ".npz": _write_array,
    "": _write_folder,
}
"""What writes the samples of the cells, by the suffix of the file."""


def _sweep(plan: SamplingPlan) -> Sweep:
    assert plan.sweep is not None
    return plan.sweep


def _of_one(process: Process, place: int) -> Request:
    """The recipe of the file of one of the samples of a cell."""
    item, recipe = process.items[place], process.recipe
    if recipe.edit is not None:
        return of_part(recipe, next(writers.numbered([item])))
    return requests.of_one(recipe, process.labelled or process.model, item)


def _names(plan: SamplingPlan) -> list[str]:
    """The names of the files of single samples: the number of the cell, its values, and the index of one of several."""
    names = list[str]()
    texts = [[f"{axis.name}{text}" for text in axis.texts] for axis in reversed(_sweep(plan).axes)]
    for number, (cell, values) in enumerate(zip(plan.processes, product(*texts), strict=True)):
        stem = stem_of("-".join((f"{number:04d}", *reversed(values))), LONGEST_CELL_STEM)
        names += [stem] if len(cell.items) == 1 else [f"{stem}-{index}" for index in writers.numbered(cell.items)]
    return names


def _text(request: Request) -> str:
    return request.to_json() if request.model else ""

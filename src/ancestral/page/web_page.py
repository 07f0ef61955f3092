"""A model as a page: one HTML file that samples it in any browser, offline, and a folder for a static Space.

The file holds the scripts (`script`) and styles of this folder, and as gzip in base64 the program of the
network, its weights, the kernels, and what sampling needs, as JSON; of a model of latents also the programs of its
autoencoder. All that comes from the user is in that JSON, which the page shows as text, or escaped. A content-security
policy allows these scripts by their hashes, and no request.

ES modules become one script: a page that is opened from the file system can import no files. Each module becomes a
function that returns what it exports, and is called after those that it imports. Only these forms are read, at the
beginning of a line:

    import { name, other as alias } from "./file.js";
    export const name = ...        export class, function, function*, async function

A line of a module may begin with `import` or `export` for nothing else, also in a text or a comment.
"""

import base64
import dataclasses
import gzip
import hashlib
import html
import itertools
import json
import posixpath
import re
import string
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from ancestral import __version__
from ancestral.base import storage
from ancestral.base.errors import InputError
from ancestral.base.options import option
from ancestral.base.registries import DISTILLATIONS
from ancestral.conditions import Condition
from ancestral.config.request import Request, swept_settings
from ancestral.data.arrays import ARRAY_NAMES
from ancestral.data.convert import has_alpha
from ancestral.data.spec import Codec, bits_of
from ancestral.model import Model
from ancestral.model.building import sampler_for, sampler_name
from ancestral.nets import drawn_noise
from ancestral.page.network_program import compile_model
from ancestral.samplers import DDPM, Heun, Sampler

PAGE_SAMPLERS = ("ddim", "dpm", "unipc", "heun", "euler", "euler-ancestral", "ddpm", "dpm-sde", "pc")
"""Samplers that a page offers beside the model's own."""
MOST_PAGE_BYTES = 300_000_000
"""The largest weights that a page holds: browsers have limits on the length of a text."""
PAGE_FILES = files("ancestral.page")
"""The folder of the page's files."""
IMPORT = re.compile(r'^import \{([^{}]+)\} from "(\.{1,2}/[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:const|class|(?:async )?function\*?) ([\w$]+))", re.MULTILINE)
UNREAD = re.compile(r"^[ \t]*(?:import|export)\b.*|\bimport\(.*", re.MULTILINE)


def write_html(model: Model, path: Path, title: str, description: str) -> None:
    """Write the page atomically, of a model on the CPU.

    Args:
        model: The model.
        path: The file.
        title: The title of the page.
        description: What the model is, in a sentence.

    Raises:
        InputError: If the path is a folder, or the page cannot show or compute what the model makes.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; give {option('out')} a file that ends in .html")
    storage.write_text(path, page(model, title, description))


def write_space(model: Model, folder: Path, title: str, description: str, card: str) -> None:
    """Write the folder of a static Space: the page as index.html, and README.md.

    Args:
        model: The model.
        folder: A new folder.
        title: The title of the page.
        description: What the model is, in a sentence.
        card: The text of README.md, with the settings of the Space in its front matter.

    Raises:
        InputError: As `write_html` does, and if there is something in the folder.
    """
    with storage.atomic_folder(folder) as temporary:
        storage.write_text(temporary / "README.md", card)
        write_html(model, temporary / "index.html", title, description)


def page(model: Model, title: str, description: str) -> str:
    """Return the page as text. Raises InputError as `write_html` does."""
    _check(model)
    compiled = compile_model(model)
    weights = b"".join(each.weights for each in compiled.values())
    if len(weights) > MOST_PAGE_BYTES:
        raise InputError(
            f"the weights take {len(weights) / 1e6:,.0f} MB, and a page holds at most {MOST_PAGE_BYTES / 1e6:,.0f}; "
            f"use {option('to', 'onnx')}"
        )
    bounds = itertools.pairwise(itertools.accumulate((len(each.weights) for each in compiled.values()), initial=0))
    programs = {
        name: {**each.program, "weights": where} for (name, each), where in zip(compiled.items(), bounds, strict=True)
    }
    parts = {
        "model": _json({**facts(model), "name": title}),
        "programs": _json(programs),
        "kernels": PAGE_FILES.joinpath("kernels.wasm").read_bytes(),
        "weights": weights,
    }
    blocks = [_block(name, base64.b64encode(gzip.compress(part, mtime=0)).decode()) for name, part in parts.items()]
    scripts, worker = _scripts()
    blocks += [_block("worker", worker), *(f'<script id="{name}">{text}</script>' for name, text in scripts.items())]
    style = _source("page.css")
    policy = {
        "default-src": "'none'",
        "script-src": " ".join([*map(_hash, scripts.values()), "'wasm-unsafe-eval'"]),
        "worker-src": "blob:",
        "style-src": _hash(style),
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return string.Template(_source("page.html")).substitute(
        title=html.escape(title),
        description=html.escape(description),
        version=__version__,
        policy=html.escape("; ".join(f"{name} {value}" for name, value in policy.items())),
        style=style,
        scripts="\n".join(blocks),
    )


def facts(model: Model) -> dict[str, Any]:
    """Return what a page needs of a model besides its network, to be written as JSON."""
    schedule, spec = model.denoiser.schedule, model.spec
    train, drawn = model.config.train, drawn_noise(model.diffusion.net)
    return {
        "sha256": "" if model.file is None else storage.sha256(model.file),
        "version": __version__,
        "recipe_head": Request.head(),
        "shape": spec.shape,
        "x_shape": spec.x_shape,
        "factor": 1 if spec.autoencoder is None else spec.autoencoder.factor,
        "codec": _described(spec.codec),
        "classes": spec.classes,
        "conditions": {name: _condition(kind) for name, kind in spec.further.items()},
        "signal": schedule.signal.tolist(),
        "noise": schedule.noise.tolist(),
        "prior_std": schedule.prior_std,
        "tables": model.diffusion.target.tables(model.denoiser.schedule),
        "samplers": [*_samplers(model)],
        "settings": [*swept_settings(edit=False)],
        "network_noise": None if drawn is None else drawn.shape[0],
        "guidance": bool((spec.classes and train.label_dropout) or (spec.further and train.condition_dropout)),
    }


def _check(model: Model) -> None:
    """Raise InputError for items that a page does not show."""
    shape, kind = model.spec.shape, ARRAY_NAMES.get(len(model.spec.shape) - 1, "points")
    alternative = f"use {option('to', 'onnx')}"
    if kind == "points" and shape != (2,):
        raise InputError(f"a page shows points in 2 dimensions, and these have {shape[0]}; {alternative}")
    if kind == "volumes":
        raise InputError(f"a page shows images, signals and points, and no volumes; {alternative}")
    if kind == "images" and not (shape[0] in (1, 3) or has_alpha(shape, model.spec.codec.dtype)):
        raise InputError(
            f"a page shows images of 1 or 3 channels, and integers also with alpha; these have {shape[0]} channels of "
            f"{model.spec.codec.kind}; {alternative}"
        )


def _samplers(model: Model) -> Iterator[str]:
    """The model's own sampler, and others that suit it, each with all its settings."""
    own, distil = model.sampler(), model.config.distil.method
    known = [sampler for name in PAGE_SAMPLERS if (sampler := _other(model, name)) is not None]
    if _in_browser(own):
        yield sampler_name(own)
        sampled = model.config.train.energy is not None or (distil and DISTILLATIONS[distil].consistent)
        known = [] if sampled else known
    # a sampler that differs from the model's own in settings alone is not offered a second time
    yield from (
        name for name in map(sampler_name, known) if not _in_browser(own) or _kind(name) != _kind(sampler_name(own))
    )


def _other(model: Model, name: str) -> Sampler | None:
    try:
        return sampler_for(model.denoiser, name)
    except InputError:
        return None


def _in_browser(sampler: Sampler) -> bool:
    """Whether diffusion.js has the sampler with its settings."""
    has_it = sampler_name(sampler).partition(":")[0] in (*PAGE_SAMPLERS, "langevin", "consistency")
    measured = isinstance(sampler, DDPM) and sampler.variance not in ("large", "small", "learned")
    return has_it and not measured and not (isinstance(sampler, Heun) and (sampler.churn or sampler.rtol is not None))


def _kind(name: str) -> tuple[str, bool]:
    return name.partition(":")[0], "ancestral=True" in name or "eta=1.0" in name


def _condition(kind: Condition) -> dict[str, Any]:
    """A condition besides the label; of an image also how its values are stored."""
    described = {"kind": type(kind).__name__, **kind.facts}
    if limits := described.get("limits"):
        bits = bits_of(limits)
        named = Codec(f"uint{bits}" if bits else "float", limits, described["ranges"])
        described["codec"] = _described(dataclasses.replace(named, scaling=kind.scaling) if kind.scaling else named)
    return described


def _described(codec: Codec) -> dict[str, Any]:
    """How values are stored; scales only where there are some."""
    return {
        name: fact
        for name, fact in dataclasses.asdict(codec).items()
        if name not in ("scaling", "gaps", "mask") or fact
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _source(name: str) -> str:
    return PAGE_FILES.joinpath(name).read_text("utf-8")


def _scripts() -> tuple[dict[str, str], str]:
    """The scripts that the page runs: what its Workers share with it, and the rest; and the rest of the Workers."""
    page, worker = modules("page.js"), modules("page_worker.js")
    theory, page_only, worker_only = (
        script({name: text for name, text in functions.items() if (name in page and name in worker) is shared})
        for functions, shared in ((page, True), (page, False), (worker, False))
    )
    return {"theory": theory, "page": page_only}, worker_only


def _block(name: str, text: str) -> str:
    """A script that the browser does not run, as a store of text."""
    return f'<script type="text/plain" id="{name}">{text}</script>'


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def modules(entry: str, folder: Traversable | None = None) -> dict[str, str]:
    """Return a module and all that it imports as functions, by the paths of their files, in the order of their calls.

    Args:
        entry: The path of the module below the folder.
        folder: The folder; by default that of the page.

    Raises:
        ValueError: If a module has an import or export of another form, one of a name that is not there, or one that
            leads back to itself.
    """
    folder = PAGE_FILES if folder is None else folder
    functions: dict[str, str] = {}
    exports: dict[str, set[str]] = {}

    def add(path: str, above: tuple[str, ...]) -> None:
        if path in above:
            raise ValueError(f"{path} imports itself: {' -> '.join((*above, path))}")
        if path in functions:
            return
        source = folder.joinpath(path).read_text("utf-8")
        heads = []
        for names, target in IMPORT.findall(source):
            other = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            add(other, (*above, path))
            pairs = [name.split(" as ") for name in map(str.strip, names.split(",")) if name]
            if missing := {name for name, *_ in pairs} - exports[other]:
                raise ValueError(f"{path} imports {', '.join(sorted(missing))} from {other}, which has no such export")
            heads.append(f"const {{ {', '.join(': '.join(pair) for pair in pairs)} }} = {_name(other)};\n")
        exports[path] = set(EXPORT.findall(source))
        body = EXPORT.sub("", IMPORT.sub("", source))
        if unread := UNREAD.search(body):
            raise ValueError(f"{path} has an import or export that cannot be bundled: {unread[0].strip()}")
        result = f"return {{ {', '.join(sorted(exports[path]))} }};\n" if exports[path] else ""
        functions[path] = f"const {_name(path)} = (() => {{\n{''.join(heads)}{body}{result}}})();\n"

    add(entry, ())
    return functions


def script(functions: dict[str, str]) -> str:
    """Return the text of a script that calls modules. It needs those that they import before it."""
    return '"use strict";\n' + "".join(functions.values())


def global_script(entry: str, name: str) -> str:
    """Return a script that makes the exports of a module of the page an object of a page, by a global name."""
    return f"{script(modules(entry))}globalThis.{name} = {{ ...{_name(entry)} }};\n"


def _name(path: str) -> str:
    """The name of the exports of a module."""
    return "$" + re.sub(r"\W", "_", path.removesuffix(".js"))

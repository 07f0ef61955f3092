"""What the documents say is so: their code runs, their names exist, their commands are commands."""

import ast
import contextlib
import importlib.util
import re
import shlex
import shutil
import wave
from dataclasses import dataclass, fields
from pathlib import Path

import nbformat
import numpy as np
import pytest
import xarray
from PIL import Image

import ancestral
from ancestral import config as configs
from ancestral.faces import command as cli
from ancestral_course import LESSONS, lesson_file
from claims import with_claims
from test_imports import LAYERS

ROOT = Path(__file__).parents[2]
PAGES = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")])}  # fmt: skip
DESIGN = PAGES[Path("docs/explanation/design.md")]
SITE = [page for page in PAGES if page.parts[0] == "docs" or page.name == "README.md"]
"""The pages whose code is run."""


@pytest.fixture(scope="module")
def pages():
    """The hooks of mkdocs, which generate pages."""
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs" / "hooks" / "pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- code blocks ------------------------------------------------------------------------------------------------------

ELSEWHERE = {
    "pip": "installs packages",
    "python": "copies data from a package that the page installs; the folder of the tests has such data",
    "torchrun": "starts processes as tests/training/test_parallel.py does; the command behind -m ancestral is parsed",
    "sbatch": "needs SLURM; tests/docs/test_cluster.py runs the script with programs in its place",
    "kubectl": "needs Kubernetes; tests/docs/test_cluster.py runs the command of its pods",
    "make": "a target of the Makefile, which is the test of CI",
    "hf": "downloads from the Hugging Face Hub",
    "ancestral sample hf://user/repo": "downloads; tests/test_hub.py runs it with a Hub of its own",
    "ancestral evaluate hf://user/repo": "the same",
    "ancestral train --data photos/ --from hf://user/repo": "the same",
    **dict.fromkeys(
        (
            "ancestral doctor s3://",
            "ancestral train s3://",
            "ancestral train --data s3://",
            "ancestral train --data gs://",
        ),
        "needs a bucket; tests/data/test_remote_files.py has one of its own",
    ),
    "aws": "copies to and from object storage",
    "ancestral train cifar10": "needs CIFAR-10 and a GPU",
    "ancestral train ddpm256": "needs a GPU; tests/config/test_by_size.py holds its settings",
    "commands.md ancestral export runs/photos --label": "needs a run of a U-Net that diffusers can hold",
    **dict.fromkeys(
        ("ancestral train --data emoji/", "ancestral evaluate runs/emoji", "ancestral export runs/emoji"),
        "needs the emoji that bench/emoji_captions.py writes from npm packages",
    ),
    "sample.md ancestral sample runs/photos --branch": "needs a grid of 50 steps; tests/use_cases/test_branches.py",
    "evaluate.md ancestral evaluate runs/scenes": "how-to/captions.md trains this run",
    "ancestral studio": "serves until it is stopped; studio/tests starts it",
    "ancestral push": "uploads; tests/test_hub.py runs it with a Hub of its own",
    "ancestral evaluate-samples made/": "tests/measure/test_evaluate_samples.py runs it on files of its own",
    "ancestral import ddpm-cifar10-32": "reads a model that is not here: how-to/export-import.md imports its own",
    "ancestral-course": "course/tests/test_lessons.py runs each command of the course",
}
"""Commands that are not run here, by how they begin, and why. Those of this package are parsed."""
QUOTES = Path("docs/explanation/equations.md")
"""The page whose blocks are lines of the source, which tests/docs/test_equations.py compares."""
UPLOAD = 'ancestral.push(model, "hf://user/repo")'
"""A line that is not run, since it uploads: tests/test_hub.py runs it with a Hub of its own."""
SHORT = {
    "train": "--steps 2 --batch-size 4 --sample-every 2 --preview-steps 2 --trackers none --threads 1",
    "distil": "--steps 2 --stages 2 --batch-size 4 --sample-every 2 --trackers none --threads 1",
    "sample": "-n 4 --steps 2 --threads 1",
    "edit": "-n 2 --steps 2 --threads 1",
    "evaluate": "--threads 1",
    "compare": "--draw 12 --threads 1",
    "average": "--samples 12 --steps 2 --end 2 --threads 1",
    "doctor": "--steps 0",
}
"""Options that make a command short, of one value each, which replace those of the page."""


def code_blocks(page, language):
    """The fenced blocks of a page in a language, and for bash the indented blocks with commands too."""
    text = PAGES[page]
    blocks = re.findall(rf"^```{language}\b[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    if language == "bash":
        plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
        blocks += re.findall(r"(?:^ {4}(?:ancestral|torchrun|pip|make) .*\n)+", plain, re.MULTILINE)
    return blocks


def commands(page):
    """The commands of a page, as words, in their order."""
    lines = "".join(code_blocks(page, "bash")).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def why_not_run(words, page):
    """Why a command of a page is not run here; None if it is. What begins so ends with a whole word, or with ://."""
    command = f"{shlex.join(words)} ".replace("'", "")
    for start, reason in ELSEWHERE.items():
        start = start if start.endswith("://") else f"{start} "
        if command.startswith(start) or f"{page.name} {command}".startswith(start):
            return reason
    return None


def own_arguments(words):
    """What follows `ancestral` in a command, also where other programs start it; None if they start something else."""
    place = words.index("-m") + 1 if "-m" in words else 0
    return words[place + 1 :] if words[place] == "ancestral" else None


class Parsed(BaseException):
    """The options of a command were read."""


def read_only(case, values):
    raise Parsed


@pytest.mark.parametrize("page", [page for page in SITE if commands(page)], ids=str)
def test_every_command_of_a_page_can_be_read(page, data_folder, monkeypatch):
    """By the real parsers of the options; nothing is done."""
    monkeypatch.chdir(data_folder)
    for words in commands(page):
        argv = own_arguments(words)
        if argv is None:
            assert words[0] in (*ELSEWHERE, "cp"), words
            continue
        if not {"-h", "--help", "--help-all"} & set(argv):
            with monkeypatch.context() as patched:
                patched.setattr(cli, "call", read_only)
                with pytest.raises(Parsed):
                    cli.run(argv)


@dataclass
class Place:
    """Where the code of a page is run: a folder with the data and the runs that the pages name."""

    folder: Path

    def run(self, argv):
        """Run a command in a short setting. A training run that the page starts takes the place of the one before."""
        words = with_options(argv, SHORT.get(argv[0], ""))
        if argv[0] in ("sample", "edit"):
            words = without(words, "-n") if {"--index", "--like", "--branch"} & set(argv) else words
            words = without(words, "--steps", "--sampler") if {"--like", "--branch"} & set(argv) else words
            words = (
                without(words, "--steps") if any(word.startswith(("heun:steps", "steps=")) for word in argv) else words
            )
        if argv[0] == "train":
            named = {"--net", "--from", "scenes"}  # networks whose width has other limits than a U-Net's
            words = words if named & set(argv) else with_options(words, "--width 8")
            if argv[1] == "latent" or "--latent 4" in " ".join(argv):  # else thousands of steps, of the autoencoder
                words = with_options(words, "--latent-steps 2 --latent-width 8")
            if "--resume" not in argv:
                shutil.rmtree(out_of(argv), ignore_errors=True)
        if argv[0] == "distil" and "energy" in argv:  # which has one stage
            words = without(words, "--stages")
        if argv[0] in ("evaluate", "compare"):
            likelihood = "--likelihood" in argv
            if not likelihood or "--samples" in argv:
                words = with_options(without(words, "--samples"), "--draw 12 --steps 2 --extractor pixels")
            words = with_options(words, "--passes 4 -n 2") if likelihood else words
            words = with_options(words, "--ode-steps 2") if "--ode" in argv else words
            words = with_options(words, "--most 8") if "--samplers" in argv else words
            words = without(words, "--steps") if "--samplers" in argv else words
        with pytest.raises(SystemExit) as stop:
            cli.main(words)
        assert stop.value.code == (1 if argv[0] == "doctor" and stop.value.code == 1 else 0), words


def with_options(words, text):
    """The words with these options, of one value each, in the place of those of the same name."""
    options = text.split()
    return [*without(words, *options[::2]), *options]


def without(words, *names):
    """The words without these options and their value, if they have one."""
    rest, after_name = [], False
    for word in words:
        value = after_name and not word.startswith("-")
        after_name = word in names
        if not (value or after_name):
            rest.append(word)
    return rest


def out_of(argv):
    """The run folder of a training command."""
    if "--out" in argv:
        return argv[argv.index("--out") + 1]
    if "--data" in argv:
        return f"runs/{Path(argv[argv.index('--data') + 1]).stem}"
    return f"runs/{argv[1]}"


def stripes(folder, count, height, width):
    """Write PNGs of stripes, each of its own width and colour."""
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[0:height, 0:width]
    for i in range(count):
        dark = np.sin(columns * (0.1 + 0.02 * i) + rows * 0.05 * (i % 5)) > 0
        pixels = np.where(dark[..., None], [40 + 4 * i, 200 - 3 * i, 90], [220, 60 + 5 * i, 30 + 6 * i])
        Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(folder / f"{i:03d}.png")


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    """A folder with the data that the pages name, and with runs/photos and runs/other, which are not trained."""
    folder = tmp_path_factory.mktemp("pages")
    for name in ("photos", "more-photos", "moved/photos"):
        for label in ("cats", "dogs"):
            stripes(folder / name / label, 9 if name == "more-photos" else 32, 24, 24)
            for i, path in enumerate(sorted((folder / name / label).glob("*.png"))):
                path.with_suffix(".txt").write_text(f"a {('red', 'grey')[i % 2]} {label.removesuffix('s')}")
    stripes(folder / "posters", 14, 48, 32)
    for name in ("faces", "facades", "sketches", "new-sketches"):
        stripes(folder / name, 14, 24, 24)
    rows = [f"{i:03d}.png,{30 + i},{('dark', 'grey')[i % 2]},{i / 10},{-i / 20}" for i in range(14)]
    (folder / "faces" / "metadata.csv").write_text("\n".join(["file_name,age,hair,yaw,pitch", *rows]))
    stripes(folder / "small", 3, 16, 16)
    for name in ("small", "grainy"):
        shutil.copy(folder / "small" / "000.png", folder / f"{name}.png")
    stripes(folder / "old", 3, 64, 64)
    shutil.copy(folder / "old" / "000.png", folder / "old.png")
    with Image.open(folder / "old.png") as image:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(folder / "torn.png")
    smooth = Image.linear_gradient("L").point(lambda level: max(0, level - 60))
    smooth.resize((64, 64)).save(folder / "smooth.png")
    (folder / "masks").mkdir()
    for i in range(14):
        smooth.resize((24, 24)).save(folder / "masks" / f"{i:03d}.png")
    for i in range(14):
        path = folder / "drums" / ("kick" if i % 2 else "snare") / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
            file.writeframes((np.sin(np.arange(300 + i) * (i + 1) / 40) * 20000).astype("<i2").tobytes())
    numbers = np.random.default_rng(0)
    np.save(folder / "signals.npy", numbers.normal(size=(14, 2, 32)).astype("float32"))
    load = numbers.uniform(1, 2, size=60).astype("float32")
    np.savez(
        folder / "machine.npz",
        signals=np.sin(load[:, None, None] * np.linspace(0, 12, 32)).astype("float32"),
        load=load,
        state=np.array(["new", "worn"] * 30),
    )
    np.save(folder / "volumes.npy", numbers.normal(size=(14, 1, 8, 8, 8)).astype("float32"))
    images = numbers.integers(0, 255, (14, 1, 16, 16), dtype="uint8")
    np.save(folder / "images.npy", images)
    np.save(folder / "levels.npy", numbers.normal(size=(14, 5, 24, 16)).astype("float32"))
    np.save(folder / "frames.npy", numbers.integers(0, 255, (40, 16, 16, 3), dtype="uint8"))
    np.savez(folder / "images.npz", images=images, labels=np.arange(14) % 2)
    months = np.arange("2013-01", "2020-01", dtype="datetime64[M]").astype("datetime64[ns]")
    weather = xarray.Dataset(
        {
            "t2m": (("time", "lat", "lon"), numbers.normal(280, 9, (len(months), 8, 16)).astype("float32")),
            "z": (("time", "level", "lat", "lon"), numbers.normal(size=(len(months), 2, 8, 16)).astype("float32")),
            "orography": (("lat", "lon"), numbers.uniform(0, 900, (8, 16)).astype("float32")),
        },
        {"time": months, "level": [500.0, 850.0], "lat": np.linspace(70, -70, 8), "lon": np.arange(16) * 22.5},
    )
    weather.to_zarr(folder / "weather.zarr", zarr_format=2)
    weather.to_netcdf(folder / "weather.nc", engine="h5netcdf")
    weather.isel(time=slice(-2, None)).to_netcdf(folder / "today.nc", engine="h5netcdf")
    np.save(folder / "orography.npy", weather["orography"].values[None])
    years = np.arange("1860", "2100", dtype="datetime64[Y]").astype("datetime64[ns]")
    annual = numbers.normal(280, 9, (len(years), 8, 16)).astype("float32")
    xarray.Dataset({"air_temperature": (("time", "latitude", "longitude"), annual)}, {"time": years}).to_netcdf(
        folder / "A1B_north_america.nc", engine="h5netcdf"
    )
    sea = weather[["t2m"]].isel(lat=slice(6), lon=slice(12)).where(lambda fields: fields.lat < 60)
    sea.to_netcdf(folder / "ostia_monthly.nc", engine="h5netcdf")
    axes = {"time": months[:14], "lat": np.linspace(89, -89, 64), "lon": np.arange(128) * 2.8125}
    hills = (("lat", "lon"), numbers.uniform(0, 900, (64, 128)).astype("float32"))
    globe = xarray.Dataset({"t2m": (tuple(axes), numbers.normal(280, 9, (14, 64, 128))), "orography": hills}, axes)
    globe.to_netcdf(folder / "globe.nc", engine="h5netcdf")
    globe[["orography"]].isel(lat=slice(32), lon=slice(96, None)).to_netcdf(folder / "hills.nc", engine="h5netcdf")
    coarse = globe[["t2m"]].isel(time=[0]).coarsen(lat=16, lon=16).mean()
    coarse.to_netcdf(folder / "coarse.nc", engine="h5netcdf")
    np.save(folder / "windows.npy", numbers.normal(size=(14, 1, 32, 32)).astype("float32"))
    (folder / "settings.json").write_text('{"preset": "digits", "steps": 200, "net": {"width": 64}}')
    shutil.copy(ROOT / "examples" / "own_network.py", folder)
    config = ancestral.config.preset("folder").with_settings(source="photos")
    (folder / "runs" / "photos").mkdir(parents=True)
    (folder / "runs" / "photos" / "config.json").write_text(config.to_json())
    return folder


RUN_ANSWERS = ("--validation", "0.1", "--out", "runs/answers")


@pytest.fixture(scope="module")
def trained(data_folder, tmp_path_factory):
    """The folder with runs/photos, runs/other and runs/digits trained for two steps."""
    folder = tmp_path_factory.mktemp("trained") / "place"
    shutil.copytree(data_folder, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        place = Place(folder)
        place.run(["train", "--data", "photos", "--image-size", "16"])
        place.run(["train", "--data", "photos", "--image-size", "16", "--out", "runs/other", "--seed", "1"])
        place.run(["train", "digits"])
        place.run(["train", "--data", "photos", "--image-size", "64", "--given", "upscale:4", "--out", "runs/upscaler"])
        place.run(
            ["train", "digits", "--given", "mask:left", "--no-class-labels", "--objective", "energy", *RUN_ANSWERS]
        )
        place.run(["train", "--data", "windows.npy", "--out", "runs/windows"])
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of ONNX and tensorboard are not the page's
@pytest.mark.parametrize("page", [page for page in SITE if commands(page)], ids=str)
def test_every_command_of_a_page_runs(page, trained, tmp_path, monkeypatch):
    folder = tmp_path / "place"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    place = Place(folder)
    for words in commands(page):
        if words[:2] == ["cp", "-r"]:
            shutil.copytree(*words[2:])
        elif why_not_run(words, page) is None:
            place.run(own_arguments(words))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in SITE if code_blocks(page, "python") and page != QUOTES], ids=str)
def test_the_python_of_a_page_runs(page, trained, tmp_path, monkeypatch):
    """In a short setting: a training run has 3 steps, and 12 samples are measured by their pixels."""
    folder = tmp_path / "place"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)

    def shorten(name, **short):
        function = getattr(ancestral, name)
        monkeypatch.setattr(
            f"ancestral.faces.python.{name}", lambda *given, **named: function(*given, **(named | short))
        )

    def train(*given, train=ancestral.train, **named):
        if "resume" not in named:
            shutil.rmtree(named["out"], ignore_errors=True)  # the run that was there already
        return train(*given, **named | {"steps": 3, "batch_size": 4})

    def train_steps(*given, train_steps=ancestral.train_steps, **named):
        yield from train_steps(*given, **named | {"steps": 3, "batch_size": 4})

    monkeypatch.setattr("ancestral.faces.python.train", train)
    monkeypatch.setattr("ancestral.faces.python.train_steps", train_steps)
    for name in ("evaluate", "evaluate_samples", "compare"):
        shorten(name, **({} if name == "evaluate_samples" else {"samples": 12}), extractor="pixels")
    for kind in ("onnx", "pt2"):
        if f"model.{kind}" in PAGES[page]:
            Place(folder).run(["export", "runs/photos", "--to", kind])
    scope = {"__name__": "__page__"}
    for code in code_blocks(page, "python"):
        exec(compile(with_claims(code.replace(UPLOAD, "")), str(page), "exec"), scope)


@pytest.mark.parametrize("page", [page for page in SITE if code_blocks(page, "python") and page != QUOTES], ids=str)
def test_what_comments_say_of_dtype_shape_and_range_can_be_checked(page):
    for code in code_blocks(page, "python"):
        with_claims(code)


@pytest.mark.parametrize(
    ("comment", "wrong"),
    [
        ("uint8 (2, 3) in [0, 255]", False),
        ("uint8 (2, 3); each 7", False),
        ("uint8 (2, 3) in [0, 6]", True),
        ("uint8 (2, 4)", True),
        ("float32 (2, 3)", True),
        ("a tensor (2, 3) in [−1, 1]", True),
        ("(2, 3) numbers", True),
    ],
)
@pytest.mark.parametrize("line", ["x = torch.full((2, 3), 7, dtype=torch.uint8)", "torch.full((2, 3), 7).byte()"])
def test_a_comment_that_is_wrong_is_found(line, comment, wrong):
    with pytest.raises(AssertionError) if wrong else contextlib.nullcontext():
        exec(with_claims(f"import torch\n{line}  # {comment}\n"), {})


def test_no_code_block_is_of_a_language_that_is_not_run():
    """Each fenced block is Python, a shell, JSON, or text: what a program prints. Those that hold a script of
    examples/, which tests/docs/test_examples.py runs, are written {.python}.
    """
    for page in SITE:
        languages = re.findall(r"^```[ {.]*(\w*)[^\n]*\n.*?^```", PAGES[page], re.DOTALL | re.MULTILINE)
        assert set(languages) <= {"python", "bash", "json", "text"}, page


def test_the_page_of_resume_names_every_setting_that_may_change():
    section = PAGES[Path("docs/how-to/resume.md")].partition("## What may change")[2].partition("\n## ")[0]
    sections = (configs.RuntimeConfig, configs.SampleConfig)
    names = configs.MAY_CHANGE | {field.name for part in sections for field in fields(part)}
    assert set(re.findall(r"`--([a-z-]+)`", section)) == {name.replace("_", "-") for name in names}


# -- generated pages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_the_page_of_a_lesson_has_every_cell_of_its_notebook_in_order(lesson, pages):
    page, pictures = pages.lesson_page(lesson)
    text = page.replace('<details markdown="1">', "<details>")
    place = 0
    notebook = nbformat.read(lesson_file(lesson, ".ipynb"), as_version=4)
    for number, cell in enumerate(notebook.cells):
        source = cell.source.strip().replace("](../../docs/", "](../")  # from where the page lies
        heading, _, rest = source.partition("\n")
        for part in (heading, rest.strip()) if number == 0 else (source,):  # the links to the files follow the title
            found = text.find(part, place)
            assert found >= place, (number, part[:80])
            place = found + len(part)
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                assert text.find(output.text.rstrip(), place) >= place, (number, output.text[:80])
    shown = sum("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))
    texts = [text for section in pages.SEEN[lesson.stem].values() for text in section]
    assert re.findall(r"^!\[(.+)\]\(.+\.png\)$", page, re.MULTILINE) == texts
    assert len(pictures) == shown == len(set(texts)), "a picture without a text of its own"
    assert set(re.findall(r"\]\(([^)]+\.png)\)", page)) == set(pictures)
    assert f"({lesson.stem}.py){{: download" in page
    assert f"({lesson.stem}.ipynb){{: download" in page


# -- names and links --------------------------------------------------------------------------------------------------


def anchors(text):
    """The anchors that GitHub and the site give the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


HOMES = ("docs", "bench", "course", "studio", "examples", "release", ".github", "src", "tests")
"""Folders of the repository with Markdown; others beside them hold environments and what was built."""
TEMPLATES = {ROOT / "src" / "ancestral" / "render" / name for name in ("model_card.md", "space_card.md")}


def test_every_link_of_the_repository_leads_to_a_file_and_a_heading():
    """Of all Markdown and of the lessons, as on a code host; `make docs` checks the links of the site."""
    sources = [*ROOT.glob("*.md"), *(path for home in HOMES for path in (ROOT / home).rglob("*.md"))]
    texts = {path: path.read_text(encoding="utf-8") for path in sources if path not in TEMPLATES}
    for path in (ROOT / "course" / "lessons").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        texts[path] = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    checked, broken = 0, []
    for page, text in texts.items():
        prose = re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))
        for target in re.findall(r"\[[^\]]*\]\((?!https?:|mailto:)([^)\s]+)[^)]*\)", prose):
            path, _, anchor = target.partition("#")
            linked, checked = (page.parent / path).resolve() if path else page, checked + 1
            if not linked.exists() or (anchor and anchor not in anchors(linked.read_text(encoding="utf-8"))):
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken
    assert checked > 600


ENVIRON = {"os.environ.get", "os.environ.setdefault", "os.environ.pop", "os.getenv"}


def environment_variables(path):
    """The variables that a module reads or sets: constants, or names that stand for them."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes, names = [*ast.walk(tree)], {}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names.setdefault(node.targets[0].id, []).append(node.value)
        elif isinstance(node, ast.comprehension) and isinstance(node.target, ast.Name):
            names.setdefault(node.target.id, []).append(node.iter)

    def strings(node):
        if isinstance(node, ast.Name) and node.id in names:
            return set().union(*map(strings, names[node.id]))
        if isinstance(node, ast.Tuple | ast.Dict):
            return set().union(*map(strings, getattr(node, "elts", None) or node.keys))
        return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()

    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ENVIRON:
            yield from strings(node.args[0])
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            yield from strings(node.slice)
        elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "os.environ":
            yield from strings(node.left)
        elif isinstance(node, ast.BinOp) and ast.unparse(node.left) == "os.environ":
            yield from strings(node.right)


def test_the_table_of_environment_variables_is_complete():
    """Of the packages and of the Makefile, no more and no less; those of other packages are some."""
    parts = PAGES[Path("docs/reference/environment.md")].split("\n## ")
    ours, others, make = ({*re.findall(r"`([A-Z_]{3,})`", re.sub(r"\|[^|]*\|$", "", part, flags=re.MULTILINE))}
                          for part in ("".join(parts[1:3]), parts[3], parts[4]))  # fmt: skip
    sources = [ROOT / "src", ROOT / "studio" / "src", ROOT / "course" / "src", ROOT / "course" / "lessons"]
    files = [path for source in sources for path in source.rglob("*.py")]
    files = [path for path in files if re.search(r"\benviron\b|\bgetenv\b", path.read_text(encoding="utf-8"))]
    names = {name for path in files for name in environment_variables(path)}
    assert {name for name in names if not name.startswith("SIG")} == ours  # a name may stand for signals elsewhere
    assert "HF_TOKEN" in others
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    defaults, fixed = (re.findall(rf"^([A-Z_]+) {sign}= ", text, re.MULTILINE) for sign in (r"\?", ":?"))
    assert {*re.findall(r"\$\(([A-Z_]+)\)", text), *defaults} - {*fixed, "PACKAGE"} == make


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_paths_of_the_package_in_a_page_exist(page):
    """Each `room/file.py` and `tests/test_file.py` that a page names; the changelog names files that are gone."""
    homes = [ROOT, ROOT / "src" / "ancestral", ROOT / "bench", ROOT / "course" / "src" / "ancestral_course"]
    homes += [ROOT / "studio" / "src" / "ancestral_studio"]
    for path in re.findall(r"`([\w/]+\.py)`", PAGES[page] if page.name != "CHANGELOG.md" else ""):
        assert any((home / path).is_file() for home in homes), path


def test_the_papers_of_the_lessons_have_the_numbers_of_the_docs():
    """A wrong digit leads to another paper, and no link checker sees it."""
    known = set(re.findall(r"\d{4}\.\d{5}", PAGES[Path("docs/explanation/equations.md")]))
    known |= {
        "1706.03762",  # Vaswani et al., Attention is all you need
        "2112.10752",  # Rombach et al., High-resolution image synthesis with latent diffusion models
        "2105.05233",  # Dhariwal and Nichol, Diffusion models beat GANs on image synthesis
        "2209.15571",  # Albergo and Vanden-Eijnden, Building normalizing flows with stochastic interpolants
        "2404.07724",  # Kynkäänniemi et al., Applying guidance in a limited interval
    }
    for lesson in LESSONS:
        text = lesson_file(lesson).read_text(encoding="utf-8")
        assert set(re.findall(r"(?:arxiv\.org/abs/|arXiv[: ])(\d{4}\.\d{5})", text)) <= known, lesson.stem
        assert all(a == b for a, b in re.findall(r"\[arXiv:([\d.]+)\]\(https://arxiv\.org/abs/([\d.]+)\)", text))


def test_the_map_of_the_package_is_the_tree():
    """Each part of the package is in the map, each file that the map names exists, and the layers are those tested."""
    entries = re.findall(r"^ {6}(\w+(?:/|\.py)) +(.*(?:\n {10,}.*)*)", DESIGN, re.MULTILINE)
    rooms = {name.removesuffix("/").removesuffix(".py") for name, _ in entries}
    assert rooms | {"errors", "events", "hub", "workflows"} == set().union(*LAYERS)
    for name, text in entries:
        folder = ROOT / "src" / "ancestral" / name
        assert folder.exists(), name
        missing = [file for file in re.findall(r"\w+\.py", text) if not list(folder.rglob(file))]
        assert name.endswith(".py") or not missing, missing
    layers = [
        set(line.split()) for line in DESIGN.split("(`tests/test_imports.py`):\n\n")[1].split("\n\n")[0].splitlines()
    ]
    assert layers == LAYERS


def test_no_document_names_a_path_of_one_machine():
    for path in [ROOT / page for page in PAGES] + [ROOT / "Makefile", ROOT / "mkdocs.yml", ROOT / ".ci" / "run"]:
        assert not re.search(r"(?<![\w.])/(work|root|home|tmp)/", path.read_text(encoding="utf-8")), path

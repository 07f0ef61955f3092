"""Pages that mkdocs generates: the lessons from their notebooks, the changelog, and the JSON Schemas from the
declarations. What pages of the repository hold of tables and declarations is written by blocks.py.

mkdocs calls `on_config`, `on_files` and `on_page_markdown` (mkdocs.yml names this file under `hooks`).
"""

import contextlib
import html
import io
import json
import re
import shutil
import tomllib
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

from ancestral import load
from ancestral.base import registries
from ancestral.declarations import USE_CASES
from ancestral.faces.schema_files import schema_files
from ancestral.page import web_page
from ancestral.page.web_page import global_script
from ancestral_course import LESSONS, lesson_file
from ancestral_course.command import main as course_main

ROOT = Path(__file__).parents[2]
TABLES = {name: table for name, table in vars(registries).items() if isinstance(table, registries.Registry)}
TEMPLATE = """\
{% extends 'markdown/index.md.j2' %}
{% block stream %}
```text
{{ output.text | strip_ansi }}
```
{% endblock stream %}
{% block data_text %}
```text
{{ output.data['text/plain'] }}
```
{% endblock data_text %}
{% block data_png %}
![{{ output.metadata.alt }}]({{ output.metadata.filenames['image/png'] | path2url }})
{% endblock data_png %}
"""
"""A lesson as Markdown: nbconvert's template, with outputs fenced."""
STEPS = {
    2: ("1. Signal and noise", "view=forward", "noise"),
    3: ("2. The mean of the reverse step, in three forms", "view=field&at=600", "the score"),
    5: ("4. NCSN (2019): the score, at many noise levels", "view=field&schedule=geometric&at=600", "the score"),
    6: ("10. How few evaluations?", "view=compare&schedule=linear&steps=15", "samplers side by side"),
    7: ("5. What guidance does to the samples", "view=paths&show=samples&class=1&scale=4", "guidance"),
    9: ("5. Has it memorised the images?", "view=network&n=40&sampler=heun&steps=20", "a network that generalises"),
}
"""Steps of the playground that lessons show: below which section, in which state, and what the step shows."""
SEEN = tomllib.loads((ROOT / "course" / "lessons" / "alt.toml").read_text(encoding="utf-8"))
"""What is seen in each picture of the lessons: by their stem, and the heading above the picture, in order."""
STEP_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Playground</title>
<link rel="stylesheet" href="playground.css"></head>
<body class="pg-embed">
{form}
<script>
addEventListener("message", ({{ data }}) => data.scheme && (document.body.dataset.mdColorScheme = data.scheme));
</script>
<script src="diffusion.js"></script><script src="training.js"></script><script src="playground.js"></script>
</body></html>
"""
"""A step of the playground, without the site around it, for the frames of lessons."""


def on_config(config):
    """Add the lessons to the navigation."""
    learn = next(section["Learn"] for section in config.nav if "Learn" in section)
    learn += [{f"{lesson.number}. {lesson.title}": f"learn/{lesson.stem}.md"} for lesson in LESSONS]
    return config


def on_files(files, config):
    """Add the generated pages, pictures and files of the lessons, the theory of the playground, and JSON Schemas."""
    for path, content in generated().items():
        files.append(File.generated(config, path, content=content))
    for lesson in LESSONS:
        for suffix in (".py", ".ipynb"):
            source = lesson_file(lesson, suffix)
            files.append(File.generated(config, f"learn/{source.name}", abs_src_path=str(source)))
    theory = global_script("diffusion.js", "Ancestral")  # the playground computes with the package's file
    files.append(File.generated(config, "assets/playground/diffusion.js", content=theory))
    files.append(File.generated(config, "assets/playground/digits.html", content=digits_page()))
    files.append(File.generated(config, "assets/playground/step.html", content=step_page()))
    for name, schema in schema_files().items():
        content = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        files.append(File.generated(config, f"schemas/{name}.json", content=content))
    return files


def on_page_markdown(markdown, page, config, files):
    """Put what is made from declarations into the pages that have its place, and lead links to pages of the site.

    In the repository pages link to the notebooks of the lessons and to CHANGELOG.md, of which the site has pages.
    """
    for name, write in PLACES.items():
        if name in markdown:
            markdown = markdown.replace(name, write())
    root = "../" * page.file.src_uri.count("/")
    markdown = re.sub(r"\]\((?:\.\./)+course/lessons/(\w+)\.ipynb", rf"]({root}learn/\1.md", markdown)
    return re.sub(r"\]\((?:\.\./)+CHANGELOG\.md", f"]({root}changelog.md", markdown)


def on_page_content(content, page, config, files):
    """Put what the docstrings of settings read from the tables of parts in its place."""
    for name, table in TABLES.items():
        content = content.replace(f"{{{name}}}", html.escape(table.described))
    return content


def on_post_build(config):
    """Remove what this site has no use for: stemmers of other languages, source maps, and the page of a server for a
    missing page.
    """
    site = Path(config.site_dir)
    shutil.rmtree(site / "assets" / "javascripts" / "lunr")
    for path in [*site.glob("assets/**/*.map"), site / "404.html"]:
        path.unlink()


def generated() -> dict[str, str | bytes]:
    """Return the generated pages and pictures, by their path in the site's source."""
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("](docs/", "](")  # from the root of the site
    pages: dict[str, str | bytes] = {
        "changelog.md": "---\nhide: [navigation]\n---\n\n" + changes,
    }
    for lesson in LESSONS:
        page, pictures = lesson_page(lesson)
        pages |= {f"learn/{lesson.stem}.md": page, **{f"learn/{name}": data for name, data in pictures.items()}}
    return pages


def digits_page() -> str:
    """Return the page of a trained model of digits, which the playground shows."""
    model = load(ROOT / "docs" / "assets" / "playground" / "digits.safetensors")
    text = (
        f"A network of {model.parameters:,} parameters, trained for {model.step:,} steps on 5,000 handwritten digits."
    )
    return web_page.page(model, "Digits", text)


def step_page() -> str:
    """Return the page that shows a step of the playground in a lesson: the form of the playground's page alone."""
    text = (ROOT / "docs" / "playground.md").read_text(encoding="utf-8")
    return STEP_PAGE.format(form=text[text.index("<form") : text.index("</form>")] + "</form>")


def _add_step(notebook, number: int) -> None:
    """Put the step of the playground whose subject a lesson has below the section's first cell."""
    if number not in STEPS:
        return
    section, state, subject = STEPS[number]
    place = next(i for i, cell in enumerate(notebook.cells) if f"## {section}\n" in f"{cell.source}\n")
    state = html.escape(state)
    source = (
        f'<iframe class="pg-lesson" src="../assets/playground/step.html#{state}" title="Playground: {subject}" '
        f'loading="lazy"></iframe>\n<p class="pg-lesson-link">A step of the playground, computed in this page. '
        f'<a href="../playground.html#{state}">Open it in full: {subject}</a></p>'
    )
    notebook.cells.insert(place + 1, nbformat.v4.new_markdown_cell(source))


def lesson_page(lesson) -> tuple[str, dict[str, bytes]]:
    """Return the page of a lesson, and its pictures by the paths that the page names them by."""
    notebook = nbformat.read(lesson_file(lesson, ".ipynb"), as_version=4)
    _describe_pictures(notebook, SEEN[lesson.stem])
    _add_step(notebook, lesson.number)
    notebook, _ = CoalesceStreamsPreprocessor().preprocess(notebook, {})  # lines that were printed one by one
    exporter = MarkdownExporter(extra_loaders=[DictLoader({"lesson.md.j2": TEMPLATE})], template_file="lesson.md.j2")
    resources = {"unique_key": lesson.stem, "output_files_dir": f"{lesson.stem}_files"}
    text, resources = exporter.from_notebook_node(notebook, resources)
    text = re.sub(r"<details>", '<details markdown="1">', text)
    files = (
        f"\n\nLesson {lesson.number}: this page is its notebook, with the outputs. To work in it, download the "
        f"[notebook]({lesson.stem}.ipynb){{: download=''}} or the [script]({lesson.stem}.py){{: download=''}}, or copy "
        f"all lessons with `ancestral-course start my-course` ([about the course](index.md)).\n"
    )
    heading, _, rest = text.lstrip().replace("](../../docs/", "](../").partition("\n")
    return heading + files + rest, resources["outputs"]


def _describe_pictures(notebook, texts: dict[str, list[str]]) -> None:
    """Give each picture of a notebook its text for readers who do not see it.

    Args:
        notebook: The notebook.
        texts: What is seen in the pictures below each heading, in order.

    Raises:
        PluginError: Below a heading there are not as many texts as pictures.
    """
    heading, pictures = "", {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            prose = re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL)
            heading = (re.findall(r"^#+ (.*)$", prose, re.MULTILINE) or [heading])[-1]
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                pictures.setdefault(heading, []).append(output)
    for heading in pictures | texts:
        outputs, descriptions = pictures.get(heading, []), texts.get(heading, [])
        if len(outputs) != len(descriptions):
            counts = f"{len(outputs)} pictures of the notebook and {len(descriptions)} texts of course/lessons/alt.toml"
            raise PluginError(f"below the heading {heading!r} are {counts}; write one text for each picture")
        for output, text in zip(outputs, descriptions, strict=True):
            output.metadata["alt"] = text


def course_commands() -> str:
    """Return what `--help` says of each command of the course."""
    blocks = []
    for words in ([], ["start"], ["check"], ["solutions"]):
        with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
            course_main([*words, "--help"])
        blocks.append(f"```text\n{text.getvalue()}```")
    return "\n\n".join(blocks)


def functions() -> str:
    """Return the entries of the functions of the use cases in the reference."""
    names = [*(case.function for case in USE_CASES), "train_steps"]
    entry = "::: ancestral.faces.python.{0}\n    options:\n      heading: ancestral.{0}\n      toc_label: {0}\n"
    return "\n".join(map(entry.format, names))


def workflows() -> str:
    """Return the entries of the modules that plan and run the use cases in the reference."""
    return "\n\n".join(f"::: {case.module}" for case in USE_CASES)


def digits_window() -> str:
    """Return a link to the page of a trained model that the playground shows in a frame."""
    return '[Open it in a window of its own](assets/playground/digits.html){: target="_blank"}.'


def schema_list() -> str:
    """Return links to the JSON Schemas, in a sentence."""
    return ", ".join(f"[{name}](../schemas/{name}.json)" for name in schema_files()) + "."


PLACES = {
    "<!-- course commands -->": course_commands,
    "<!-- window of digits -->": digits_window,
    "<!-- functions -->": functions,
    "<!-- schemas -->": schema_list,
    "<!-- workflows -->": workflows,
}

"""The lessons of the course: what each teaches, and copies of them to work in."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ancestral.base import storage
from ancestral.errors import InputError

PACKAGED = Path(__file__).parent / "lesson_files"
REPOSITORY = Path(__file__).parents[2] / "lessons"


@dataclass(frozen=True)
class Lesson:
    """A lesson: its number, the name of its file, its title, and what it teaches.

    Args:
        number: Number of the lesson, from 1.
        stem: Name of its files without the ending.
        title: Title.
        summary: What it teaches, in one line.
        minutes: Time to execute it on two idle CPU cores, in minutes, rounded up.
        needs: Numbers of the lessons that it builds on.
    """

    number: int
    stem: str
    title: str
    summary: str
    minutes: int
    needs: tuple[int, ...]


LESSONS = (
    Lesson(1, "01_ddpm_from_scratch", "DDPM from scratch", "a DDPM in 230 lines of PyTorch, trained on digits", 7, ()),
    Lesson(2, "02_forward_process", "The forward process", "signal, noise and SNR; points, digits and sound", 1, (1,)),
    Lesson(
        3,
        "03_reverse_process_and_bound",
        "The reverse process and the bound",
        "from the posterior to L_simple",
        1,
        (2,),
    ),
    Lesson(4, "04_the_papers_choices", "What the paper's choices buy", "ablations with error bars", 2, (1, 3)),
    Lesson(5, "05_history", "History as one matrix", "methods from 2019 to today, each a row changed", 2, (2, 3)),
    Lesson(6, "06_samplers", "Samplers", "ODE and SDE, measured orders, few evaluations", 1, (2, 5)),
    Lesson(7, "07_guidance", "Guidance", "class conditions, guidance, and what it costs", 1, (6,)),
    Lesson(8, "08_likelihood", "Likelihood", "bits/dim, rate-distortion, the exact likelihood of the flow", 1, (3,)),
    Lesson(9, "09_your_own_images", "Your own images", "doctor, train, evaluate, memorisation", 2, (1,)),
    Lesson(10, "10_change_the_core", "Change the core", "a custom network, schedule, target and sampler", 1, (5, 6)),
    Lesson(11, "11_few_evaluations", "Few evaluations", "consistency tuning and progressive distillation", 2, (6,)),
    Lesson(
        12, "12_larger_images", "Larger images", "cost, patches, noise schedule and target up to 256 pixels", 2, (2, 10)
    ),
    Lesson(
        13, "13_conditions", "Conditions", "vectors, classes and images as conditions, and their evaluation", 2, (7,)
    ),
    Lesson(
        14,
        "14_edit_and_restore",
        "Edit and restore",
        "inpaint, sharpen, vary, interpolate; how far to trust it",
        3,
        (13,),
    ),
    Lesson(
        15,
        "15_a_page_of_your_own",
        "A page of your own",
        "one file that samples in a browser, in plain arrays",
        1,
        (6,),
    ),
    Lesson(
        16,
        "16_continuous_time",
        "Continuous time",
        "Fokker-Planck, every sampler at once, why the losses work",
        1,
        (3, 5, 6),
    ),
    Lesson(
        17, "17_latents", "Latents", "the best autoencoder, its floor, noise on latents; a model of latents", 2, (8, 12)
    ),
    Lesson(18, "18_build_it", "Build it", "DDPM, NCSN, VP-SDE and flow matching from an empty file", 1, (3, 5, 6)),
    Lesson(19, "19_in_words", "In words", "captions: attention derived, binding, guidance, composition", 3, (7, 13)),
    Lesson(
        20,
        "20_proper_scores",
        "Scores that cannot be cheated",
        "proper scores, and a network that samples in one evaluation",
        1,
        (11, 13),
    ),
    Lesson(
        21,
        "21_forecasts",
        "A forecast is a distribution",
        "lead times, a model rolled out beside a closed form, errors by blocks of time",
        1,
        (13, 20),
    ),
)

PATHS = {
    "Understand it": ("the lecture's models, from the forward process to guided samples", (1, 2, 3, 5, 6, 7)),
    "Use it": ("train, judge, condition, edit and show models of your own data", (1, 2, 3, 5, 6, 7, 9, 13, 14, 15, 19)),
    "Forecast with it": (
        "samples as the forecast of what comes next, and scores that say what it is worth",
        (1, 2, 3, 5, 6, 7, 11, 13, 20, 21),
    ),
    "Derive and build it": ("every equation, and four methods from an empty file", (1, 2, 3, 5, 6, 8, 16, 18)),
}
"""Ways through the course: what each is for, and its lessons in their order. Each has what its lessons build on."""


def find_lesson(number: int) -> Lesson:
    """Return a lesson by its number. Raises InputError if there is none."""
    for lesson in LESSONS:
        if lesson.number == number:
            return lesson
    raise InputError(f"there is no lesson {number}; there are lessons 1 to {len(LESSONS)}")


def lesson_file(lesson: Lesson, suffix: str = ".py") -> Path:
    """Return the path of a lesson's script (or, with suffix ".ipynb", its notebook)."""
    return (PACKAGED if PACKAGED.is_dir() else REPOSITORY) / f"{lesson.stem}{suffix}"


def copy_lessons(folder: Path, change: Callable[[str, str], str] | None = None) -> tuple[list[Path], list[Path]]:
    """Copy the scripts and notebooks of all lessons into a folder. Files that exist already are kept.

    Args:
        folder: The folder, which is created if needed.
        change: Changes the text of a file with a suffix, such as `solutions.without_solutions`.

    Returns:
        The copies that were written, and the files that were there.

    Raises:
        InputError: The folder is a file, or cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the lessons")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}); name another folder for the lessons") from None
    written, kept = [], []
    for lesson in LESSONS:
        for suffix in (".py", ".ipynb"):
            target = folder / f"{lesson.stem}{suffix}"
            if target.exists():
                kept.append(target)
                continue
            if change:
                text = lesson_file(lesson, suffix).read_text(encoding="utf-8")
                storage.write_text(target, change(text, suffix))
            else:
                shutil.copyfile(lesson_file(lesson, suffix), target)
            written.append(target)
    return written, kept

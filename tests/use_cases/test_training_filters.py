"""The filters of a run's events: what is logged, when the report is written, and that events pass in their order."""

import math

from PIL import Image

from ancestral.base.events import Message, Work
from ancestral.config.run_files import MeasuredDistance, ValidationLosses
from ancestral.training import Progress
from ancestral.use_cases.training.run_report import logged, reported
from ancestral.use_cases.training.training_previews import Preview

GRID, FILM = Image.new("L", (1, 1)), Image.new("L", (2, 1))


def progress(step, steps=10, **more):
    numbers = {"loss": 1.0, "by_time": (), "lr": 0.1, "gradient_norm": 1.0, "images_per_second": 1.0, "seconds": 1.0}
    rest = {"seconds_left": math.nan, "saved": False, "T": 1000, "memory": 0}
    return Progress(step, steps, **numbers, **rest, **more)


class Log:
    """A log that names what it is given, and fails where it is told to."""

    def __init__(self, failing=()):
        self.failing, self.given = failing, []

    def log(self, event):
        self.given.append(event.step)
        return f"could not log step {event.step}" if event.step in self.failing else None

    def picture(self, image, step):
        assert image is GRID
        self.given.append(("grid", step))


class Report:
    """A report that is stale from a step on until it is written."""

    def __init__(self):
        self.stale, self.written = False, []

    def write(self, film=None, last=False):
        self.stale = False
        self.written.append((film, last))
        return "could not write the report" if film is FILM else None


def test_steps_are_logged_by_their_number_their_notes_and_their_measurements():
    validation, distance = ValidationLosses(4, 1.0, 1.0, 0.0, 0.0), MeasuredDistance(7, 0.1, 0.01)
    steps = [
        *(progress(step) for step in (1, 2)),
        progress(3, notes=("a note",)),
        *(progress(step, validation=validation) for step in (4, 5, 6)),
        *(progress(step, distance=distance) for step in (7, 8)),
        *(progress(step) for step in (9, 10)),
    ]
    log = Log()
    assert list(logged(iter(steps), log, every=5)) == steps
    assert log.given == [3, 4, 5, 7, 10]


def test_a_step_is_logged_before_it_is_shown_and_a_failure_said_after_it():
    log, shown = Log(failing=(1,)), []
    for event in logged(iter([progress(1), Work("a", 0, 1), progress(2)]), log, every=1):
        shown.append((type(event).__name__, len(log.given)))
    assert shown == [("Progress", 1), ("Message", 1), ("Work", 1), ("Progress", 2)]


def test_previews_are_logged_and_end_in_the_report():
    log, report = Log(), Report()
    events = [progress(1), Preview(1, False, GRID, FILM), Preview(1, False), progress(2)]
    shown = list(reported(logged(iter(events), log, every=1), report))
    assert shown == [events[0], Message("could not write the report"), events[3]]
    assert log.given == [1, ("grid", 1), 2]
    assert report.written == [(FILM, False), (None, False)]


def test_the_report_is_written_where_it_is_stale_and_where_the_run_stops():
    report = Report()
    steps = [progress(1), progress(2), progress(3), progress(4, stopped=True)]
    for event in reported(iter(steps), report):
        report.stale = event.step == 2
    assert report.written == [(None, False), (None, True)]
    report, last = Report(), progress(10, stopped=True)
    report.stale = True
    assert list(reported(iter([last]), report)) == [last]
    assert report.written == []  # the preview of the last step writes it

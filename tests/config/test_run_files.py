"""The logs and grids of samples in a run folder, as all readers see them."""

import pytest

from ancestral.config.run_files import CONFIG, IN_RUN, RUN_OR_MODEL, grids_of, is_run, last_row, read_log

HEADER = "step,loss,seconds\n"


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log.csv"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", []),
        (HEADER, []),
        (HEADER + "10,0.5,1\n20,nan,2\n", [[10, 0.5, 1], [20, None, 2]]),
        (HEADER + "10,0.5,1\n20,0.25", [[10, 0.5, 1]]),  # cut short
        (HEADER + "10,0.5,1\n20,?,2\n-1,0.5,3\n30,0.5\n", [[10, 0.5, 1]]),  # damaged
        (HEADER + "10,0.5,1\n20,0.4,2\n15,0.3,3\n", [[10, 0.5, 1], [15, 0.3, 3]]),  # after a rollback
        ("\xff\xfe,,\n" * 3, []),
    ],
)
def test_a_log_has_the_rows_that_are_whole(text, rows, log):
    log.write_text(text, encoding="latin-1")
    found = [[None if number != number else number for number in row] for row in read_log(log).rows]
    assert found == rows
    last = last_row(log)
    assert (last is None) == (not rows)
    assert last is None or last[0] == rows[-1][0]


def test_a_log_that_is_missing_has_none(log):
    assert read_log(log).rows == []
    assert last_row(log) is None


def test_the_last_row_passes_over_lines_that_are_damaged(log):
    log.write_text(HEADER + "10,0.5,1\n20,?,2\n30,0.5\n40,0.1", encoding="utf-8")
    assert last_row(log) == [10, 0.5, 1]


def test_grids_of_samples_are_named_by_their_steps(tmp_path):
    for name in ("000200.png", "000030.png", "1000000.png", "7.png", "seed0.png", "000040.gif"):
        (tmp_path / name).touch()
    assert [*grids_of(tmp_path)] == [30, 200, 1_000_000]
    assert grids_of(tmp_path / "none") == {}


def test_a_run_is_a_config_with_what_training_wrote(tmp_path):
    for name in IN_RUN:
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).touch()
        assert not is_run(folder)
        (folder / CONFIG).touch()
        assert is_run(folder)
    assert set(RUN_OR_MODEL) <= {CONFIG, *IN_RUN}

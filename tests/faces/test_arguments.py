"""Bad arguments from Python end in one line that names the argument and says what it takes."""

import numpy as np
import pytest
import torch
from torch import nn

import ancestral
from ancestral import config, samplers, schedules
from ancestral.base.arguments import checked
from ancestral.base.errors import InputError
from ancestral.config import Config


def test_a_checked_function_is_the_function():
    @checked
    def area(width: int, height: float = 2.0, *, name: str | None = None) -> str:
        """Doc."""
        return f"{name} {type(width).__name__} {width * height}"

    assert area.__doc__ == "Doc."
    assert area(np.int32(3), name="a") == "a int 6.0"
    with pytest.raises(InputError, match=r"^height cannot be 'x': give a number$"):
        area(3, "x")
    with pytest.raises(TypeError, match=r"area\(\) got an unexpected keyword argument 'depth'"):
        area(3, depth=1)


def test_every_message_is_one_line():
    assert str(InputError("a\x1b[31mb: one\n    two\tthree\udc80")) == r"a\x1b[31mb: one two\tthree\udc80"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "a"
    settings = {"steps": 2, "batch_size": 8, "width": 16, "sample_every": 100}
    return ancestral.train("points", out=out, progress=False, **settings).model


class Fails(torch.utils.data.Dataset):
    def __len__(self):
        return 20

    def __getitem__(self, index):
        if index == 13:
            raise KeyError("gone")
        return torch.zeros(1, 8, 8)


class Mute(nn.Module):
    """Gives NaN."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x, t):
        return self.layer(x) * float("nan")


NAN = ancestral.targets.Target("nan", lambda a, b: float("nan"), lambda a, b: 1.0)
WRONG = {
    "train: config": (lambda m: ancestral.train(5), "config cannot be 5: give text, a Config or None"),
    "train: out": (lambda m: ancestral.train(out="a\0b"), "out cannot be 'a.x00b': give text, a path or None"),
    "train: item": (
        lambda m: ancestral.train(data=Fails(), progress=False),
        "item 13 of Fails cannot be read",
    ),
    "train: net": (lambda m: ancestral.train("points", net=Mute(), progress=False), "not finite"),
    "train: target": (lambda m: ancestral.train("points", target=NAN, progress=False), "not finite"),
    "train: own net": (
        lambda m: ancestral.train("points", net=lambda s, c: nn.Linear(2, 2), width=5),
        "width is for net='unet' or net='transformer' or net='mlp', and this network is of another kind",
    ),
    "train: own schedule": (
        lambda m: ancestral.train("points", schedule=schedules.linear(10), timesteps=5),
        "has no settings",
    ),
    "train: width": (
        lambda m: ancestral.train("digits", width=2**14, progress=False),
        r"GB are free: give a smaller width$",
    ),
    "train: batch": (lambda m: ancestral.train("points", batch_size=10**12, progress=False), "smaller .*batch_size"),
    "train: timesteps": (lambda m: ancestral.train("points", timesteps=10**12, progress=False), "1 to 1,000,000"),
    "train: run": (lambda m: ancestral.train(data=m.file.parent), "is a run folder"),
    "train: optimiser": (
        lambda m: ancestral.train("points", optimiser="sgd"),
        "optimiser cannot be 'sgd': give adam or muon, or from Python a function such as torch.optim.SGD",
    ),
    "train: no schedule": (
        lambda m: ancestral.train("points", schedule="lineal"),
        "unknown schedule 'lineal'; did you mean linear",
    ),
    "train: option": (lambda m: ancestral.train("points", stepz=3), "did you mean steps"),
    "train: function": (lambda m: ancestral.train("points", lr_schedule="no_such:function"), "cannot be imported"),
    "train: no network": (lambda m: ancestral.train("points", net=lambda s, c: "no network"), "not a torch.nn.Module"),
    "train: network fails": (lambda m: ancestral.train("points", net=lambda s, c: 1 / 0), "ZeroDivisionError"),
    "train: shape": (lambda m: ancestral.train(data=torch.zeros(3, 2, 2, 2, 2, 2)), "shape"),
    "train: constant": (
        lambda m: ancestral.train(data=torch.full((9, 3, 8, 8), 255, dtype=torch.uint8), progress=False),
        "nothing but the value 255: .* channels=4",
    ),
    **{
        f"train: {name}": (lambda m, name=name: ancestral.train("points", **{name: 3}), f"{name} cannot be 3")
        for name in ("schedule", "target", "objective", "initial")
    },
    "train: mults": (lambda m: ancestral.train("digits", mults="wide"), "mults cannot be"),
    "runs": (lambda m: ancestral.runs(3), "folder cannot be 3"),
    "load: none": (lambda m: ancestral.load(None), "path cannot be None: give text or a path"),
    "load: control": (lambda m: ancestral.load("a\x1b[31m"), r"file a\\x1b\[31m;"),
    "sample: indices": (lambda m: m.sample(indices="ab"), "indices cannot be 'ab'"),
    "sample: large index": (lambda m: m.sample(indices=[2**70]), "from 0 to"),
    "sample: no index": (lambda m: m.sample(indices=[]), "at least one item"),
    "sample: class": (lambda m: m.sample(sampler=samplers.DDIM), "sampler cannot be the class DDIM"),
    "sample: empty": (lambda m: m.sample(sampler=""), "unknown sampler ''"),
    "sample: twice": (lambda m: m.sample(sampler="heun:steps=3,steps=4"), "of the sampler heun twice"),
    "sample: eta": (
        lambda m: m.sample(sampler="ddim:eta=nan"),
        "cannot be nan: give a number",
    ),
    "sample: guidance": (lambda m: m.sample(guidance="x"), "guidance must be a finite number, not 'x'"),
    "sample: n": (lambda m: m.sample(10**15), "GiB of memory"),
    "evaluate: no samples": (lambda m: ancestral.evaluate(m, "moons", samples=0), "samples must be at least 1, not 0"),
    "evaluate: samples": (lambda m: ancestral.evaluate(m, "moons", samples=2.5), "cannot be 2.5: give a whole number"),
    "evaluate: passes": (lambda m: ancestral.evaluate(m, "moons", passes=3), "passes is an option of likelihood"),
    "evaluate: steps": (lambda m: ancestral.evaluate(m, "moons", samples=False, steps=3), "is an option of samples"),
    "evaluate: twice": (
        lambda m: ancestral.evaluate(m, "moons", sampler=samplers.DDIM(steps=3), steps=3),
        "leave steps out",
    ),
    "evaluate: batch": (lambda m: ancestral.evaluate(m, "moons", batch_size=0), "batch_size must be at least 1"),
    "evaluate: seed": (lambda m: ancestral.evaluate(m, "moons", seed=None), "seed cannot be None: give a whole number"),
    "evaluate: model": (lambda m: ancestral.evaluate(nn.Linear(2, 2)), "model cannot be a Linear"),
    "evaluate_samples: n": (
        lambda m: ancestral.evaluate_samples(torch.rand(5, 1, 8, 8), torch.rand(5, 1, 8, 8), n=9),
        "n must be 1 to 5",
    ),
    "compare: runs": (lambda m: ancestral.compare(5), "runs cannot be 5: give text, a path, a Model or a sequence"),
    "push: model": (lambda m: ancestral.push(3, "hf://a/b"), "model cannot be 3: give a Model, text or a path"),
    "push: address": (lambda m: ancestral.push(m, "hf://a/b@@c"), "is no address"),
    "config": (lambda m: Config.from_json(None), "is not JSON"),
    "schedule: NaN": (lambda m: schedules.Schedule([1, 0.5], [0, float("nan")]), "finite numbers"),
    "schedule: lengths": (lambda m: schedules.Schedule([1, 0.5], [0, 0.5, 1]), r"not \[2\] and \[3\]"),
    "schedule: text": (lambda m: schedules.Schedule("a", 5), "tables of numbers"),
    "schedule: start": (lambda m: schedules.Schedule([0.9, 0.5], [0.1, 0.5]), "begin with 1"),
    "schedule: falls": (lambda m: schedules.Schedule([1, 0.5, 0.9], [0, 0.5, 0.1]), "must not fall"),
    "schedule: prior": (lambda m: schedules.Schedule([1, 0.5], [0, 0.5], float("nan")), "above 0"),
}


@pytest.mark.parametrize("call", WRONG)
def test_bad_arguments_end_in_one_line(call, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, message = WRONG[call]
    with pytest.raises(InputError, match=message) as caught:
        function(model)
    assert "--" not in str(caught.value)
    assert [*tmp_path.iterdir()] == []


def test_tables_of_a_schedule_may_be_lists():
    schedule = schedules.Schedule([1, 0.8, 0.0], np.array([0, 0.6, 1.0], dtype=np.float32))
    assert schedule.signal.dtype == schedule.noise.dtype == torch.float64
    assert schedule.steps == 2


@pytest.mark.parametrize(
    "indices", [np.array([1, 3]), torch.tensor([1, 3]), [np.int64(1), np.int64(3)], range(1, 4, 2)]
)
def test_indices_may_be_numbers_of_other_libraries(model, indices):
    assert torch.equal(model.sample(indices=indices, steps=2), model.sample(indices=[1, 3], steps=2))


def test_colour_compared_with_grey_is_said(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    (tmp_path / "rgb").mkdir()
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "rgb" / f"{i}.png")
    grey = torch.randint(0, 256, (12, 1, 8, 8), dtype=torch.uint8)
    result = ancestral.evaluate_samples(grey, str(tmp_path / "rgb"), extractor="pixels", progress=False)
    assert "The data, 3 x 8 x 8, was converted to the shape of the samples, 1 x 8 x 8." in str(result)


def test_one_value_stands_for_several():
    config_ = config.preset("digits").with_settings(trackers="none", mults=2)
    assert (config_.runtime.trackers, config_.net.mults) == (("none",), (2,))

"""Programs of networks for browsers: their numbers in Chromium are PyTorch's with the same weights."""

import base64
import copy
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ancestral
from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image, Vector, Words, argument_name
from ancestral.config import Config, ProcessConfig, TransformerConfig
from ancestral.data.spec import Codec, DataSpec
from ancestral.model import Model, build
from ancestral.page import network_program, program_builder
from ancestral.page.web_page import global_script
from tiny_models import untrained

BROWSER = Path(ancestral.__file__).parent / "page"
EVALUATE = """async ([kernels, program, weights, inputs]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const network = await Ancestral.network(bytes(kernels), JSON.parse(program), bytes(weights));
  return inputs.map((values) => Array.from(network.evaluate(values)));
}"""


@pytest.fixture(scope="module")
def evaluate(chromium):
    """The outputs of a program in Chromium for some inputs, each a dictionary of tensors for one item."""
    page = chromium.new_page()
    page.add_script_tag(content=global_script("network.js", "Ancestral"))

    def call(compiled, *inputs):
        kernels, weights = (
            base64.b64encode(data).decode() for data in ((BROWSER / "kernels.wasm").read_bytes(), compiled.weights)
        )
        values = [{name: tensor.flatten().tolist() for name, tensor in each.items()} for each in inputs]
        outputs = page.evaluate(EVALUATE, [kernels, json.dumps(compiled.program), weights, values])
        return [torch.tensor(output).view(1, *compiled.program["output"]["shape"][1:]) for output in outputs]

    yield call
    page.close()


def randomised(net):
    """The network with weights that are nowhere zero, as they are in a browser: rounded."""
    generator = torch.Generator().manual_seed(0)
    net = copy.deepcopy(net).float().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            fan = max(1, parameter[0].numel()) if parameter.ndim > 1 else 25
            noise = torch.randn(parameter.shape, generator=generator) / fan**0.5
            parameter.copy_(noise if parameter.ndim > 1 else parameter + noise)
            parameter.copy_(program_builder.rounded(parameter))
    return net


CONDITIONS = {
    "hair": Classes(("dark", "fair")),
    "pose": Vector((3.0, -1.0), (2.0, 0.5)),
    "low": Image(1, (0.0, 255.0), (4, 4)),
    "part": Image(2, (-1.0, 3.0), (8, 8), masked=True),
    "caption": Words(("\u2581a", "\u2581red", "\u2581circle"), 6),
}
ON_POINTS = {name: kind for name, kind in CONDITIONS.items() if not isinstance(kind, Image)}
VARIANCE = ProcessConfig(target="x0", learned_variance=True)


def transformer(shape, classes=(), conditions=None, **settings):
    config = replace(Config(), net=TransformerConfig(**{"width": 16, "depth": 2, "heads": 2, "patch": 2, **settings}))
    spec = DataSpec(shape, Codec("float"), classes, conditions=conditions or {})
    return Model(build(config, spec), spec, config)


def periodic(model, *axes):
    spec = replace(model.spec, periodic=axes)
    return Model(build(model.config, spec), spec, model.config)


MODELS = {
    "images, attention and labels": lambda: untrained(classes=("a", "b")),
    "images, odd sides and patches": lambda: untrained(shape=(1, 13, 14), mults=(1,), patch=2, groups=None),
    "images, odd sides and three levels": lambda: untrained(shape=(3, 9, 11), mults=(1, 2, 2)),
    "images, wide, attention at two levels": lambda: untrained(
        shape=(3, 32, 32), width=64, mults=(1, 2, 2), attention=(16, 8), groups=None
    ),
    "images, channels in no blocks of 8": lambda: untrained(shape=(3, 12, 12), width=20, groups=5),
    "images, learned variance": lambda: untrained(process=VARIANCE),
    "images, all conditions": lambda: untrained((1, 8, 8), ("a", "b"), conditions=CONDITIONS),
    "signals": lambda: untrained(shape=(2, 37), mults=(1, 2, 2), attention=()),
    "signals, attention and patches": lambda: untrained(shape=(1, 50), attention=(13, 26), patch=2),
    "images, periodic along x": lambda: periodic(untrained(shape=(1, 13, 18), mults=(1, 2), attention=(9,)), 1),
    "transformer, periodic": lambda: periodic(transformer((1, 9, 12)), 0, 1),
    "volumes": lambda: untrained(shape=(1, 5, 6, 7)),
    "volumes, patches": lambda: untrained(shape=(2, 8, 9, 12), attention=(), patch=2),
    "transformer, labels": lambda: transformer((1, 8, 8), ("a", "b")),
    "transformer, all conditions": lambda: transformer((1, 8, 8), ("a", "b"), CONDITIONS),
    "transformer, odd sides": lambda: transformer((3, 9, 11), patch=4, bottleneck=6),
    "transformer of signals": lambda: transformer((2, 31), patch=4),
    "transformer of volumes": lambda: transformer((1, 5, 6, 8), width=24),
    "points": lambda: untrained((2,)),
    "points, labels": lambda: untrained((3,), ("a", "b", "c")),
    "points, conditions, learned variance": lambda: untrained((2,), ("a", "b"), conditions=ON_POINTS, process=VARIANCE),
}

QUICK = (
    "images, all conditions",
    "images, periodic along x",
    "volumes",
    "signals, attention and patches",
    "transformer, all conditions",
)
"""The cases of `make test-browser`; `make test-long` has all."""


def compared(evaluate, net, compiled, *inputs):
    """Compare the outputs in Chromium with those of PyTorch; returns them."""
    outputs = evaluate(compiled, *inputs)
    for values, output in zip(inputs, outputs, strict=True):
        with torch.no_grad():
            expected = net(**values)
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    return outputs


@pytest.mark.browser
@pytest.mark.parametrize(
    "case", [*QUICK, *(pytest.param(name, marks=pytest.mark.long) for name in MODELS if name not in QUICK)]
)
def test_its_output_is_that_of_pytorch(evaluate, case):
    """At times between the steps too, with conditions and without."""
    model = MODELS[case]()
    net = model.diffusion.net = randomised(model.diffusion.net)
    generator = torch.Generator().manual_seed(1)
    inputs = []
    for index, present in ((0.0, True), (437.5, False), (999.0, True)):
        values = {"x": torch.randn(1, *model.spec.shape, generator=generator), "index": torch.tensor([index])}
        for name, kind in model.spec.conditions.items() if present else ():
            absent = kind.absent(1, model.spec.shape[1:])
            value = torch.randn(absent.shape, generator=generator)
            values[argument_name(name)] = value if absent.is_floating_point() else torch.ones_like(absent)
        inputs.append(values)
    compared(evaluate, net, network_program.compile_network(model), *inputs)


class Own(nn.Module):
    """A custom network, of operations that ours do not have."""

    def __init__(self):
        super().__init__()
        conv = partial(nn.Conv2d, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        self.stem = nn.Sequential(conv(2, 8), self.norm, nn.GELU(), conv(8, 8, groups=4), nn.LeakyReLU())
        self.around = nn.Sequential(conv(8, 8, padding_mode="circular"), conv(8, 8, padding_mode="reflect"))
        self.down = nn.Sequential(nn.AvgPool2d(2), conv(8, 16, dilation=2, padding=2), nn.InstanceNorm2d(16))
        self.up = nn.ConvTranspose2d(16, 8, 4, 2, 1)
        self.tokens = nn.Sequential(nn.RMSNorm(8), nn.MultiheadAttention(8, 2, batch_first=True))
        self.out = conv(8, 2)

    def forward(self, x, index):
        h = self.around(self.stem(x) * torch.log1p(index) / 5)
        d = self.down(h)
        h = h + self.up(d) + F.interpolate(d, scale_factor=2, mode="bilinear")[:, ::2]
        tokens = self.tokens[0](h.flatten(2).transpose(1, 2))
        h = h + self.tokens[1](tokens, tokens, tokens)[0].transpose(1, 2).reshape(h.shape)
        h = h + F.softmax(h, 1) + h.amax((2, 3), keepdim=True) - h.std(1, keepdim=True) + h.flip(-1).clamp(-1, 0.5)
        gram = torch.einsum("bchw,bdhw->bcd", h, h) / 80
        return self.out(h + torch.einsum("bcd,bdhw->bchw", gram, h) / 8 + F.max_pool2d(h, 2).mean().abs() ** 1.5)


@pytest.mark.browser
def test_a_network_of_ones_own(evaluate):
    torch.manual_seed(0)
    net = randomised(Own())
    inputs = {"x": torch.randn(1, 2, 8, 10), "index": torch.tensor([250.0])}
    compared(evaluate, net, network_program.compile_module(net, inputs), inputs)


@pytest.mark.long
@pytest.mark.parametrize(
    ("function", "named"),
    [(lambda x: x.cumsum(1), "cumsum"), (lambda x: F.max_pool2d(x, 3, 2, 1), "padding"), (lambda x: x.fft, "fft")],
    ids=["an operation", "a setting", "an error of its own"],
)
def test_what_cannot_run_is_named_in_one_line(function, named):
    class Net(nn.Module):
        def forward(self, x):
            return function(x)

    with pytest.raises(InputError, match=named):
        network_program.compile_module(Net(), {"x": torch.zeros(1, 2, 8, 8)})


@pytest.mark.long
def test_a_network_that_is_too_large_is_refused(monkeypatch):
    monkeypatch.setattr("ancestral.page.program_builder.MAX_MEMORY", 65_536)
    with pytest.raises(InputError, match=r"needs 0\.0 GB in a browser, which has at most 2\.1"):
        network_program.compile_network(untrained((2,)))


@pytest.mark.long
def test_weights_are_integers_of_18_bits():
    """They are within half a level of their row, twice rounded they are the same, and small ones are as they were."""
    model = untrained(shape=(3, 12, 12), width=32)
    weight = model.diffusion.net.down[0].block.conv1.weight
    levels = 2**17 - 1
    error = (program_builder.rounded(weight) - weight).detach().flatten(1).abs()
    assert (error <= weight.detach().flatten(1).abs().amax(1, keepdim=True) * 0.51 / levels).all()
    once = program_builder.rounded(weight)
    torch.testing.assert_close(program_builder.rounded(once), once, rtol=1e-6, atol=0)
    before = copy.deepcopy(model.diffusion.net.state_dict())
    weights = network_program.compile_network(model).weights
    large = sum(each.numel() for each in before.values() if each.ndim > 1)
    assert 18 / 8 * large < len(weights) < 1.1 * 18 / 8 * large
    for name, value in model.diffusion.net.state_dict().items():  # the model is left as it is
        assert torch.equal(value, before[name])

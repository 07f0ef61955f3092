"""The transformer: its parts against diffusers' and the formulas, the whole against properties that hold exactly."""

import dataclasses
import itertools

import pytest
import torch
from diffusers.models.attention_processor import Attention, HunyuanAttnProcessor2_0
from diffusers.models.embeddings import apply_rotary_emb
from torch import nn

import ancestral
from ancestral import Diffusion, config, nets, randomness, schedules, targets
from ancestral.base.errors import InputError
from ancestral.data.spec import Codec, DataSpec
from ancestral.model import Model, build
from ancestral.nets import transformer
from ancestral.nets.space import fold
from ancestral.nets.transformer import MultiHeadAttention, SwiGLU, TransformerBlock, angles, modulate, rotate
from ancestral.randomness import Stream
from ancestral.training import RunFolder, Trainer
from tiny_models import stripes, tiny_config, wake

GRIDS = {1: (24,), 2: (8, 12), 3: (8, 4, 8)}
"""Sides of items by the number of axes; the second patch of 4 of each has whole pixels."""


def small(dims=2, awake=True, **options):
    torch.manual_seed(0)
    net = nets.Transformer(**{"channels": 2, "width": 24, "depth": 2, "heads": 2, "dims": dims, **options})
    for parameter in net.parameters() if awake else ():  # wake the layers that begin at zero
        nn.init.normal_(parameter, std=0.2)
    return net.eval()


def keys(places, step=0):
    return randomness.keys(0, Stream.DROPOUT, step, places)


def rotation(grid, pairs):
    angle = angles(grid, pairs, torch.device("cpu"))
    return angle.cos(), angle.sin()


# -- the parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [(7,), (3, 5), (2, 3, 4)])
def test_a_rotation_is_diffusers_and_depends_on_differences_of_positions(grid):
    width = 24  # 12 planes: 12, 6 or 4 for each axis
    q, k = torch.randn(2, 1, 1, 1, width, dtype=torch.float64).expand(2, 1, 2, torch.Size(grid).numel(), width)
    cos, sin = (part.double() for part in rotation(grid, width // 2))
    turned = rotate(q, (cos, sin))
    theirs = apply_rotary_emb(q, (cos.repeat(1, 2), sin.repeat(1, 2)), use_real_unbind_dim=-2)
    torch.testing.assert_close(turned, theirs, rtol=1e-5, atol=1e-6)  # theirs are computed in float32
    torch.testing.assert_close(turned.norm(dim=3), q.norm(dim=3))
    products = (turned @ rotate(k, (cos, sin)).transpose(2, 3))[0, 0].view(*grid, *grid)  # of the same q and k all over
    places = list(itertools.product(*map(range, grid)))
    found = {}
    for one, other in itertools.product(places, places):
        shift = tuple(a - b for a, b in zip(one, other, strict=True))
        found.setdefault(shift, []).append(products[(*one, *other)].item())
    assert all(max(values) - min(values) < 1e-5 for values in found.values())  # the angles are float32
    values = [value for value, *_ in found.values()]
    assert len({round(value, 4) for value in values}) > 0.9 * len(values)  # and they do differ


def test_frequencies_are_shared_out_to_the_axes():
    angle = angles((3, 4), 5, torch.device("cpu"))
    assert angle.shape == (12, 5)
    for number, (y, x) in enumerate(itertools.product(range(3), range(4))):
        assert angle[number].tolist() == pytest.approx([y, y / 10, x, x / 10, 0])  # 100^(−i/2), and one left over


def test_attention_is_diffusers():
    """Their layers, norms of queries and keys, and rotation, whose planes are pairs of neighbours."""
    width, heads, grid = 24, 2, (3, 4)
    ours = MultiHeadAttention(width, heads)
    theirs = Attention(
        width, heads=heads, dim_head=12, qk_norm="layer_norm", bias=True, processor=HunyuanAttnProcessor2_0()
    )
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.5)
    order = torch.arange(12).view(2, 6).T.flatten()  # our feature of each of theirs
    whole = torch.cat([order, 12 + order])
    for layer, weight, bias in zip(
        (theirs.to_q, theirs.to_k, theirs.to_v), ours.qkv.weight.chunk(3), ours.qkv.bias.chunk(3), strict=True
    ):
        same = whole if layer is not theirs.to_v else slice(None)
        layer.load_state_dict({"weight": weight[same], "bias": bias[same]})
    for norm, own in ((theirs.norm_q, ours.norm_q), (theirs.norm_k, ours.norm_k)):
        norm.load_state_dict({"weight": own.weight[order], "bias": torch.zeros(12)})
        norm.eps = own.eps
    theirs.to_out[0].load_state_dict(ours.out.state_dict())
    x, (cos, sin) = torch.randn(2, 12, width), rotation(grid, 6)
    expected = theirs(x, image_rotary_emb=(cos.repeat_interleave(2, 1), sin.repeat_interleave(2, 1)))
    torch.testing.assert_close(ours(x, (cos, sin)), expected, rtol=1e-4, atol=1e-5)
    assert (ours(x, (cos, sin)) - ours(x, (cos, 0 * sin))).abs().max() > 0.1  # the rotation is no small thing here


def test_the_mlp_and_the_modulation_are_their_formulas():
    mlp, x = SwiGLU(12).double(), torch.randn(2, 5, 12, dtype=torch.float64)
    (gate, value), (b_gate, b_value) = mlp.gate_value.weight.chunk(2), mlp.gate_value.bias.chunk(2)
    gate, value = x @ gate.T + b_gate, x @ value.T + b_value
    torch.testing.assert_close(mlp(x), (gate * gate.sigmoid() * value) @ mlp.out.weight.T + mlp.out.bias)
    shift, scale = torch.randn(2, 2, 1, 12, dtype=torch.float64)
    normalised = (x - x.mean(2, keepdim=True)) / (x.var(2, keepdim=True, correction=0) + 1e-6).sqrt()
    torch.testing.assert_close(modulate(x, shift, scale), normalised * (1 + scale) + shift)


def test_a_new_block_is_the_identity_and_a_new_network_predicts_nothing():
    block = TransformerBlock(24, 2, 0.0)
    x, condition = torch.randn(2, 12, 24), torch.randn(2, 24)
    assert torch.equal(block(x, condition, rotation((3, 4), 6)), x)
    net = small(awake=False)
    assert (net(torch.randn(2, 2, 8, 8), torch.tensor([3, 900])) == 0).all()


# -- the whole --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_without_attention_and_positions_it_is_an_mlp_on_patches(monkeypatch, dims):
    """Its answer to an image is its answers to the patches, each taken for an image."""
    net, x = small(dims), torch.randn(2, 2, *GRIDS[dims])
    index = torch.tensor([3, 700])
    whole = fold(net(x, index), 4).flatten(2)  # (B, pixels of a patch, patches)
    patches = fold(x, 4).flatten(2).transpose(1, 2).unflatten(2, (2, *[4] * dims))  # (B, patches, C, 4, ...)

    def alone():
        answers = [net(patches[:, i], index).flatten(1) for i in range(patches.shape[1])]
        return torch.stack(answers, dim=2)

    assert not torch.allclose(whole, alone(), atol=1e-2)
    monkeypatch.setattr(
        transformer, "angles", lambda grid, pairs, *_, **__: torch.zeros(torch.Size(grid).numel(), pairs)
    )
    for block in net.blocks:
        nn.init.zeros_(block.attention.out.weight)
    torch.testing.assert_close(fold(net(x, index), 4).flatten(2), alone(), rtol=1e-4, atol=1e-5)


def test_without_positions_patches_are_a_set(monkeypatch):
    """Patches in another order get their answers in that order."""
    net, x, index = small(depth=1), torch.randn(2, 2, 8, 12), torch.tensor([3, 700])
    swapped = torch.cat([x[..., 8:], x[..., :8]], dim=3)

    def answers():
        answer = net(x, index)
        return torch.cat([answer[..., 8:], answer[..., :8]], dim=3), net(swapped, index)

    assert not torch.allclose(*answers(), atol=1e-2)
    monkeypatch.setattr(
        transformer, "angles", lambda grid, pairs, *_, **__: torch.zeros(torch.Size(grid).numel(), pairs)
    )
    torch.testing.assert_close(*answers(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sides", [(16,), (17,), (3,), (8, 12), (7, 13), (1, 9), (4, 5, 6), (3, 3, 9)])
@pytest.mark.parametrize("options", [{}, {"out_channels": 4, "bottleneck": 5, "patch": 2, "classes": 3}])
def test_any_sides_in_and_the_same_out(sides, options):
    net, x = small(len(sides), **options), torch.randn(2, 2, *sides)
    assert net(x, torch.tensor([0, 7])).shape == (2, options.get("out_channels", 2), *sides)


def test_padding_keeps_the_image_in_the_middle():
    """A size that needs padding is the padded image, cropped again."""
    net, x, index = small(), torch.randn(1, 2, 6, 11), torch.tensor([3])
    padded = torch.zeros(1, 2, 8, 12)
    padded[..., 1:7, :11] = x
    torch.testing.assert_close(net(x, index), net(padded, index)[..., 1:7, :11])


def test_labels_and_time_change_the_answer_and_minus_one_is_no_class():
    net, x, index = small(classes=10), torch.randn(1, 2, 8, 8), torch.tensor([5])

    def answer(label):
        return net(x, index, None if label is None else torch.tensor([label]))

    assert torch.equal(answer(None), answer(-1))
    assert not torch.allclose(answer(3), answer(4))
    assert not torch.allclose(net(x, index + 1), answer(None))
    with torch.no_grad():
        net.label.weight[3] = net.label.weight[10]  # the last row is "no class"
    torch.testing.assert_close(answer(3), answer(None))


def test_images_of_a_batch_do_not_mix():
    net, x, index = small(), torch.randn(3, 2, 8, 8), torch.tensor([0, 500, 999])
    together = net(x, index)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], net(x[i : i + 1], index[i : i + 1]), rtol=1e-5, atol=1e-6)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(net(last, index), together, rtol=1e-6, atol=1e-6)


def test_the_gradient_reaches_every_parameter():
    """The output begins at 0 and so do the gates, so the first steps train those alone, and the third trains all."""
    net = small(awake=False, classes=3, bottleneck=7, depth=3).train()
    denoiser = Diffusion(net, schedules.cosine(100), targets.X0)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    x0, labels = torch.randn(8, 2, 8, 8), torch.tensor([0, 1, 2, -1, 0, 1, 2, -1])
    reached = []
    for step in range(3):
        optimiser.zero_grad()
        denoiser.loss(x0, step=step, labels=labels).backward()
        reached.append({name for name, p in net.named_parameters() if p.grad.abs().max() > 0})
        optimiser.step()
    assert reached[0] == {"out.weight", "out.bias"}
    assert reached[2] == {name for name, _ in net.named_parameters()}
    assert (net.label.weight.grad.abs().amax(1) > 0).all()


# -- dropout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_keys_decide_what_is_dropped(dims):
    net = small(dims, dropout=0.1).train()
    salts = [m.salt.item() for m in net.modules() if isinstance(m, transformer.Dropout)]
    assert len(set(salts)) == len(salts) == 4
    x, index = torch.randn(3, 2, *GRIDS[dims]), torch.tensor([1, 2, 3])
    answer = net(x, index, keys=keys([0, 1, 2]))
    assert torch.equal(net(x, index, keys=keys([0, 1, 2])), answer)
    assert not torch.allclose(net(x, index, keys=keys([0, 1, 2], step=1)), answer, atol=1e-3)
    torch.testing.assert_close(net(x[2:], index[2:], keys=keys([2])), answer[2:], rtol=1e-4, atol=1e-4)
    assert torch.equal(net.eval()(x, index, keys=keys([0, 1, 2])), net(x, index))


def test_dropped_features_are_those_of_the_images_numbered_elements():
    """Of tokens (B, positions, width) element (position, feature) has the number position · width + feature."""
    layer, key = transformer.Dropout(0.5).train(), keys([4])
    flat = layer(torch.ones(1, 60), key)
    assert torch.equal(transformer.drop(layer, torch.ones(1, 5, 12), key).flatten(1), flat)


# -- in a run ---------------------------------------------------------------------------------------------------------

TINY = config.TransformerConfig(width=16, depth=2, heads=2, patch=3, dropout=0.1)


def tiny(**train):
    return dataclasses.replace(
        tiny_config(**train), net=TINY, process=config.ProcessConfig("flow", target="x0", clip=True)
    )


def untrained(shape=(3, 8, 9), classes=(), **net):
    settings = config.Config(net=dataclasses.replace(TINY, **net), process=config.ProcessConfig("cosine", target="x0"))
    spec = DataSpec(shape, Codec("uint8" if len(shape) == 3 else "float"), tuple(classes))
    denoiser = build(settings, spec)
    wake(denoiser)
    return Model(denoiser, spec, settings, step=3)


def test_a_run_that_is_resumed_is_the_run_that_was_not(tmp_path):
    """Stopped after 4 of 9 steps, with dropout, labels, and JiT's loss and times."""
    settings = tiny(steps=9, warmup=6, weighting="velocity", times="logitnormal")
    whole, first = Trainer(settings, stripes(), "cpu"), Trainer(settings, stripes(), "cpu")
    list(whole.run())
    folder = RunFolder(tmp_path / "run")
    folder.begin(settings)
    for progress in first.run():
        if progress.step == 4:
            break
    first.save(folder)
    second = Trainer(folder.read_config(), stripes(), "cpu")
    second.load(folder)
    list(second.run())
    expected, found = whole.state.tensors(), second.state.tensors()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not torch.equal(
        expected["net.blocks.1.mlp.out.weight"], first.state.tensors()["net.blocks.1.mlp.out.weight"]
    )


@pytest.mark.long
def test_its_blocks_are_what_is_compiled():
    settings = dataclasses.replace(tiny(), runtime=config.RuntimeConfig(compile=True))
    net = Trainer(settings, stripes(), "cpu").state.net
    compiled = {name for name, module in net.named_modules() if module._compiled_call_impl is not None}
    assert compiled == {"blocks.0", "blocks.1"}


@pytest.mark.parametrize("shape", [(2, 21), (3, 8, 9), (1, 4, 6, 5)])
def test_a_model_of_any_shape_is_saved_sampled_and_described(tmp_path, shape):
    model = untrained(shape)
    assert model.denoiser.net.dims == len(shape) - 1
    model.save(tmp_path / "m.safetensors")
    again = ancestral.load(tmp_path / "m.safetensors", "cpu")
    assert again.config.net == TINY
    samples = again.sample(3, sampler="ddim", steps=2)
    assert samples.shape == (3, *shape)
    assert torch.equal(samples, model.sample(3, sampler="ddim", steps=2))
    torch.testing.assert_close(model.sample(indices=[2], sampler="ddim", steps=2)[0], samples[2], rtol=0, atol=2e-2)
    assert "transformer, width 16, 2 blocks of 2 heads, patch 3, dropout 0.1" in str(again.config.net)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"width": 20, "heads": 3}, "a multiple of twice heads=3"),
        ({"width": 9, "heads": 3}, "a multiple of twice heads=3"),
        ({"width": 2, "heads": 1}, "from 4 to 65536"),
        ({"depth": 0}, "from 1 to 256"),
        ({"bottleneck": 0}, "from 1 to 65536"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
    ],
)
def test_settings_that_no_transformer_has_are_refused(settings, says):
    with pytest.raises(InputError, match=says):
        dataclasses.replace(config.preset("digits"), net=config.TransformerConfig(**settings)).check()


def test_heads_too_narrow_for_the_axes_are_refused():
    nets.Transformer(width=12, heads=2, dims=3)
    with pytest.raises(InputError, match="at least 6 for volumes"):
        nets.Transformer(width=8, heads=2, dims=3)
    with pytest.raises(InputError, match="dims=4"):
        nets.Transformer(dims=4)


def test_a_setting_of_another_kind_of_network_is_refused_with_its_kind():
    settings = config.preset("digits").with_net("transformer")
    with pytest.raises(InputError, match="mults is for net='unet', and this network is of another kind"):
        settings.with_settings(mults=(1, 2))

"""Networks with conditions: without them nothing changes, what is absent is absent, and each one counts."""

import pytest
import torch

from ancestral import nets
from ancestral.base.errors import InputError
from ancestral.conditions import Classes, Image, Vector, Words
from ancestral.nets.conditioning import WordsEncoder

CONDITIONS = {
    "hair": Classes(("dark", "fair")),
    "pose": Vector((0.0, 1.0), (1.0, 2.0)),
    "low": Image(3, (0.0, 1.0)),
    "scan": Image(1, (0.0, 1.0)),
}
UNET = {"width": 8, "mults": (1, 2), "blocks": 1, "attention": (4,), "dropout": 0.0, "groups": 2}
TRANSFORMER = {"width": 16, "depth": 1, "heads": 2, "bottleneck": None, "dropout": 0.0}
NETS = {
    "images, odd sides": ("unet", (3, 9, 11), {**UNET, "patch": 1}),
    "signals, patch": ("unet", (1, 16), {**UNET, "patch": 2}),
    "volumes": ("unet", (2, 4, 6, 5), {**UNET, "patch": 1}),
    "images in patches": ("transformer", (3, 9, 11), {**TRANSFORMER, "patch": 4}),
    "volumes in patches": ("transformer", (1, 4, 6, 5), {**TRANSFORMER, "patch": 2}),
    "points": ("mlp", (2,), {"width": 16, "blocks": 1}),
}
INDEX = torch.tensor([0, 3, 500, 999])
WORDS = Words(("▁red", "▁blue", "▁circle", "▁square"), 4)
RED_CIRCLE_BLUE_SQUARE, BLUE_CIRCLE_RED_SQUARE = torch.tensor([[0, 2, 1, 3]] * 4), torch.tensor([[1, 2, 0, 3]] * 4)


def network(case, conditions, wake=False):
    kind, shape, settings = NETS[case]
    torch.manual_seed(0)
    net = nets.build(kind, shape, 3, conditions=conditions, **settings)
    if wake:
        for parameter in net.parameters():
            parameter.data = 0.1 * torch.randn_like(parameter)
    return net, torch.randn(4, *shape)


def conditions_of(case):
    """The conditions that items of a case can have, and values as the networks take them."""
    sides = NETS[case][1][1:]
    kinds = {name: kind for name, kind in CONDITIONS.items() if sides or not isinstance(kind, Image)}
    raw = {"hair": torch.tensor([0, 1, -1, 1]), "pose": torch.randn(4, 2)}
    raw |= {name: torch.rand(4, kind.channels, *[3] * len(sides)) for name, kind in kinds.items() if name not in raw}
    return kinds, {name: kind.encode(raw[name], sides) for name, kind in kinds.items()}


@pytest.mark.parametrize("case", NETS)
def test_an_untrained_network_answers_as_without_conditions(case):
    """The shared weights are equal too."""
    plain, x = network(case, None)
    kinds, values = conditions_of(case)
    net, _ = network(case, kinds)
    assert torch.equal(net(x, INDEX, **values), plain(x, INDEX))
    state = net.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in plain.state_dict().items())


@pytest.mark.parametrize("case", NETS)
def test_absent_dropped_and_left_out_are_the_same_and_each_condition_counts(case):
    kinds, values = conditions_of(case)
    net, x = network(case, kinds, wake=True)
    sides = x.shape[2:]
    without = net(x, INDEX)
    assert torch.equal(net(x, INDEX, **{name: kind.absent(4, sides) for name, kind in kinds.items()}), without)
    every = torch.ones(4, dtype=torch.bool)
    assert torch.equal(net(x, INDEX, **{name: kind.drop(values[name], every) for name, kind in kinds.items()}), without)
    for name, value in values.items():
        alone = net(x, INDEX, **{name: value})
        rows = (alone - without).flatten(1).abs().amax(1) > 0
        assert rows.tolist() == ([True, True, False, True] if name == "hair" else [True] * 4), name


@pytest.mark.parametrize("case", NETS)
def test_an_untrained_network_does_not_depend_on_words_and_a_trained_one_on_their_order(case):
    net, x = network(case, {"caption": WORDS})
    assert torch.equal(net(x, INDEX, caption=RED_CIRCLE_BLUE_SQUARE), net(x, INDEX))
    net, x = network(case, {"caption": WORDS}, wake=True)
    for parameter in net.parameters():
        parameter.data *= 5
    outputs = [net(x, INDEX, caption=tokens) for tokens in (RED_CIRCLE_BLUE_SQUARE, BLUE_CIRCLE_RED_SQUARE)]
    assert (outputs[0] - outputs[1]).flatten(1).abs().amax(1).min() > 1e-3


def test_the_embedding_of_a_word_is_the_same_beside_each_other_word_and_its_features_are_not():
    torch.manual_seed(0)
    encoded = WordsEncoder(WORDS, 8)(torch.tensor([[0, 2, -1, -1], [0, 3, -1, -1]]), "caption", torch.float32)
    features, embeddings = encoded.chunk(2, dim=2)
    assert torch.equal(embeddings[0, 1], embeddings[1, 1])
    assert not embeddings[:, 0].any()  # of the whole text
    assert (features[0, :2] - features[1, :2]).abs().amax(1).min() > 1e-3


@pytest.mark.long
@pytest.mark.parametrize("case", ["images, odd sides", "images in patches", "points"])
def test_conditions_of_every_kind_compile_in_one_piece(case):
    """Without a graph break, where they are given and where they are absent."""
    torch.compiler.reset()
    kinds, values = conditions_of(case)
    net, x = network(case, kinds | {"text": WORDS}, wake=True)
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    with torch.no_grad():
        for given in (values | {"text": RED_CIRCLE_BLUE_SQUARE}, {}):
            torch.testing.assert_close(compiled(x, INDEX, **given), net(x, INDEX, **given))


def test_what_does_not_fit_is_refused():
    net, x = network("images, odd sides", CONDITIONS)
    with pytest.raises(InputError, match="colour"):
        net(x, INDEX, colour=torch.zeros(4))
    with pytest.raises(InputError, match="low"):
        net(x, INDEX, low=torch.zeros(4, 4, 3, 3))
    for name, value in {
        "low": torch.zeros(4, 3, 9, 11),
        "pose": torch.zeros(4, 2),
        "hair": torch.zeros(4),
    }.items():
        with pytest.raises(InputError, match=name):
            net(x, INDEX, **{name: value})
    with pytest.raises(InputError, match="low"):
        network("points", {"low": Image(3)})
    for name in ("seed", "two words", "class", "_private"):
        with pytest.raises(InputError, match="name of a condition"):
            network("points", {name: Classes(("a",))})

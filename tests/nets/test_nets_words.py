"""Networks that read words: before training they change nothing, and after it their order counts."""

import pytest
import torch

from ancestral import nets
from ancestral.base.errors import InputError
from ancestral.conditions import Vector, Words
from ancestral.nets.conditioning import CrossAttention
from ancestral.vocabulary import count_pieces
from tiny_models import wake

WORDS = Words(count_pieces(["red circle", "blue square"] * 2), 4)
CONDITIONS = {"caption": WORDS, "title": WORDS, "age": Vector((0.0,), (1.0,))}
SHAPES = {"unet": (3, 8, 8), "signals": (1, 16), "volumes": (1, 4, 4, 4), "transformer": (3, 8, 8), "mlp": (2,)}


def network(name):
    torch.manual_seed(0)
    shape = SHAPES[name]
    kind = {"signals": "unet", "volumes": "unet"}.get(name, name)
    unet = {"width": 16, "mults": (1,), "blocks": 1, "attention": (8, 16, 4), "dropout": 0.0, "groups": 4, "patch": 1}
    settings = {
        "unet": unet,
        "transformer": {"width": 24, "depth": 2, "heads": 2, "patch": 4},
        "mlp": {"width": 16, "blocks": 1},
    }
    return nets.build(kind, shape, conditions=CONDITIONS, **settings[kind])


def predicted(net, name, text=None, **further):
    x = torch.randn(2, *SHAPES[name], generator=torch.Generator().manual_seed(1))
    given = {} if text is None else {"caption": WORDS.encode(WORDS.read([text, text]))}
    with torch.no_grad():
        return net(x, torch.tensor([3, 700]), **given, **further)


@pytest.mark.parametrize("name", SHAPES)
def test_a_trained_one_reads_each_word_in_its_place(name):
    net = wake(network(name)).eval()
    texts = ["red circle", "circle red", "blue circle", "red circle blue", ""]
    made = [predicted(net, name, text) for text in texts]
    for place, one in enumerate(made):
        assert all((one - other).abs().max() > 1e-7 for other in made[:place])
    assert torch.equal(made[-1], predicted(net, name))  # the empty text is the absent one
    title = {"title": WORDS.encode(WORDS.read(["red", "red"]))}
    assert (predicted(net, name, "red circle", **title) - made[0]).abs().max() > 1e-7


def test_what_is_no_row_of_tokens_is_refused_in_one_line():
    net = network("unet")
    for wrong in (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 4)):
        with pytest.raises(InputError, match=r"caption is of words: give the tokens \(B, 4\) as integers"):
            predicted(net, "unet", caption=wrong)


def test_attention_to_words_is_an_average_with_a_kernel():
    """Nadaraya and Watson's, of values that depend on one word each, with the kernel exp(q · k / √d), written out."""
    torch.manual_seed(0)
    layer = CrossAttention(6, 4, heads=2, scale=1.0).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x, sequence = torch.randn(1, 5, 6, dtype=torch.float64), torch.randn(1, 3, 8, dtype=torch.float64)
    features, embeddings = sequence[0].chunk(2, dim=1)
    rows = []
    for position in x[0]:
        heads = []
        for head in torch.arange(6).chunk(2):
            q = layer.norm_q(layer.q(position)[head])
            kernel = torch.stack([(q @ layer.norm_k(layer.k(word)[head]) / 3**0.5).exp() for word in features])
            heads.append(kernel @ torch.stack([layer.v(word)[head] for word in embeddings]) / kernel.sum())
        rows.append(layer.out(torch.cat(heads)))
    torch.testing.assert_close(layer(x, sequence)[0], torch.stack(rows), rtol=0, atol=1e-12)

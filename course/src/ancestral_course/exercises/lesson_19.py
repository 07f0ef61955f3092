"""Exercises of lesson 19: tokens, attention as a kernel average, cross-attention, bags of words, guidance by words."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ancestral.guidance.classifier_free import guided
from ancestral.vocabulary import MARK, Vocabulary
from ancestral_course.exercise import Exercise, Function, WrongForm, lost_gradient
from ancestral_course.probing import Linear
from ancestral_course.variants import near, normal, order, seeded, whole

F64 = torch.float64

# -- tokens -----------------------------------------------------------------------------------------------------------

PIECES = ("a", "b", "d", "e", "l", "r", "u", "red", "blue", "le", "lue", "bl", MARK, MARK + "red", MARK + "bl")


def _tokens(words: Sequence[str], index: Mapping[str, int], length: int) -> Tensor:
    """By the package, whose tokens are the places of the pieces."""
    pieces = sorted(index, key=lambda piece: index[piece])
    found = Vocabulary(pieces).tokens(" ".join(word.removeprefix(MARK) for word in words))[:length]
    return torch.tensor(found + [-1] * (length - len(found)))


def _tokens_results(function: Function) -> list[Tensor]:
    """A word of the vocabulary, words of several pieces, characters that it does not have, more than fit, no word."""
    index = {PIECES[number]: place for place, number in enumerate(order(len(PIECES)).tolist())}
    cases: tuple[list[str], ...] = (
        ["red", "blue"],
        ["bluered", "lab"],
        ["red", "xdxr"],
        ["rule", "bread", "blur", "adder"],
        [],
    )
    length = whole(6, 5, 9)
    return [function([MARK + word for word in words], index, length) for words in cases]


def _spelling(
    sizes: Callable[[int], Sequence[int]] = lambda most: range(most, 0, -1),
    fill: int = -1,
    unknown: Sequence[int] = (),
    cut: Callable[[list[int], int], list[int]] = lambda found, length: found[:length],
    first_only: bool = False,
    whole_words: bool = False,
) -> Function:
    """Tokens with another order of sizes, padding, answer to an unknown character, or end."""

    def function(words: Sequence[str], index: Mapping[str, int], length: int) -> Tensor:
        found: list[int] = []
        for word in words:
            rest = word
            while rest:
                size = next(
                    (n for n in sizes(len(rest)) if rest[:n] in index and (not whole_words or n == len(rest))), 0
                )
                found += [index[rest[:size]]] if size else list(unknown)
                rest = "" if first_only or whole_words else rest[size or 1 :]
        found = cut(found, length)
        return torch.tensor(found + [fill] * (length - len(found)))

    return function


def _padded_before(words: Sequence[str], index: Mapping[str, int], length: int) -> Tensor:
    right = _tokens(words, index, length)
    count = int((right >= 0).sum())
    return right.roll(length - count)


def _without_mark(words: Sequence[str], index: Mapping[str, int], length: int) -> Tensor:
    function: Function = _spelling()
    result: Tensor = function([word.removeprefix(MARK) for word in words], index, length)
    return result


TOKENS = Exercise(
    name="tokens",
    task="The tokens of words, the longest piece first, and -1 behind them.",
    reference=_tokens,
    results=_tokens_results,
    mistakes={
        "these are the shortest pieces. Take the longest piece that the rest of the word begins with.": _spelling(
            lambda most: range(1, most + 1)
        ),
        "absent is −1. 0 is the token of the first piece.": _spelling(fill=0),
        "−1 comes behind the tokens, not before them.": _padded_before,
        "a character that the vocabulary does not have is left out. Yours has a token, −1.": _spelling(unknown=(-1,)),
        "a character that the vocabulary does not have is left out. Yours has the token 0, that of another piece.": (
            _spelling(unknown=(0,))
        ),
        "of more than `length` tokens the first ones are kept, not the last ones.": _spelling(
            cut=lambda found, length: found[-length:]
        ),
        "the rest of a word is missing: after its first piece comes the longest piece of what is left.": _spelling(
            first_only=True
        ),
        "words that are no piece are missing: spell them by the pieces that they begin with.": _spelling(
            whole_words=True
        ),
        "the mark belongs to the word: a piece that begins a word is another piece than the same letters inside.": (
            _without_mark
        ),
    },
)

# -- attention of one query -------------------------------------------------------------------------------------------


def _kernel_average(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q[None], k, v)[0]


def _average_results(function: Function) -> list[Tensor]:
    """Some words; as many words as numbers; one word; a query of zeros, which is like all words alike."""
    shapes = [(whole(3, 3, 6), 2, 5), (4, 4, 4), (1, 3, 2), (5, 6, 3)]
    cases = [
        (normal(d, seed=seed), normal(count, d, seed=10 + seed), normal(count, e, seed=20 + seed))
        for seed, (count, d, e) in enumerate(shapes)
    ]
    cases[-1] = (0 * cases[-1][0], *cases[-1][1:])
    return [function(*case) for case in cases]


def _average(
    scores: Callable[[Tensor, Tensor], Tensor] = lambda q, k: k @ q / len(q) ** 0.5,
    weights: Callable[[Tensor], Tensor] = lambda scores: scores.softmax(0),
) -> Function:
    """An average with other scores or weights."""

    def function(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return weights(scores(q, k)) @ v

    return function


def _no_overflow(function: Function) -> str:
    q, k, v = torch.full((4,), 600.0, dtype=F64), torch.eye(3, 4, dtype=F64) * 6, normal(3, 2, seed=3)
    if not function(q, k, v).isfinite().all():
        return "right, but exp overflows for large scores: softmax subtracts the largest one first, which cancels"
    return ""


KERNEL_AVERAGE = Exercise(
    name="kernel_average",
    task="The kernel average of values for one query, with the kernel exp(q·k/√d).",
    reference=_kernel_average,
    results=_average_results,
    mistakes={
        "√d is missing: the kernel is exp(q·k/√d), with d numbers in a query.": _average(lambda q, k: k @ q),
        "the scores are divided by d. It is √d.": _average(lambda q, k: k @ q / len(q)),
        "the scores are multiplied by √d. Divide by it.": _average(lambda q, k: k @ q * len(q) ** 0.5),
        "d is how many numbers a query has, not how many words there are.": _average(
            lambda q, k: k @ q / len(k) ** 0.5
        ),
        "this is the sum of kernel times value. Divide by the sum of the kernels, so that it is an average.": _average(
            weights=lambda scores: scores.exp()
        ),
        "the kernel is the exponential of the score: the weights are exp(score), divided by their sum.": _average(
            weights=lambda scores: scores / scores.sum()
        ),
        "these are equal weights. Each word has the weight of its kernel.": _average(
            weights=lambda scores: torch.full_like(scores, 1 / len(scores))
        ),
        "this is the value of the word with the largest kernel alone. Average over all words.": _average(
            weights=lambda scores: F.one_hot(scores.argmax(), len(scores)).to(scores)
        ),
        "this is the Gaussian kernel, exp(−‖q − k‖²/2√d). The text has exp(q·k/√d), where ‖k‖ differs as well.": (
            _average(lambda q, k: -(q - k).square().sum(1) / (2 * len(q) ** 0.5))
        ),
        "the nearest words have the smallest weights here: the sign in the exponent is wrong.": _average(
            lambda q, k: -(k @ q) / len(q) ** 0.5
        ),
    },
    atol=1e-8,
    demand=_no_overflow,
)

# -- attention of a batch, with heads ---------------------------------------------------------------------------------


def _split(x: Tensor, heads: int) -> Tensor:
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def _attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    return _joined(F.scaled_dot_product_attention(_split(q, heads), _split(k, heads), _split(v, heads)))


def _attention_inputs() -> list[tuple[Tensor, Tensor, Tensor, int]]:
    """Two heads, one head, and as many heads as features."""
    shapes = [(2, whole(5, 4, 7), 3, 8, 2), (3, 4, 4, 6, 1), (1, 3, 2, 4, 4), (2, 2, 6, 12, 3)]
    return [
        (normal(b, n, w, seed=seed), normal(b, m, w, seed=10 + seed), normal(b, m, w, seed=20 + seed), heads)
        for seed, (b, n, m, w, heads) in enumerate(shapes)
    ]


def _heads(
    scale: Callable[[int, int], float] = lambda width, heads: (width // heads) ** 0.5,
    split: Callable[[Tensor, int], Tensor] = _split,
    joined: Callable[[Tensor], Tensor] = _joined,
    weights: Callable[[Tensor], Tensor] = lambda scores: scores.softmax(3),
) -> Function:
    """Attention with another scale, other heads, or other weights."""

    def function(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        parts = [split(part, heads) for part in (q, k, v)]
        scores = parts[0] @ parts[1].mT / scale(q.shape[2], heads)
        return joined(weights(scores) @ parts[2])

    return function


def _interleaved(x: Tensor, heads: int) -> Tensor:
    return x.reshape(*x.shape[:2], -1, heads).permute(0, 3, 1, 2)


def _not_joined(x: Tensor) -> Tensor:
    return x.flatten(1).reshape(len(x), x.shape[2], -1)


def _reshaped(x: Tensor, heads: int) -> Tensor:
    return x.reshape(len(x), heads, x.shape[1], -1)


ATTENTION = Exercise(
    name="attention",
    task="The kernel average for many queries of a batch, in several heads.",
    reference=_attention,
    results=lambda function: [function(*case) for case in _attention_inputs()],
    mistakes={
        "d is the number of features of one head, W / heads; yours is W.": _heads(lambda width, heads: width**0.5),
        "√d is missing, with d = W / heads.": _heads(lambda width, heads: 1.0),
        "the scores are divided by d. It is √d, with d = W / heads.": _heads(lambda width, heads: width / heads),
        "the heads are missing: each head has W / heads consecutive features, and weights of its own.": (
            lambda q, k, v, heads: _attention(q, k, v, 1)
        ),
        "the weights of a query have the sum 1 over the words. Yours have it over the queries.": _heads(
            weights=lambda scores: scores.softmax(2)
        ),
        "the weights of a query have the sum 1 over the words. Yours have it over the heads.": _heads(
            weights=lambda scores: scores.softmax(1)
        ),
        "the first head has the first W / heads features. Yours has every heads-th one.": _heads(
            split=_interleaved, joined=lambda x: x.permute(0, 2, 3, 1).flatten(2)
        ),
        "the heads are not joined by position: (B, heads, N, d) is transposed to (B, N, heads, d), then flattened.": (
            _heads(joined=_not_joined)
        ),
        "reshape to (B, heads, N, d) mixes positions and heads: split the features to (B, N, heads, d), then "
        "transpose.": _heads(split=_reshaped),
        "split and join both mix positions and heads: the features are split, (B, N, heads, d), then transposed.": (
            _heads(split=_reshaped, joined=_not_joined)
        ),
        "these are sums of kernel times value. Divide by the sum of the kernels.": _heads(
            weights=lambda scores: scores.exp()
        ),
        "the exponential is missing: the weights are a softmax over the words.": _heads(weights=lambda scores: scores),
    },
    atol=1e-8,
    demand=lambda function: lost_gradient(
        lambda q: function(q, *_attention_inputs()[0][1:]),
        lambda q: _attention(q, *_attention_inputs()[0][1:]),
        _attention_inputs()[0][0],
    ),
)

# -- cross-attention --------------------------------------------------------------------------------------------------

NAMES = ("q", "k", "v", "out")
Layers = Mapping[str, nn.Linear]


def _cross_attention(h: Tensor, words: Tensor, layers: Layers, heads: int) -> Tensor:
    q, k, v = layers["q"](h), layers["k"](words), layers["v"](words)
    change: Tensor = layers["out"](_attention(q, k, v, heads))
    return h + change


def _layers(width: int, of_words: int, seed: int, zero: Sequence[str] = ()) -> dict[str, nn.Linear]:
    """Layers with random numbers, and zeros in some of them."""
    sizes = {"q": width, "k": of_words, "v": of_words, "out": width}
    layers = {name: nn.Linear(size, width, dtype=F64) for name, size in sizes.items()}
    for number, (name, layer) in enumerate(layers.items()):
        numbers = normal(width, layer.in_features + 1, seed=100 * seed + number) * (name not in zero)
        layer.weight.data, layer.bias.data = numbers[:, :-1], numbers[:, -1]
    return layers


def _cross_results(function: Function) -> list[Tensor]:
    """Two sizes, with as many features of words as of pixels, and with an output of zeros."""
    results = []
    for seed, (width, of_words, heads, zero) in enumerate([(8, 6, 2, ()), (6, 6, 3, ()), (8, 4, 1, ("out",))]):
        h = normal(2, whole(5, 4, 7), width, seed=seed)
        words = normal(2, 3 if of_words < width else h.shape[1], of_words, seed=10 + seed)
        results.append(function(h, words, _layers(width, of_words, 1 + seed, zero), heads))
    return results


def _cross(change: Callable[[Tensor, Tensor, Layers, int], Tensor]) -> Function:
    """Cross-attention that adds another change."""

    def function(h: Tensor, words: Tensor, layers: Layers, heads: int) -> Tensor:
        return h + change(h, words, layers, heads)

    return function


def _attended(h: Tensor, words: Tensor, layers: Layers, heads: int) -> Tensor:
    return _cross_attention(h, words, layers, heads) - h


def _bare(h: Tensor, words: Tensor, layers: Layers, heads: int) -> Tensor:
    """What is attended to, before the last layer."""
    return _attention(layers["q"](h), layers["k"](words), layers["v"](words), heads)


def _without_bias(name: str) -> Function:
    """Cross-attention in which a layer has no bias."""

    def function(h: Tensor, words: Tensor, layers: Layers, heads: int) -> Tensor:
        changed = dict(layers) | {name: lambda x: x @ layers[name].weight.T}
        return _cross_attention(h, words, changed, heads)  # type: ignore[arg-type]

    return function


CROSS_ATTENTION = Exercise(
    name="cross_attention",
    task="Attention of the positions of an image to words, added to the positions.",
    reference=_cross_attention,
    results=_cross_results,
    mistakes={
        "h is not added: the layer changes h, and with an output of zeros h has to remain.": _attended,
        "the last layer, out, is missing.": _cross(_bare),
        "out is applied to the sum. Apply it to what is attended to, then add h.": (
            lambda h, words, layers, heads: layers["out"](h + _bare(h, words, layers, heads))
        ),
        "what is added is the query, q(h). Add h itself.": lambda h, words, layers, heads: (
            layers["q"](h) + _attended(h, words, layers, heads)
        ),
        "the heads are missing: attention gets one head here.": lambda h, words, layers, heads: _cross_attention(
            h, words, layers, 1
        ),
        "keys and values are swapped: k(words) is compared with the query, and v(words) is averaged.": _cross(
            lambda h, words, layers, heads: layers["out"](
                _attention(layers["q"](h), layers["v"](words), layers["k"](words), heads)
            )
        ),
        "the keys are averaged. Average the values, v(words).": _cross(
            lambda h, words, layers, heads: layers["out"](
                _attention(layers["q"](h), layers["k"](words), layers["k"](words), heads)
            )
        ),
        "the values are compared with the query. Compare the keys, k(words).": _cross(
            lambda h, words, layers, heads: layers["out"](
                _attention(layers["q"](h), layers["v"](words), layers["v"](words), heads)
            )
        ),
        "h is compared without q: the query is q(h).": _cross(
            lambda h, words, layers, heads: layers["out"](_attention(h, layers["k"](words), layers["v"](words), heads))
        ),
        "the bias of out is missing: call the layer, layers['out'](…).": _without_bias("out"),
    },
    atol=1e-8,
    demand=lambda function: lost_gradient(
        lambda h: function(h, normal(2, 3, 6, seed=9), _layers(8, 6, 5), 2),
        lambda h: _cross_attention(h, normal(2, 3, 6, seed=9), _layers(8, 6, 5), 2),
        normal(2, 4, 8, seed=8),
    ),
)

# -- new layers -------------------------------------------------------------------------------------------------------


def _new_layers(width: int, of_words: int) -> dict[str, nn.Linear]:
    sizes = {"q": width, "k": of_words, "v": of_words, "out": width}
    layers = {name: nn.Linear(size, width) for name, size in sizes.items()}
    nn.init.zeros_(layers["out"].weight)
    nn.init.zeros_(layers["out"].bias)
    return layers


def _layers_results(function: Function) -> list[Tensor]:
    """Whether h changes at first, whether words change it, and which weights get a gradient in three steps."""
    results = []
    for width, of_words in ((whole(8, 8, 40), 6), (12, whole(16, 13, 40))):
        layers = _checked(function(width, of_words), width, of_words)
        h, words, other = (normal(2, n, w, seed=n).float() for n, w in ((5, width), (3, of_words), (4, of_words)))
        with torch.no_grad():
            first, second = (_cross_attention(h, text, layers, 1) for text in (words, other))
        moved = float((first - h).abs().max() > 1e-6), float((first - second).abs().max() > 1e-6)
        learned = dict.fromkeys(NAMES, 0.0)
        optimiser = torch.optim.SGD([p for layer in layers.values() for p in layer.parameters()], lr=0.1)
        with torch.enable_grad():
            for _ in range(3):
                optimiser.zero_grad()
                error = _cross_attention(h, words, layers, 1) - normal(2, 5, width, seed=7).float()
                torch.autograd.backward(error.square().mean())
                for name, layer in layers.items():
                    gradient = layer.weight.grad
                    learned[name] = max(learned[name], float(gradient is not None and bool(gradient.any())))
                optimiser.step()
        results.append(torch.tensor([*moved, *learned.values()]))
    return results


def _checked(layers: Any, width: int, of_words: int) -> dict[str, nn.Linear]:
    """A copy of the layers of a student, if they have the form that is asked for."""
    if not isinstance(layers, Mapping) or set(layers) != set(NAMES):
        raise WrongForm("return a dictionary with the layers q, k, v and out")
    for name in NAMES:
        layer, size = layers[name], of_words if name in ("k", "v") else width
        if not isinstance(layer, nn.Linear):
            raise WrongForm(f"{name} is of type {type(layer).__name__}; make it an nn.Linear")
        if (layer.in_features, layer.out_features) != (size, width):
            found = f"{layer.in_features} features to {layer.out_features}"
            raise WrongForm(f"{name} takes {found}; it has to take {size} to {width}")
    return {name: copy.deepcopy(layers[name]).float().requires_grad_() for name in NAMES}


def _with_zeros(*names: str, bias: bool = True, constant: Sequence[str] = ()) -> Function:
    """Layers with zeros in those of some names."""

    def function(width: int, of_words: int) -> dict[str, nn.Linear]:
        torch_state = torch.get_rng_state()
        layers = _new_layers(width, of_words)
        layers["out"].reset_parameters()
        torch.set_rng_state(torch_state)
        for name in names:
            nn.init.zeros_(layers[name].weight)
            if bias:
                nn.init.zeros_(layers[name].bias)
        for name in constant:
            nn.init.constant_(layers[name].weight, 0.1)
        return layers

    return function


NEW_LAYERS = Exercise(
    name="new_layers",
    task="New layers of cross-attention that change nothing before training, and can learn.",
    reference=_new_layers,
    results=_layers_results,
    mistakes={
        "the words change h before training: the last layer has to begin with zeros, weight and bias.": _with_zeros(),
        "h changes before training, by the same for every text: the bias of out has to be zero as well.": _with_zeros(
            "out", bias=False
        ),
        "nothing changes, but nothing is learned either: out gets a gradient only if something comes in, and the "
        "layers before it only if out is not zero. Let v have random numbers.": _with_zeros("v", "out"),
        "with zeros in q and k both, neither of them ever gets a gradient: each is multiplied by the other. Zeros in "
        "out alone are enough.": _with_zeros("q", "k", "out"),
        "with zeros in q and k, the words still change h, by the mean of their values. Zeros belong into out.": (
            _with_zeros("q", "k")
        ),
    },
)

# -- a bag of words ---------------------------------------------------------------------------------------------------


def _bag(tokens: Tensor, table: Tensor) -> Tensor:
    """By the package's rule for what is absent, and PyTorch's mean of bags."""
    there = (tokens >= 0).to(table)
    sums = F.embedding_bag(tokens.clamp(min=0), table, mode="sum", per_sample_weights=there)
    return sums / there.sum(1, keepdim=True).clamp(min=1)


def _bag_results(function: Function) -> list[Tensor]:
    """Texts of different lengths, an empty one, one without an absent token, and a word that comes twice."""
    draws = seeded(30)
    results = []
    for seed, (texts, length, pieces, width) in enumerate([(4, 5, 7, 3), (3, whole(4, 3, 7), 6, 4)]):
        tokens = torch.randint(pieces, (texts, length), generator=draws)
        tokens[0, :2] = int(tokens[0, 0])
        tokens[1, 2:], tokens[2] = -1, -1
        results.append(function(tokens, normal(pieces, width, seed=seed)))
    return results


def _mean_of(
    embedded: Callable[[Tensor, Tensor], Tensor] = lambda tokens, table: table[tokens.clamp(min=0)],
    weight: Callable[[Tensor], Tensor] = lambda tokens: (tokens >= 0).double(),
    count: Callable[[Tensor], Tensor] = lambda weight: weight.sum(1, keepdim=True).clamp(min=1),
) -> Function:
    """A mean of other embeddings, with other weights, or another divisor."""

    def function(tokens: Tensor, table: Tensor) -> Tensor:
        w = weight(tokens)
        return (w[..., None] * embedded(tokens, table)).sum(1) / count(w)

    return function


def _once(tokens: Tensor, table: Tensor) -> Tensor:
    present = torch.stack([(tokens == piece).any(1) for piece in range(len(table))], 1).to(table)
    return present @ table / present.sum(1, keepdim=True).clamp(min=1)


BAG = Exercise(
    name="bag",
    task="The mean of the embeddings of the words that are there.",
    reference=_bag,
    results=_bag_results,
    mistakes={
        "−1 is no word: it chose the last row of the table here, as Python counts.": _mean_of(
            lambda tokens, table: table[tokens], lambda tokens: torch.ones_like(tokens, dtype=F64)
        ),
        "−1 is no word: its embedding should not count. Here the first row of the table is taken for it.": _mean_of(
            weight=lambda tokens: torch.ones_like(tokens, dtype=F64)
        ),
        "divide by the number of words that are there, not by the length.": _mean_of(
            count=lambda weight: torch.full((len(weight), 1), weight.shape[1], dtype=F64)
        ),
        "this is the sum. Divide by the number of words that are there.": _mean_of(
            count=lambda weight: torch.ones(len(weight), 1, dtype=F64)
        ),
        "an empty text has no words to divide by: 0/0. Its mean is zeros; divide by at least 1.": _mean_of(
            count=lambda weight: weight.sum(1, keepdim=True)
        ),
        "the divisor is one too large: it is the number of words that are there, and 1 for the empty text alone.": (
            _mean_of(count=lambda weight: weight.sum(1, keepdim=True) + 1)
        ),
        "a word that comes twice counts twice.": _once,
        "the token 0 is a word, the first of the table. Only −1 is none.": _mean_of(
            weight=lambda tokens: (tokens > 0).double()
        ),
    },
    atol=1e-8,
    demand=lambda function: lost_gradient(
        lambda table: function(torch.tensor([[0, 2, -1], [1, 1, 0]]), table),
        lambda table: _bag(torch.tensor([[0, 2, -1], [1, 1, 0]]), table),
        normal(3, 4, seed=6),
    ),
)

# -- guidance by words ------------------------------------------------------------------------------------------------


def _guided_results(function: Function) -> list[Tensor]:
    scales = (near(3.0), near(1.7), 1.0, 0.0, near(0.5))
    return [function(normal(4, 2, seed=seed), normal(4, 2, seed=10 + seed), scale) for seed, scale in enumerate(scales)]


GUIDED = Exercise(
    name="guided",
    task="The estimate of guidance towards a text and away from another.",
    reference=lambda given, avoided, scale: guided([given, avoided], [scale]),
    results=_guided_results,
    mistakes={
        "the two texts are swapped: this leads away from the text that is wanted.": (
            lambda given, avoided, scale: given + scale * (avoided - given)
        ),
        "this counts from the wanted text, as the paper's w = s − 1 does: scale 1 has to be x̂(c) itself.": (
            lambda given, avoided, scale: given + scale * (given - avoided)
        ),
        "the factors have the sum 0: an estimate is missing. They have to be s and 1 − s.": (
            lambda given, avoided, scale: scale * (given - avoided)
        ),
        "the factors are s and −s + … : their sum has to be 1, that is s and 1 − s. Yours has s and 1.": (
            lambda given, avoided, scale: avoided + scale * given
        ),
        "the factors are s and −1: their sum has to be 1.": lambda given, avoided, scale: scale * given - avoided,
        "this is a mean of both for s > 1, (x̂(avoid) + s x̂(c))/(1 + s). Guidance goes beyond x̂(c).": (
            lambda given, avoided, scale: (avoided + scale * given) / (1 + scale)
        ),
        "the scale is squared.": lambda given, avoided, scale: avoided + scale**2 * (given - avoided),
        "the avoided text has no effect: the estimate without it is x̂(c) alone.": (
            lambda given, avoided, scale: scale * given
        ),
    },
    atol=1e-9,
    linear=Linear("given, avoided, scale", inputs="given, avoided", at="scale"),
)

EXERCISES: tuple[Exercise, ...] = (TOKENS, KERNEL_AVERAGE, ATTENTION, CROSS_ATTENTION, NEW_LAYERS, BAG, GUIDED)
"""In the order of the lesson."""

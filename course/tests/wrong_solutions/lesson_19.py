"""Planted mistakes of lesson 19, with a part of the hint that each should get, and right answers in another style."""

TOKENS = """def tokens(words, index, length):
    found = []
    for rest in words:
        while rest:
            size = next((n for n in {sizes} if rest[:n] in index), 0)
            {add}
            rest = rest[size or 1 :]
    {end}
"""
ADD = "found += [index[rest[:size]]] if size else []"
DOWN, UP = "range(len(rest), 0, -1)", "range(1, len(rest) + 1)"
END = "return torch.tensor((found + [{}] * length)[:length])"
AVERAGE = "def kernel_average(q, k, v):\n    scores = k @ q{}\n    return {}\n"
ATTENTION = """def attention(q, k, v, heads):
    b, n, w = q.shape
    q, k, v = ({split} for x in (q, k, v))
    weights = torch.softmax(q @ k.transpose(2, 3) / {scale} ** 0.5, dim={dim})
    return {joined}
"""
SPLIT = "x.reshape(b, -1, heads, w // heads).transpose(1, 2)"
JOINED = "(weights @ v).transpose(1, 2).reshape(b, n, w)"
PART = {"split": SPLIT, "scale": "(w / heads)", "dim": "3", "joined": JOINED}
CROSS = """def cross_attention(h, words, layers, heads):
    def split(x):
        return x.reshape(len(x), x.shape[1], heads, -1).transpose(1, 2)
    q, k, v = layers["q"](h), layers["k"](words), layers["v"](words)
    q, k, v = {parts}
    found = torch.nn.functional.scaled_dot_product_attention(split(q), split(k), split(v)).transpose(1, 2).flatten(2)
    return {result}
"""
LAYERS = """def new_layers(width, of_words):
    q, k, v, out = (nn.Linear(size, width) for size in (width, of_words, of_words, width))
    {}
    return {{"q": q, "k": k, "v": v, "out": out}}
"""
ZERO = "torch.nn.init.zeros_({0}.weight); torch.nn.init.zeros_({0}.bias)"
BAG = """def bag(tokens, table):
    there = (tokens >= 0).to(table)
    embedded = table[{}] * {}[..., None]
    return embedded.sum(1) / {}
"""
GUIDED = "def guided(given, avoided, scale):\n    return {}\n"

WRONG = {
    "tokens": {
        TOKENS.format(sizes=UP, add=ADD, end=END.format(-1)): "the shortest pieces",
        TOKENS.format(sizes=DOWN, add=ADD, end=END.format(0)): "0 is the token of the first piece",
        TOKENS.format(
            sizes=DOWN, add="found.append(index[rest[:size]] if size else -1)", end=END.format(-1)
        ): "Yours has a token, −1",
        TOKENS.format(
            sizes=DOWN, add=ADD, end="return torch.tensor(([-1] * length + found[:length])[-length:])"
        ): "not before them",
        TOKENS.format(
            sizes=DOWN, add=ADD, end="return torch.tensor((found[-length:] + [-1] * length)[:length])"
        ): "not the last ones",
        "def tokens(words, index, length):\n    found = [index[word] for word in words if word in index]\n"
        "    return torch.tensor((found + [-1] * length)[:length])\n": "words that are no piece are missing",
    },
    "kernel_average": {
        AVERAGE.format("", "scores.softmax(0) @ v"): "√d is missing",
        AVERAGE.format(" / len(q)", "scores.softmax(0) @ v"): "It is √d",
        AVERAGE.format(" / len(k) ** 0.5", "scores.softmax(0) @ v"): "how many numbers a query has",
        AVERAGE.format(" / len(q) ** 0.5", "scores.exp() @ v"): "Divide by the sum of the kernels",
        AVERAGE.format(" / len(q) ** 0.5", "scores @ v / scores.sum()"): "the exponential of the score",
        AVERAGE.format(" / len(q) ** 0.5", "scores.exp() @ v / scores.exp().sum()"): "exp overflows",
        "def kernel_average(q, k, v):\n    near = torch.exp(-((k - q) ** 2).sum(1) / (2 * len(q) ** 0.5))\n"
        "    return near @ v / near.sum()\n": "this is the Gaussian kernel",
    },
    "attention": {
        ATTENTION.format(**PART | {"scale": "w"}): "yours is W",
        ATTENTION.format(**PART | {"dim": "2"}): "over the queries",
        ATTENTION.format(**PART | {"joined": "(weights @ v).reshape(b, n, w)"}): "not joined by position",
        ATTENTION.format(**PART | {"split": "x.reshape(b, heads, -1, w // heads)"}): "mixes positions and heads",
        ATTENTION.format(**PART).replace("b, n, w = q.shape", "b, n, w = q.shape; heads = 1"): "heads are missing",
        ATTENTION.format(**PART).replace("return ", "return 1 * ").replace("weights @", "weights.detach() @"): (
            "the gradient is lost"
        ),
    },
    "cross_attention": {
        CROSS.format(parts="q, k, v", result='layers["out"](found)'): "h is not added",
        CROSS.format(parts="q, k, v", result="h + found"): "out, is missing",
        CROSS.format(parts="q, k, v", result='layers["out"](h + found)'): "Apply it to what is attended to",
        CROSS.format(parts="q, v, k", result='h + layers["out"](found)'): "keys and values are swapped",
        CROSS.format(parts="q, k, k", result='h + layers["out"](found)'): "the keys are averaged",
        CROSS.format(parts="q, k, v", result='q + layers["out"](found)'): "Add h itself",
        CROSS.format(parts="q, k, v", result='h + found @ layers["out"].weight.T'): "the bias of out is missing",
    },
    "new_layers": {
        LAYERS.format("pass"): "the words change h before training",
        LAYERS.format("torch.nn.init.zeros_(out.weight)"): "the bias of out has to be zero",
        LAYERS.format("; ".join(ZERO.format(name) for name in ("q", "k", "v", "out"))): "nothing is learned either",
        LAYERS.format(ZERO.format("v") + "; " + ZERO.format("out")): "nothing is learned either",
        LAYERS.format("out = torch.nn.Linear(of_words, width)"): "out takes",
        LAYERS.format("out = torch.zeros(width, width)"): "make it an nn.Linear",
        LAYERS.format("return q, k, v, out"): "return a dictionary",
    },
    "bag": {
        BAG.format("tokens", "torch.ones_like(there)", "tokens.shape[1]"): "chose the last row of the table",
        BAG.format("tokens.clamp(min=0)", "there", "tokens.shape[1]"): "not by the length",
        BAG.format("tokens.clamp(min=0)", "there", "1"): "this is the sum",
        BAG.format("tokens", "there", "there.sum(1, keepdim=True)"): "an empty text has no words",
        BAG.format("tokens", "there", "(there.sum(1, keepdim=True) + 1)"): "one too large",
    },
    "guided": {
        GUIDED.format("given + scale * (avoided - given)"): "the two texts are swapped",
        GUIDED.format("given + scale * (given - avoided)"): "w = s − 1",
        GUIDED.format("scale * (given - avoided)"): "sum 0",
        GUIDED.format("scale * given - avoided"): "s and −1",
        GUIDED.format("(scale * given + avoided) / (scale + 1)"): "Guidance goes beyond",
    },
}

OTHERWISE = {
    "tokens": [TOKENS.format(sizes=DOWN, add=ADD, end=END.format(-1))],
    "kernel_average": [
        AVERAGE.format(" / len(q) ** 0.5", "torch.softmax(scores, 0) @ v"),
        AVERAGE.format(" / len(q) ** 0.5 - (k @ q).max() / len(q) ** 0.5", "scores.exp() @ v / scores.exp().sum()"),
    ],
    "attention": [
        ATTENTION.format(**PART),
        """def attention(q, k, v, heads):
    d = q.shape[2] // heads
    parts = []
    for head in range(heads):
        qh, kh, vh = (x[:, :, head * d : (head + 1) * d] for x in (q, k, v))
        parts.append((torch.einsum("bnd,bld->bnl", qh, kh) / d**0.5).softmax(-1) @ vh)
    return torch.cat(parts, dim=2)
""",
    ],
    "cross_attention": [CROSS.format(parts="q, k, v", result='h + layers["out"](found)')],
    "new_layers": [
        LAYERS.format(ZERO.format("out")),
        LAYERS.format(ZERO.format("out") + "; " + ZERO.format("q")),
        LAYERS.format("out.weight.data *= 0; out.bias.data *= 0").replace("nn.Linear(", "torch.nn.Linear("),
    ],
    "bag": [
        BAG.format("tokens", "there", "there.sum(1, keepdim=True).clamp(min=1)"),
        """def bag(tokens, table):
    counts = torch.stack([(tokens == piece).sum(1) for piece in range(len(table))], 1).to(table)
    return counts @ table / counts.sum(1, keepdim=True).clamp(min=1)
""",
    ],
    "guided": [
        GUIDED.format("scale * given + (1 - scale) * avoided"),
        GUIDED.format("torch.lerp(avoided, given, scale)"),
    ],
}

"""Lesson 18 from an empty file: right answers in another style, and planted mistakes with a part of their hints."""

# Plain functions and lists of numbers, loops written out, float64 tables, a network that is no class.
PLAIN = """
import math

import torch
from torch import nn

beta, a, b = [0.0], [1.0], [0.0]
for t in range(1, 201):
    beta.append(5e-4 + (0.1 - 5e-4) * (t - 1) / 199)
    a.append(a[-1] * math.sqrt(1 - beta[-1]))
    b.append(math.sqrt(1 - a[-1] ** 2))


def network(scale):
    layers = nn.Sequential(nn.Linear(6, 128), nn.Tanh(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(),
                           nn.Linear(128, 2))

    def net(x, t):
        time = scale * torch.as_tensor(t).to(torch.float32)
        time = time.reshape(-1, 1) * torch.ones(len(x), 1)
        return layers(torch.hstack([x, time, time**2, torch.sin(3 * time), torch.cos(3 * time)]))

    return net, layers


def descend(parameters, loss, steps):
    optimiser = torch.optim.Adam(parameters, lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        optimiser.step()
        schedule.step()


def ddpm_schedule():
    return torch.tensor(a), torch.tensor(b)


def ddpm_loss(net, x_0, t, eps):
    total = 0.0
    tables = torch.tensor([a, b])
    x = tables[0, t].view(-1, 1) * x_0 + tables[1, t].view(-1, 1) * eps
    difference = net(x, t) - eps
    return (difference[:, 0] ** 2 + difference[:, 1] ** 2).sum() / (2 * len(x)) + total


def ddpm_step(net, x, t, z):
    noise = net(x, t)
    out = 1 / math.sqrt(1 - beta[t]) * (x - beta[t] / b[t] * noise)
    if t == 1:
        return out
    return out + math.sqrt(beta[t]) * z


def ddpm_train(points, steps):
    net, layers = network(1 / 200)
    batch = lambda: points[torch.randint(0, 10000, (512,))]
    descend(
        layers.parameters(), lambda: ddpm_loss(net, batch(), torch.randint(1, 201, (512,)), torch.randn(512, 2)), steps
    )
    return net


@torch.no_grad()
def ddpm_sample(net, n):
    x = torch.randn(n, 2)
    for t in reversed(range(1, 201)):
        z = torch.randn(n, 2) if t > 1 else torch.zeros(n, 2)
        x = ddpm_step(net, x, t, z)
    return x


def ncsn_schedule():
    return torch.exp(torch.linspace(math.log(2), math.log(0.02), 20))


def ncsn_loss(net, x_0, i, eps):
    sigma = ncsn_schedule()[i].reshape(len(x_0), 1)
    noisy = x_0 + sigma * eps
    goal = -(noisy - x_0) / sigma**2
    return ((net(noisy, i) - goal) ** 2 * sigma**2).mean()


def ncsn_step(net, x, i, z):
    alpha = 0.2 * float(ncsn_schedule()[i]) ** 2
    return x + 0.5 * alpha * net(x, i) + alpha**0.5 * z


def ncsn_train(points, steps):
    inner, layers = network(1 / 20)
    sigma = ncsn_schedule()

    def net(x, i):
        level = sigma[torch.as_tensor(i)].reshape(-1, 1)
        return (inner(x, i) - x) / (level + level**2)

    batch = lambda: points[torch.randint(0, 10000, (512,))]
    descend(layers.parameters(), lambda: ncsn_loss(net, batch(), torch.randint(20, (512,)), torch.randn(512, 2)), steps)
    return net


@torch.no_grad()
def ncsn_sample(net, n):
    x = torch.normal(0.0, 2.0, (n, 2))
    for i in range(20):
        for _ in range(10):
            x = ncsn_step(net, x, i, torch.normal(0.0, 1.0, (n, 2)))
    return x


def sde_schedule(t):
    integral = 0.1 * t + 0.5 * 19.9 * t * t
    return (-integral / 2).exp(), (1 - (-integral).exp()) ** 0.5


def sde_loss(net, x_0, t, eps):
    a, b = sde_schedule(t)
    x = a[:, None] * x_0 + b[:, None] * eps
    return torch.mean((b[:, None] * (net(x, t) + eps / b[:, None])) ** 2)


def sde_step(net, x, t, dt, z):
    g2 = 0.1 + 19.9 * t
    x = x + 0.5 * g2 * x * dt + g2 * net(x, t) * dt
    return x + math.sqrt(g2) * math.sqrt(dt) * z


def sde_train(points, steps):
    inner, layers = network(1.0)
    net = lambda x, t: inner(x, t) / sde_schedule(torch.as_tensor(t).reshape(-1, 1))[1]
    batch = lambda: points[torch.randint(0, 10000, (512,))]
    times = lambda: 0.999 * torch.rand(512) + 0.001
    descend(layers.parameters(), lambda: sde_loss(net, batch(), times(), torch.randn(512, 2)), steps)
    return net


@torch.no_grad()
def sde_sample(net, n):
    x, t = torch.randn(n, 2), 1.0
    while t > 0.002:
        x = sde_step(net, x, t, 0.002, torch.randn(n, 2))
        t = t - 0.002
    return x


def flow_schedule(t):
    return -t + 1, 1 * t


def flow_loss(net, x_0, t, eps):
    weight = t.reshape(-1, 1)
    x = x_0 + weight * (eps - x_0)
    return nn.functional.mse_loss(net(x, t) + x_0, eps)


def flow_step(net, x, t, dt):
    return x + net(x, t) * (-dt)


def flow_train(points, steps):
    net, layers = network(1.0)
    batch = lambda: points[torch.randint(0, 10000, (512,))]
    descend(layers.parameters(), lambda: flow_loss(net, batch(), torch.rand(512), torch.randn(512, 2)), steps)
    return net


@torch.no_grad()
def flow_sample(net, n):
    x = torch.randn(n, 2)
    t = 1.0
    for _ in range(100):
        x = flow_step(net, x, t, 0.01)
        t -= 0.01
    return x


def time_embedding(t, width):
    columns = [torch.sin(t / 10000 ** (2 * i / width)) for i in range(width // 2)]
    columns += [torch.cos(t / 10000 ** (2 * i / width)) for i in range(width // 2)]
    return torch.stack(columns, dim=1)


def attention(q, k, v):
    logits = torch.bmm(q, k.mT) / math.sqrt(q.shape[-1])
    weight = (logits - logits.amax(2, keepdim=True)).exp()
    return torch.bmm(weight / weight.sum(2, keepdim=True), v)


class ResidualBlock(nn.Module):
    def __init__(self, in_width, out_width, embedding):
        super().__init__()
        self.a = nn.GroupNorm(2, in_width)
        self.b = nn.Conv2d(in_width, out_width, kernel_size=3, padding="same")
        self.c = nn.Sequential(nn.SiLU(), nn.Linear(embedding, out_width))
        self.d = nn.GroupNorm(2, out_width)
        self.e = nn.Dropout(0.0)
        self.f = nn.Conv2d(out_width, out_width, kernel_size=3, padding="same")
        self.g = nn.Conv2d(in_width, out_width, kernel_size=1)

    def forward(self, x, temb):
        h = self.b(nn.functional.silu(self.a(x)))
        h = nn.functional.silu(self.d(h + self.c(temb)[:, :, None, None]))
        out = self.f(self.e(h))
        return out + x if out.shape == x.shape else out + self.g(x)


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 32, 3, padding="same"), nn.Conv2d(32, 1, 3, padding="same")
        self.c = nn.Sequential(nn.Linear(20, 40), nn.SiLU())
        self.d, self.e = ResidualBlock(32, 32, 40), ResidualBlock(32, 32, 40)
        self.f = nn.Conv2d(32, 96, 1)

    def forward(self, x, t):
        temb = self.c(time_embedding(t, 20))
        h = self.d(self.a(x), temb)
        q, k, v = (part.mT for part in self.f(h).reshape(len(x), 3, 32, 64).unbind(1))
        h = h + attention(q, k, v).mT.reshape(h.shape)
        return self.b(self.e(h, temb))
"""

SAMPLE = """def ddpm_sample(net, n):
    x, z = torch.{}(n, 2), torch.randn(n, 2)
    for t in {}:
        x = ddpm_step(net, x, t, {}).detach()
    return x
"""
BLOCK = """class ResidualBlock(nn.Module):
    def __init__(self, a, b, e):
        super().__init__()
        self.n, self.c, self.t, self.s = {}, nn.Conv2d(a, b, 3{}), nn.Linear(e, b), {}

    def forward(self, x, temb):
        return {}
"""

FULL = """class ResidualBlock(nn.Module):
    def __init__(self, a, b, e):
        super().__init__()
        self.n, self.c, self.t, self.s = nn.GroupNorm(4, a), nn.Conv2d(a, b, 3, 1, 1), nn.Linear(e, b), nn.Identity()
        self.m, self.d = nn.GroupNorm(4, b), nn.Conv2d(b, b, 3, 1, 1)
        if a != b:
            self.s = nn.Conv2d(a, b, 1)

    def forward(self, x, temb):
        time = self.t(temb)[:, :, None, None]
        h = self.c(self.n(x).relu())
        h = self.d(self.m({1}).relu())
        return {0}
"""
NETWORK = """class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.time, self.first, self.block = nn.Linear(32, 64), nn.Conv2d(1, 32, 3, padding=1), ResidualBlock(32, 32, 64)
        self.low, self.last = {}, nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, x, t):
        h = self.block(self.first(x), self.time(time_embedding({}, 32)))
        return {}
"""
LOW = "nn.Sequential(nn.Conv2d(32, 32, 2, 2), nn.SiLU(), nn.Conv2d(32, 32, 3, padding=1), nn.Upsample(scale_factor=2))"

PATH = "self.c(self.n(x).relu()) + self.t(temb)[:, :, None, None]"
LINEAR = "(x if x.shape[1] == self.c.out_channels else self.s(x)) + " + PATH.replace(".relu()", "")
UNEVEN = f"(x if x.shape[1] == self.c.out_channels else 0) + {PATH}"

WRONG = {
    "ddpm_schedule": {
        "def ddpm_schedule():\n    c = (1 - torch.linspace(5e-4, 0.1, 200)).cumprod(0)\n"
        "    return c.sqrt(), (1 - c).sqrt()\n": "(201,), not (200,)",
        "def ddpm_schedule():\n    c = (1 - BETA).cumprod(0)\n    return c, 1 - c\n": "are their roots",
    },
    "ddpm_sample": {
        SAMPLE.format("randn", "range(1, 201)", "torch.randn(n, 2)"): "the wrong way",
        SAMPLE.format("rand", "range(200, 0, -1)", "torch.randn(n, 2)"): "begin with the deviation",
        SAMPLE.format("randn", "range(200, 20, -1)", "torch.randn(n, 2)"): "go on to the end",
        SAMPLE.format("randn", "range(200, 0, -1)", "z"): "draw it again",
        SAMPLE.format("randn", "range(200, 0, -1)", "torch.zeros(n, 2)"): "is 0 in each step",
        SAMPLE.replace(".detach()", "").format("randn", "range(200, 0, -1)", "torch.randn(n, 2)"): "no_grad",
    },
    "ResidualBlock": {
        BLOCK.format("nn.GroupNorm(4, a)", ", padding=1", "nn.Identity()", PATH): "not residual",
        BLOCK.format(
            "nn.BatchNorm2d(a)", ", padding=1", "nn.Conv2d(a, b, 1)", f"self.s(x) + {PATH}"
        ): "batch norm mixes",
        BLOCK.format("nn.GroupNorm(4, a)", "", "nn.Identity()", PATH): "padding=1",
        BLOCK.format("nn.GroupNorm(4, a)", ", padding=1", "nn.Conv2d(a, b, 1)", LINEAR): "no activation",
        BLOCK.format("nn.GroupNorm(4, a)", ", padding=1", "0", UNEVEN): "1×1 convolution of x",
        FULL.format("(self.s(x) + h).relu()", "h + time"): "leave out the activation there",
        FULL.format("self.s(x) + h + time", "h"): "before the second norm",
        FULL.replace("nn.GroupNorm(4, b)", "nn.Identity()").format(
            "self.s(x) + h", "h + time"
        ): "the second norm is missing",
        FULL.format("self.s(x) + h", "h + time").replace("self.n(x)", "self.n(x.add_(0.1))"): "in place",
    },
    "UNet": {
        NETWORK.format(LOW, "t[:1].expand(len(t))", "self.last(h + self.low(h))"): "other images of the batch",
        NETWORK.format(LOW, "t", "self.last(h + 0 * self.low(h))"): "does not reach the answer",
        NETWORK.format(LOW, "t", "self.last(0 * h + self.low(h))"): "multiplied by 0",
        NETWORK.format(
            LOW, "t", "self.last(self.block(torch.cat([self.low(h)[:, :16], 0 * h[:, :16]], 1), temb))"
        ).replace(
            "        h =", "        temb = self.time(time_embedding(t, 32))\n        h ="
        ): "features that block gets are 0",
        NETWORK.format(LOW, "t", "self.last(nn.functional.dropout(h + self.low(h)))"): "two calls",
        NETWORK.format(LOW, "t", "self.last(h + self.low(h)) + 0 * x.clamp_(-1, 1)"): "in place",
        NETWORK.format(LOW, "(0.5 + 1e-6 * t)", "self.last(h + self.low(h))"): "hardly change with the time",
        NETWORK.format(LOW, "t", "self.last(h + self.low(h)).sigmoid()"): "leave out the activation",
        NETWORK.format(LOW, "0 * t", "self.last(h + self.low(h))"): "the same at every time",
        NETWORK.format("nn.Conv2d(32, 32, 2, 2)", "t", "self.last(self.low(h))"): "the noise has the shape of x",
        NETWORK.format("[nn.Conv2d(32, 32, 1)]", "t", "self.last(self.low[0](h))"): "the list low",
        NETWORK.format(
            "nn.Linear(32, 32)", "t", "self.last(h.mean((2, 3), keepdim=True).expand(h.shape))"
        ): "learned nothing",
    },
}
"""Mistakes of single functions that their exercise does not list: the others are those of the folded solution."""

BEGIN = "    net = Net(scale)\n"
LOSS_OF_LOOP = "value = loss(net, x_0, times(512), torch.randn_like(x_0))"
SAME_NOISE = LOSS_OF_LOOP.replace("_like(x_0)", "(512, 2, generator=torch.Generator().manual_seed(0))")
CLEAN = "(a, b), t, eps = ddpm_schedule(), times(512), torch.randn_like(x_0)\n"
CLEAN += "        x_t = a[t][:, None] * x_0 + b[t][:, None] * eps\n"
CLEAN += "        value = (net(x_t, t) - x_0).square().mean()"
LOOPS = {
    "the optimiser never steps": ("        optimiser.step()\n", "", "the weights do not change"),
    "one time for all": ("times(512), torch.randn_like", "times(512) * 0 + 5, torch.randn_like", "draw them from"),
    "gradients that add up": ("        optimiser.zero_grad()\n", "", "add up: set them to 0"),
    "times of little noise alone": (
        "torch.randint(1, T + 1, (n,))",
        "torch.randint(1, 50, (n,))",
        "draw them from 1 to",
    ),
    "no result": ("        rate.step()\n    return net", "        rate.step()", "return the network"),
    "a learning rate of 10": ("net.parameters(), 2e-3", "net.parameters(), 10.0", "the learning rate is 10: take"),
    "a learning rate of 1e-7": ("net.parameters(), 2e-3", "net.parameters(), 1e-7", "the learning rate is 1e-07. Take"),
    "t is not read": ("[x, *waves], dim=1)", "[x, *waves], dim=1) * (torch.arange(18) < 2)", "the same at every time"),
    "64 points": (BEGIN, BEGIN + "    points = points[:64]\n", "sees few of the 10,000 points"),
    "standardised data": (BEGIN, BEGIN + "    points = points / points.std(0)\n", "not standardised"),
    "noise of one step": (LOSS_OF_LOOP, SAME_NOISE, "the noise is the same in each step"),
    "times from 0": (
        "torch.randint(1, T + 1, (n,))",
        "torch.randint(0, T, (n,))",
        "from 0 to 199: draw them from 1 to 200",
    ),
    "x_0 as target": (LOSS_OF_LOOP, CLEAN, "the network learned x_0, not the noise ε"),
    "steps of its own": (BEGIN, BEGIN + "    steps = 300\n", "the network was evaluated 300 times"),
}
"""Mistakes of the training loop of DDPM: text of the folded solution, what takes its place, and a part of the hint."""

SAMPLERS = {
    **{
        f"ddim of {steps} steps": f"""
def ddpm_sample(net, n):
    a, b = ddpm_schedule()
    x, times = torch.randn(n, 2), torch.linspace(200, 0, {steps} + 1).round().long().tolist()
    with torch.no_grad():
        for t, s in zip(times, times[1:]):
            eps = net(x, t)
            x = a[s] * (x - b[t] * eps) / a[t] + b[s] * eps
    return x
"""
        for steps in (100, 50, 40)
    },
    "five midpoint steps": """
@torch.no_grad()
def flow_sample(net, n):
    x = torch.randn(n, 2)
    for k in range(5, 0, -1):
        middle = x - 0.1 * net(x, k / 5)
        x = x - 0.2 * net(middle, k / 5 - 0.1)
    return x
""",
}
"""Samplers that are right, and other ones than those of the text."""

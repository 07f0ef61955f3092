"""Sampling: the cost of a sampler beside its network, images a second by batch size, memory, seconds to 1,000 images.

* Overhead: trajectories of the digits network (untrained, real size) at batch 64, in whose course the time inside the
  network is summed up; the rest is the sampler's. Ours and diffusers' schedulers walk with the very same network. The
  same once more with a network that costs nothing, so that the rest is measured alone: per step, over the network's.
* Sweep: images a second for each pass of the network, by batch size, of the nets that the quality part trains; and the
  peak of memory while sampling, in a process of its own.
* Seconds to 1,000 images at equal quality: the steps that each needs times what a step costs in the sweep's best batch.
  The steps are read from the quality part's curves (KID over steps of DDIM): the fewest with which a contestant is
  within `--within` of its own KID at the most steps. The KID that it reaches then is in the row: it is not the same.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ancestral import config, data, samplers
from ancestral.data import IMAGES, DataSpec
from ancestral.device import keep_freed_memory
from ancestral.model import build
from measure import alternate, child, paired, pick_device, record, spread, timer, waiter, write
from peers import make
from peers.contest import Task
from resident import above

SAMPLERS = ("ddim", "ddpm", "dpm", "heun", "unipc")
SCHEDULERS = {
    "DDIMScheduler": {"timestep_spacing": "trailing"},
    "DDPMScheduler": {"timestep_spacing": "trailing"},
    "DPMSolverMultistepScheduler": {},
    "UniPCMultistepScheduler": {},
}
SWEPT = ("ancestral", "diffusers-tuned", "ddp-tuned")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the part."""
    parser.add_argument("--steps", type=int, default=10, help="sampling steps that are timed")
    parser.add_argument("--rounds", type=int, default=7, help="rounds that count; one more warms up")
    parser.add_argument("--batch", type=int, default=64, help="images of the overhead")
    parser.add_argument("--sweep", type=int, nargs="*", default=[1, 8, 64, 256], help="batch sizes of the sweep")
    parser.add_argument("--only", nargs="+", default=list(SWEPT), choices=SWEPT, help="contestants of the sweep")
    parser.add_argument("--within", type=float, default=1.05, help="of the best KID: what counts as equal quality")


def run(options: argparse.Namespace) -> None:
    """Measure and write results/sampling.KIND.json."""
    keep_freed_memory()
    device = pick_device()
    rows = overheads(options, device)
    rows += sweeps(options, device)
    rows += equal(options, rows)
    write("sampling", device, {"rounds": options.rounds, "steps": options.steps}, rows)


class Timed(nn.Module):
    """A network that sums up how long it is asked."""

    def __init__(self, net: nn.Module, wait: Callable[[], object]) -> None:
        super().__init__()
        self.net, self.wait, self.now = net, wait, timer()
        self.calls, self.seconds = 0, 0.0

    def forward(self, x: Tensor, index: Tensor, labels: Tensor | None = None) -> Tensor:
        """The network's answer."""
        self.wait()
        began = self.now()
        answer: Tensor = self.net(x, index, labels)
        self.wait()
        self.seconds += self.now() - began
        self.calls += 1
        return answer


class Nothing(nn.Module):
    """A network that costs nothing: it answers with a number that was there before."""

    def forward(self, x: Tensor, index: Tensor, labels: Tensor | None = None) -> Tensor:
        """A view of one zero, in the shape of x."""
        return x.new_zeros(()).expand_as(x)


def overheads(options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """What samplers cost beside the network."""
    wait = waiter(device)
    torch.manual_seed(0)
    tree = config.digits()
    denoiser = build(tree, DataSpec((1, 28, 28), IMAGES, tuple("0123456789"))).to(device).eval()
    nets = {"net": Timed(denoiser.net, wait), "nothing": Timed(Nothing(), wait)}
    x = torch.randn(options.batch, 1, 28, 28, device=device)
    labels = torch.arange(options.batch, device=device) % 10
    walks = {**ours(options, denoiser, x, labels), **theirs(options, x, labels)}
    spent: dict[str, list[float]] = {}

    def job(walk: Callable[[nn.Module], object], kind: str, name: str) -> None:
        net = nets[kind]
        net.seconds, net.calls = 0.0, 0
        wait()
        began = timer()()
        walk(net)
        wait()
        total = timer()() - began
        spent.setdefault(f"{kind} {name}", []).append((total - net.seconds) / net.calls)
        spent.setdefault(f"inside {kind} {name}", []).append(net.seconds / net.calls)

    jobs = {
        f"{kind} {name}": (lambda walk=walk, kind=kind, name=name: job(walk, kind, name))
        for name, walk in walks.items()
        for kind in nets
    }
    alternate(jobs, options.rounds, wait=wait)
    rows = []
    for name in walks:
        inside = spent[f"inside net {name}"][1:]
        row = {
            "what": "overhead",
            "sampler": name,
            "batch": options.batch,
            "network_seconds": spread(inside),
            "outside": paired(spent[f"net {name}"][1:], inside),
            "alone": paired(spent[f"nothing {name}"][1:], inside),
            "alone_seconds": spread(spent[f"nothing {name}"][1:]),
        }
        rows.append(row)
        print(f"{name}: network {1e3 * row['network_seconds']['median']:.2f} ms a pass, outside ", end="")
        print(f"{row['outside']['median']:.2%}, alone {row['alone']['median']:.2%}", flush=True)
    return rows


def ours(options: argparse.Namespace, denoiser: Any, x: Tensor, labels: Tensor) -> dict[str, Callable[[Any], object]]:
    """A walk from x for each of our samplers, given the network."""

    def walk(net: nn.Module, sampler: samplers.Sampler) -> None:
        denoiser.net = net
        for _ in sampler.trajectory(denoiser, x, labels=labels):
            pass

    made = {name: samplers.from_name(name, steps=options.steps) for name in SAMPLERS}
    return {f"ancestral {name}": (lambda net, s=sampler: walk(net, s)) for name, sampler in made.items()}


def theirs(options: argparse.Namespace, x: Tensor, labels: Tensor) -> dict[str, Callable[[Any], object]]:
    """The same by diffusers' schedulers, in the loop that its documentation gives."""
    import diffusers

    settings = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}

    @torch.no_grad()
    def walk(net: nn.Module, scheduler: Any) -> None:
        scheduler.set_timesteps(options.steps)
        state = x
        for t in scheduler.timesteps:
            answer = net(state, t.to(x.device).expand(len(state)), labels)
            state = scheduler.step(answer, t, state).prev_sample

    made = {name: getattr(diffusers, name)(**settings, **more) for name, more in SCHEDULERS.items()}
    return {f"diffusers {name}": (lambda net, s=scheduler: walk(net, s)) for name, scheduler in made.items()}


def sweeps(options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Images a second by batch size, and memory."""
    if device.type != "cpu":
        return []
    digits = data.load("digits")
    assert digits.labels is not None
    task = Task("digits", digits.items[:64], digits.labels[:64], 2)
    rows = []
    made = {name: make(name)(task) for name in options.only}
    for batch in options.sweep:
        jobs = {
            name: (lambda one=one, batch=batch: one.sample(batch, 0, options.steps, batch))
            for name, one in made.items()
        }
        for name, seconds in alternate(jobs, max(1, options.rounds // 2)).items():
            words = (name, str(batch), str(options.steps))
            code = "import sys; from parts.sampling import memory; memory(*sys.argv[1:])"
            memory_ = json.loads(child(code, *words, threads=options.threads).splitlines()[-1])
            each = spread([s / batch / options.steps for s in seconds])
            rows.append(
                {"what": "sweep", "contestant": name, "batch": batch, "seconds_per_image_step": each, "bytes": memory_}
            )
            print(
                f"{name}, batch {batch}: {1 / each['median']:.0f} image steps/s, {memory_ / 2**20:.0f} MiB", flush=True
            )
    return rows


def memory(name: str, batch: str, steps: str) -> None:
    """In a process of its own: prints the bytes that sampling takes above what the model itself does."""
    digits = data.load("digits")
    assert digits.labels is not None
    one = make(name)(Task("digits", digits.items[:64], digits.labels[:64], 2))
    one.sample(2, 0, 2, 2)
    print(above(lambda: one.sample(int(batch), 0, int(steps), int(batch)), torch.device("cpu"))[2])


def equal(options: argparse.Namespace, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Seconds to 1,000 digits, where the quality part has measured a curve."""
    found = []
    for row in record("quality"):
        if row["data"] != "digits" or not row.get("curve") or row["seed"] != 0:
            continue
        name = row["contestant"]
        costs = [r["seconds_per_image_step"]["median"] for r in rows if r.get("contestant") == name]
        if not costs:
            continue
        curve = {int(steps): kid for steps, kid in row["curve"].items()}
        best = curve[max(curve)]
        steps = min(steps for steps, kid in curve.items() if kid <= options.within * best)
        seconds = 1000 * steps * min(costs)
        found.append({"what": "1000", "contestant": name, "steps": steps, "KID": curve[steps], "seconds": seconds})
        print(f"{name}: 1,000 digits in {seconds:.1f} s with {steps} steps, KID {curve[steps]:.3f}", flush=True)
    return found

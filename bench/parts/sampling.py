"""Sampling: the overhead of samplers, throughput and memory by batch size, and the time of 1,000 images.

* Overhead: the time of a trajectory that is not spent in the network, per network evaluation, divided by the time of
  the evaluation. The network is that of the digits preset, untrained, at batch 64, the same for our samplers and for
  diffusers' schedulers. "alone" is the same for a trajectory with a network that costs nothing.
* Sweep: images per second and sampling step by batch size, with the networks of the quality part, and the peak memory
  of sampling in a process of its own.
* Time of 1,000 images: the number of steps times the time of a step at the best batch size of the sweep. The number of
  steps is the smallest in the curve of the quality part (KID by sampling steps) whose KID is at most `--within` times
  that at the most steps. The KIDs of the libraries differ, and each is in its row.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ancestral import config, data, samplers
from ancestral.base.device import keep_freed_memory
from ancestral.data import IMAGES, DataSpec
from ancestral.model import build
from measure import alternate, paired_ratio, pick_device, quartiles, read_rows, run_code, sync_for, timer, write_result
from parts.quality import MINUTES
from peers import factory
from peers.contest import Task
from peers.paper import available
from resident import peak_memory

SAMPLERS = ("ddim", "ddpm", "dpm", "heun", "unipc")
SCHEDULERS = {
    "DDIMScheduler": {"timestep_spacing": "trailing"},
    "DDPMScheduler": {"timestep_spacing": "trailing"},
    "DPMSolverMultistepScheduler": {},
    "UniPCMultistepScheduler": {},
}
SWEEP = ("ancestral", "diffusers-tuned", "ddp-tuned")
Trajectories = dict[str, Callable[[Any], object]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the part."""
    parser.add_argument("--steps", type=int, default=10, help="number of sampling steps of a trajectory (default: 10)")
    parser.add_argument("--rounds", type=int, default=7, help="number of timed rounds after the warm-up (default: 7)")
    parser.add_argument("--batch", type=int, default=64, help="batch size of the overhead (default: 64)")
    parser.add_argument("--sweep", type=int, nargs="*", default=[1, 8, 64, 256], help="batch sizes of the sweep")
    parser.add_argument("--only", nargs="+", default=list(SWEEP), choices=SWEEP, help="libraries of the sweep")
    parser.add_argument("--within", type=float, default=1.05, help="largest ratio to the best KID (default: 1.05)")


def run(options: argparse.Namespace) -> None:
    """Measure everything and write results/sampling.KIND.json."""
    keep_freed_memory()
    device = pick_device()
    rows = measure_overhead(options, device)
    rows += measure_throughput(options, device)
    rows += time_of_1000(options, rows)
    write_result("sampling", device, {"rounds": options.rounds, "steps": options.steps}, rows)


class TimedNetwork(nn.Module):
    """Count the evaluations of a network, and add up their time."""

    def __init__(self, net: nn.Module, synchronize: Callable[[], object]) -> None:
        super().__init__()
        self.net, self.synchronize, self.now = net, synchronize, timer()
        self.calls, self.seconds = 0, 0.0

    def forward(self, x: Tensor, index: Tensor, labels: Tensor | None = None) -> Tensor:
        """Evaluate the network."""
        self.synchronize()
        began = self.now()
        output: Tensor = self.net(x, index, labels)
        self.synchronize()
        self.seconds += self.now() - began
        self.calls += 1
        return output


class ZeroNetwork(nn.Module):
    """A network that returns zeros at almost no cost."""

    def forward(self, x: Tensor, index: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return a view of one zero in the shape of x."""
        return x.new_zeros(()).expand_as(x)


def measure_overhead(options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Measure the time of each sampler outside the network, and return one row for each."""
    synchronize = sync_for(device)
    torch.manual_seed(0)
    denoiser = build(config.preset("digits"), DataSpec((1, 28, 28), IMAGES, tuple("0123456789"))).to(device).eval()
    nets = {"net": TimedNetwork(denoiser.net, synchronize), "zero": TimedNetwork(ZeroNetwork(), synchronize)}
    x = torch.randn(options.batch, 1, 28, 28, device=device)
    labels = torch.arange(options.batch, device=device) % 10
    trajectories = {**our_trajectories(options, denoiser, x, labels), **diffusers_trajectories(options, x, labels)}
    seconds: dict[str, list[float]] = {}

    def job(trajectory: Callable[[nn.Module], object], kind: str, name: str) -> None:
        net = nets[kind]
        net.seconds, net.calls = 0.0, 0
        synchronize()
        began = timer()()
        trajectory(net)
        synchronize()
        total = timer()() - began
        seconds.setdefault(f"{kind} {name}", []).append((total - net.seconds) / net.calls)
        seconds.setdefault(f"inside {kind} {name}", []).append(net.seconds / net.calls)

    jobs = {
        f"{kind} {name}": (lambda trajectory=trajectory, kind=kind, name=name: job(trajectory, kind, name))
        for name, trajectory in trajectories.items()
        for kind in nets
    }
    alternate(jobs, options.rounds, synchronize=synchronize)
    rows = []
    for name in trajectories:
        inside = seconds[f"inside net {name}"][1:]
        row = {
            "what": "overhead",
            "sampler": name,
            "batch": options.batch,
            "network_seconds": quartiles(inside),
            "outside": paired_ratio(seconds[f"net {name}"][1:], inside),
            "alone": paired_ratio(seconds[f"zero {name}"][1:], inside),
            "alone_seconds": quartiles(seconds[f"zero {name}"][1:]),
        }
        rows.append(row)
        print(f"{name}: network {1e3 * row['network_seconds']['median']:.2f} ms per evaluation, outside ", end="")
        print(f"{row['outside']['median']:.2%}, alone {row['alone']['median']:.2%}", flush=True)
    return rows


def our_trajectories(options: argparse.Namespace, denoiser: Any, x: Tensor, labels: Tensor) -> Trajectories:
    """Return a function of the network for each of our samplers, which runs its trajectory from x."""

    def run(net: nn.Module, sampler: samplers.Sampler) -> None:
        denoiser.net = net
        for _ in sampler.trajectory(denoiser, x, labels=labels):
            pass

    each = {name: samplers.from_name(name, steps=options.steps) for name in SAMPLERS}
    return {f"ancestral {name}": (lambda net, s=sampler: run(net, s)) for name, sampler in each.items()}


def diffusers_trajectories(options: argparse.Namespace, x: Tensor, labels: Tensor) -> Trajectories:
    """Return the same for diffusers' schedulers, with the loop of its documentation; none where it is not installed."""
    if "diffusers" not in available():
        return {}
    import diffusers

    settings = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}

    @torch.no_grad()
    def run(net: nn.Module, scheduler: Any) -> None:
        scheduler.set_timesteps(options.steps)
        state = x
        for t in scheduler.timesteps:
            output = net(state, t.to(x.device).expand(len(state)), labels)
            state = scheduler.step(output, t, state).prev_sample

    each = {name: getattr(diffusers, name)(**settings, **more) for name, more in SCHEDULERS.items()}
    return {f"diffusers {name}": (lambda net, s=scheduler: run(net, s)) for name, scheduler in each.items()}


def measure_throughput(options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Measure the throughput and the memory of sampling by batch size; on a CPU only."""
    if device.type != "cpu":
        return []
    digits = data.load("digits")
    assert digits.labels is not None
    task = Task("digits", digits.items[:64], digits.labels[:64], 2)
    rows = []
    contestants = {name: factory(name)(task) for name in options.only}
    for batch in options.sweep:
        jobs = {
            name: (lambda contestant=contestant, batch=batch: contestant.sample(batch, 0, options.steps, batch))
            for name, contestant in contestants.items()
        }
        for name, seconds in alternate(jobs, max(1, options.rounds // 2)).items():
            arguments = (name, str(batch), str(options.steps))
            code = "import sys; from parts.sampling import print_memory; print_memory(*sys.argv[1:])"
            memory = json.loads(run_code(code, *arguments, threads=options.threads).splitlines()[-1])
            each = quartiles([s / batch / options.steps for s in seconds])
            rows.append(
                {"what": "sweep", "contestant": name, "batch": batch, "seconds_per_image_step": each, "bytes": memory}
            )
            rate = 1 / each["median"]
            print(f"{name}, batch {batch}: {rate:.0f} images x steps / s, {memory / 2**20:.0f} MiB", flush=True)
    return rows


def print_memory(name: str, batch: str, steps: str) -> None:
    """Measure the peak memory of sampling in this process, without the model itself, and print the bytes."""
    digits = data.load("digits")
    assert digits.labels is not None
    contestant = factory(name)(Task("digits", digits.items[:64], digits.labels[:64], 2))
    contestant.sample(2, 0, 2, 2)
    print(peak_memory(lambda: contestant.sample(int(batch), 0, int(steps), int(batch)), torch.device("cpu"))[2])


def time_of_1000(options: argparse.Namespace, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compute the time of 1,000 digits of each contestant for which the quality part has measured a curve."""
    times = []
    for row in read_rows("quality"):
        if row["data"] != "digits" or not row.get("curve") or (row["seed"], row["minutes"]) != (0, MINUTES["digits"]):
            continue
        name = row["contestant"]
        costs = [r["seconds_per_image_step"]["median"] for r in rows if r.get("contestant") == name]
        if not costs:
            continue
        curve = {int(steps): kid for steps, kid in row["curve"].items()}
        best = curve[max(curve)]
        steps = min(steps for steps, kid in curve.items() if kid <= options.within * best)
        seconds = 1000 * steps * min(costs)
        times.append({"what": "1000", "contestant": name, "steps": steps, "KID": curve[steps], "seconds": seconds})
        print(f"{name}: 1,000 digits in {seconds:.1f} s with {steps} steps, KID {curve[steps]:.3f}", flush=True)
    return times

"""Rates of loading, gradients and checkpoints on this machine, and a projection to many GPUs with its assumptions.

    python bench/cluster.py rates        measure, and write bench/results/cluster.KIND.json: some minutes
    python bench/cluster.py projection   print the tables of docs/how-to/cluster.md

`rates` measures images per second from arrays, a folder and shards, by the number of workers; bytes per second of an
all-reduce of gradients between two local processes, and the share of it that the backward pass hides; and seconds and
bytes of a checkpoint, replicated and sharded. `projection` is a formula over `Assumptions` and two counted numbers of
the network: parameters and FLOPs of an image. Nothing of it was measured on a GPU.
"""

import argparse
import dataclasses
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from ancestral import config, data
from ancestral.data import InMemoryDataset
from ancestral.training import RunFolder, Trainer
from ancestral.training.fault_tolerance import Saves
from flops import network_flops
from loaders import loader_throughput, make_pngs, write_sources
from measure import run_python, write_result
from page import table

PRESETS = ("cifar10", "photos64", "photos256")
"""Networks of the projection."""
GPUS = (8, 64, 1024)
EACH, TOGETHER = 64, 2048
"""Images of a step: of each GPU, whose number makes the batch larger; and of all GPUs together."""
SIZES = (2**20, 2**24, 2**27)
"""Bytes of the all-reduces that are measured."""
COPIES = 7
"""Copies of each weight, in float32, in a checkpoint and the model file: weight, average, two moments of Adam, the two
averages of a snapshot, and the average of the model file."""


# -- rates ------------------------------------------------------------------------------------------------------------


def loading(images: int, side: int, seconds: float) -> list[dict[str, Any]]:
    """Measure images per second of each kind of source by the number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        write_sources(Path(folder), make_pngs(images, side))
        sources = {
            "arrays": data.load(str(Path(folder) / "tree")),
            "folder": data.open(str(Path(folder) / "tree"), memory=0),
            "shards": data.open(str(Path(folder) / "tar"), memory=0),
        }
        rows = []
        for name, source in sources.items():
            for workers in (0,) if isinstance(source, InMemoryDataset) else (0, 1, 2):
                wall, cpu = loader_throughput(source, workers, seconds)
                rows.append({"what": "loading", "source": name, "workers": workers, "per_second": wall, "per_cpu": cpu})
                print(rows[-1], flush=True)
    return rows


def launched(work: str, processes: int, *words: object) -> Any:
    """Run a part of this file in several processes, and return what the first one wrote."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "row.json"
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        run_python(*launcher, __file__, work, str(path), *map(str, words))
        return json.loads(path.read_text(encoding="utf-8"))


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the median wall time of a function, which all processes begin together; its first call is not timed."""
    times = []
    for round_ in range(rounds + 1):
        distributed.barrier()
        began = time.perf_counter()
        work()
        if round_:
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def small_trainer(shard: bool) -> Trainer:
    """Make a trainer of the network of the preset cifar10 on random images, a few in each batch."""
    base = config.preset("cifar10")
    train = dataclasses.replace(base.train, batch_size=2 * distributed.get_world_size(), precision="fp32", steps=1000)
    settings = dataclasses.replace(
        base, train=train, runtime=dataclasses.replace(base.runtime, shard=shard, snapshots=8)
    )
    items = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8)
    return Trainer(settings, InMemoryDataset(items, torch.arange(64) % 10, tuple("0123456789"), "random"), "cpu")


def gradients(path: Path, rounds: int) -> None:
    """Measure the all-reduce alone, and steps with and without it. The first process writes the row."""
    rates = {}
    for size in SIZES:
        buffer = torch.ones(size // 4)
        rates[size] = size / median_seconds(lambda buffer=buffer: distributed.all_reduce(buffer), rounds)
    trainer = small_trainer(shard=False)
    state, net = trainer.state, trainer.denoiser.net
    x, index = torch.randn(2, 3, 32, 32), torch.tensor([10, 500])

    def gradient(synchronised: bool) -> None:
        with trainer.distributed.accumulating(net, synchronised):
            net(x, index).square().mean().backward()
        state.optimiser.zero_grad()

    size = 4 * sum(parameter.numel() for parameter in state.parameters)
    buffer = torch.ones(size // 4)
    alone = median_seconds(lambda: distributed.all_reduce(buffer), rounds)
    with_sum, without = (median_seconds(lambda flag=flag: gradient(flag), rounds) for flag in (True, False))
    row = {
        "what": "gradients",
        "processes": distributed.get_world_size(),
        "bytes_per_second": {str(size): rate for size, rate in rates.items()},
        "gradient_bytes": size,
        "all_reduce_seconds": alone,
        "seconds_with": with_sum,
        "seconds_without": without,
        "overlap": 1 - (with_sum - without) / alone,
    }
    if distributed.get_rank() == 0:
        path.write_text(json.dumps(row), encoding="utf-8")


def checkpoint(path: Path, shard: bool) -> None:
    """Measure a save: what the step waits for, and the whole of it. The first process writes the row."""
    trainer = small_trainer(shard)
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(Path(place) / "run")
        if trainer.distributed.main:
            folder.begin(trainer.config)
        trainer.advance()
        rows = []
        for _ in range(3):
            trainer.advance()
            saves = Saves(folder, trainer.config, trainer.distributed)
            distributed.barrier()
            began = time.perf_counter()
            saves.save(trainer.state, trainer.config)
            waited = time.perf_counter() - began
            saves.wait()
            rows.append((waited, time.perf_counter() - began))
        if trainer.distributed.main:
            written = folder.checkpoints / f"{trainer.step:06d}"
            size = sum(file.stat().st_size for file in [*written.iterdir(), folder.model])
            waited, whole = (statistics.median(column) for column in zip(*rows, strict=True))
            row = {"what": "checkpoint", "processes": distributed.get_world_size(), "shard": shard, "bytes": size}
            path.write_text(json.dumps({**row, "step_waits": waited, "seconds": whole}), encoding="utf-8")


# -- the projection ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assumptions:
    """What the projection assumes. None of it was measured here."""

    peak: float = 989e12
    """FLOP/s of an H100 SXM in bfloat16, dense."""
    share: float = 0.3
    """Share of the peak that a step reaches."""
    node: int = 8
    """GPUs of a machine."""
    nvlink: float = 450e9
    """Bytes per second of each GPU to the others of its machine, in one direction."""
    network: float = 50e9
    """Bytes per second of each GPU to other machines: one 400 Gbit/s InfiniBand card for each."""
    efficiency: float = 0.7
    """Share of these rates that an all-reduce reaches."""
    latency: float = 10e-6
    """Seconds of a step of a tree, of which an all-reduce takes 2 log2(machines), in each of `buckets`."""
    bucket: float = 25 * 2**20
    """Bytes of gradients that DDP sums at once."""
    hidden: float = 0.8
    """Share of the backward pass, two thirds of the computation, during which gradients are summed."""
    file_system: float = 2e9
    """Bytes per second at which one process writes a checkpoint."""
    decoded: float = 8e6
    """Pixels per second that one core reads, decodes and puts into batches: half of what was measured for PNG files."""


@dataclass(frozen=True)
class Projection:
    """A step on many GPUs."""

    compute: float
    """Seconds of the forward and backward pass."""
    all_reduce: float
    """Seconds of the sum of the gradients."""
    exposed: float
    """Seconds of that which the backward pass does not hide."""
    per_second: float
    """Images per second of all GPUs."""
    efficiency: float
    """That, divided by what as many GPUs without communication would reach."""
    per_host: float
    """Images per second that each machine must load."""
    cores: float
    """Number of cores of each machine that decode at this rate."""


@dataclass(frozen=True)
class Network:
    """What the projection counts of a network."""

    parameters: int
    flops: float
    """FLOPs of the forward and backward pass of an image."""
    side: int
    """Height and width of an image."""


def project(net: Network, gpus: int, images: int, given: Assumptions) -> Projection:
    """Compute a step of data-parallel training with a ring all-reduce of float32 gradients.

    Each GPU sends and receives 2 (N − 1)/N of the gradients. Over several machines a GPU sums 1/8 of them over the
    network, after a reduce-scatter within its machine, and before an all-gather there.

    Args:
        net: The network.
        gpus: Number of GPUs.
        images: Images of each GPU in a step.
        given: The assumptions.
    """
    compute = images * net.flops / (given.peak * given.share)
    local, machines, size = min(gpus, given.node), -(-gpus // given.node), 4 * net.parameters
    inside = 2 * (local - 1) / local * size / (given.nvlink * given.efficiency)
    across = 2 * (machines - 1) / machines * size / local / (given.network * given.efficiency)
    waits = 2 * math.ceil(math.log2(gpus)) * given.latency * math.ceil(size / given.bucket) if gpus > 1 else 0.0
    all_reduce = inside + across + waits
    exposed = max(0.0, all_reduce - given.hidden * compute * 2 / 3)
    per_second = gpus * images / (compute + exposed)
    per_host, efficiency = per_second / machines, compute / (compute + exposed)
    cores = per_host * net.side**2 / given.decoded
    return Projection(compute, all_reduce, exposed, per_second, efficiency, per_host, cores)


def checkpoint_seconds(net: Network, given: Assumptions) -> float:
    """Return the seconds in which a checkpoint and the model file are written, in the background."""
    return COPIES * 4 * net.parameters / given.file_system


def network(preset: str) -> Network:
    """Count the parameters, and the FLOPs of an image in training, of a preset's network."""
    settings = config.preset(preset)
    side = settings.data.image_size or 32
    items = InMemoryDataset(torch.zeros(2, 3, side, side, dtype=torch.uint8), None, (), "none")
    train, source = (
        dataclasses.replace(settings.train, batch_size=2),
        dataclasses.replace(settings.data, source="python"),
    )
    trainer = Trainer(dataclasses.replace(settings, train=train, data=source), items, "cpu")
    net: nn.Module = trainer.state.net
    flops = float(network_flops(net, (3, side, side), training=True))
    return Network(sum(p.numel() for p in net.parameters()), flops, side)


def share_of(gpus: int) -> int:
    """Return the images of each GPU where all together have TOGETHER."""
    return TOGETHER // gpus


def projection_table(
    networks: dict[str, Network], images: Callable[[int], int], given: Assumptions | None = None
) -> str:
    """Format a row for each network and number of GPUs, each of which has `images` of this number."""
    given, rows = given or Assumptions(), []
    for name, net in networks.items():
        for gpus in GPUS:
            step = project(net, gpus, images(gpus), given)
            rows.append([
                f"`{name}`", f"{gpus:,}", f"{gpus * images(gpus):,}",
                *(f"{1e3 * seconds:.1f}" for seconds in (step.compute, step.all_reduce, step.exposed)),
                f"{100 * step.efficiency:.0f} %", f"{step.per_second:,.0f}", f"{step.per_host:,.0f}",
                f"{step.cores:.0f}", f"{checkpoint_seconds(net, given):.1f}",
            ])  # fmt: skip
    head = ["network", "GPUs", "batch", "computation, ms", "all-reduce, ms", "not hidden, ms", "efficiency"]
    head += ["images/s", "images/s a machine", "cores that decode them", "checkpoint, s"]
    return "\n".join(table(head, rows))


# -- the command ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["rates", "projection"])
    parser.add_argument("--images", type=int, default=2000, help="number of images that are loaded (default: 2000)")
    parser.add_argument("--side", type=int, default=64, help="their height and width (default: 64)")
    parser.add_argument("--seconds", type=float, default=4, help="duration of each measurement of loading (default: 4)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds of gradients (default: 5)")
    options = parser.parse_args()
    if options.part == "projection":
        networks = {name: network(name) for name in PRESETS}
        print(projection_table(networks, lambda gpus: EACH), "", projection_table(networks, share_of), sep="\n")
        return
    torch.set_num_threads(1)
    rows = loading(options.images, options.side, options.seconds)
    rows.append(launched("gradients", 2, options.rounds))
    print(rows[-1], flush=True)
    for shard in (0, 1):
        rows.append(launched("checkpoint", 2, shard))
        print(rows[-1], flush=True)
    settings = {name: value for name, value in vars(options).items() if name != "part"}
    write_result("cluster", torch.device("cpu"), settings, rows)


if __name__ == "__main__":
    if sys.argv[1:2] in (["gradients"], ["checkpoint"]):  # a process that `launched` started
        torch.set_num_threads(1)
        distributed.init_process_group("gloo")
        work = gradients if sys.argv[1] == "gradients" else checkpoint
        work(Path(sys.argv[2]), int(sys.argv[3]))
        distributed.destroy_process_group()
    else:
        main()

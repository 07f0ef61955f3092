"""Started by torchrun for the growth part: interleaved steps of ours and of diffusers, 16 images in all processes."""

import json
import os
import sys

import torch
from torch.nn.parallel import DistributedDataParallel

from ancestral.base.device import keep_freed_memory
from measure import alternate
from peers.paper import AncestralSteps, DiffusersSteps, Setting


def main() -> None:
    """Time the steps; the process of rank 0 prints the seconds as JSON."""
    keep_freed_memory()
    torch.set_num_threads(1)
    world, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    rounds, width = map(int, sys.argv[1:])
    ours = AncestralSteps(Setting(batch=16, width=width))  # the global batch; it initialises torch.distributed
    theirs = DiffusersSteps(Setting(batch=16 // world, width=width))  # the batch of one process
    if world > 1:
        theirs.net = DistributedDataParallel(theirs.net)
    seconds = alternate({"ancestral": ours.step, "diffusers": theirs.step}, rounds, wall=True)
    if rank == 0:
        print(json.dumps(seconds), flush=True)
    ours.trainer.close()


if __name__ == "__main__":
    main()

"""What torchrun starts for the growth part: steps of 16 images by all processes, ours and diffusers' in turns."""

import json
import os
import sys

import torch
from torch.nn.parallel import DistributedDataParallel

from ancestral.device import keep_freed_memory
from measure import alternate
from peers.paper import Diffusers, Ours, Setting


def main() -> None:
    """The first process prints the seconds of each."""
    keep_freed_memory()
    torch.set_num_threads(1)
    world, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    rounds, width = map(int, sys.argv[1:])
    ours = Ours(Setting(batch=16, width=width))  # a batch of all processes; it joins them
    theirs = Diffusers(Setting(batch=16 // world, width=width))  # of one
    if world > 1:
        theirs.net = DistributedDataParallel(theirs.net)
    seconds = alternate({"ancestral": ours.step, "diffusers": theirs.step}, rounds, wall=True)
    if rank == 0:
        print(json.dumps(seconds), flush=True)
    ours.trainer.close()


if __name__ == "__main__":
    main()

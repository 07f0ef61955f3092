"""The denoiser of a model as a torch.export file (.pt2), which PyTorch alone loads; of latents also the decoder.

`torch.export.load(path).module()` is called as (x_t, t, conditions) with x_t float32 (batch, *shape), t in 1..T, int64
(batch,), and a dict of the conditions in the order of `inputs`: labels, int64 (batch,), negative for "no class", and
each of the others. It answers x̂_0 and ε̂, and where the variance is learned its fraction, each of the shape of x_t. The
extra file `ancestral.json` in it has the facts of `exported_network`.

The file holds the graph and the facts as JSON, and the weights as bytes. PyTorch may write pickled parts into such
files, and unpickles whatever a file holds. So no example inputs are kept, which would be pickled, and this package
reads no such file.
"""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ancestral.base import storage
from ancestral.diffusion import Diffusion
from ancestral.interop.exported_network import check_file, decoder_of, example_conditions, sampling_facts
from ancestral.model import Model

FACTS_FILE = "ancestral.json"
ESTIMATE = "    x0 = first answer of the program for (x, t, conditions); t and the conditions have n values each"


class ExportedDenoiser(nn.Module):
    """A denoiser at the integer times, whose coefficients are tables: x̂_0 and ε̂ are linear in x_t and the estimate.

    Args:
        diffusion: The denoiser, on the CPU.
    """

    def __init__(self, diffusion: Diffusion) -> None:
        super().__init__()
        schedule, target = diffusion.schedule, diffusion.target
        self.net, self.learned_variance = diffusion.net, diffusion.learned_variance
        a, b = schedule.at(torch.arange(1, schedule.steps + 1))
        one, zero = torch.ones(schedule.steps, dtype=torch.float64), torch.zeros(schedule.steps, dtype=torch.float64)
        of_x, of_answer = target.solve(one, zero, a, b), target.solve(zero, one, a, b)
        scales = target.tables(schedule)
        tables = {
            "input_scale": torch.tensor(scales["input_scale"]),
            "output_scale": torch.tensor(scales["output_scale"]),
            "x0_of_x": of_x.x0,
            "x0_of_answer": of_answer.x0,
            "eps_of_x": of_x.eps,
            "eps_of_answer": of_answer.eps,
        }
        for name, table in tables.items():
            self.register_buffer(name, table.float())

    def forward(self, x_t: Tensor, t: Tensor, conditions: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Estimate x_0 and ε.

        Args:
            x_t: Noisy samples, float32 (B, *).
            t: Their times in 1..T, int64 (B,).
            conditions: What the network is conditioned on, by its names.

        Returns:
            x̂_0 and ε̂, each (B, *), and the variance fraction where the network learned it.
        """
        index = t - 1

        def at_time(name: str) -> Tensor:
            table: Tensor = getattr(self, name)
            return table[index].reshape(-1, *[1] * (x_t.ndim - 1))

        output = self.net(at_time("input_scale") * x_t, index, **conditions)
        answer, *fraction = output.chunk(2, dim=1) if self.learned_variance else [output]
        answer = at_time("output_scale") * answer
        x0 = at_time("x0_of_x") * x_t + at_time("x0_of_answer") * answer
        eps = at_time("eps_of_answer") * answer + at_time("eps_of_x") * x_t
        return x0, eps, *((one + 1) / 2 for one in fraction)


def write_pt2(model: Model, path: Path) -> list[Path]:
    """Write the file atomically; of a model of latents also the file of its decoder.

    Args:
        model: The model, on the CPU.
        path: The file. That of the decoder lies beside it: model.decoder.pt2 beside model.pt2.

    Returns:
        The paths of the files, the denoiser's first.

    Raises:
        InputError: For a path that is a folder.
    """
    check_file(path)
    conditions, decoder, place = example_conditions(model), decoder_of(model, path), None
    if decoder is not None:
        half, latents, place = decoder
        _write(half, (latents,), place, {"ancestral": model.version})
    facts = {"inputs": ["x_t", "t", *conditions], **sampling_facts(model, ESTIMATE, place)}
    inputs = torch.zeros(2, *model.spec.x_shape), torch.ones(2, dtype=torch.int64), conditions
    _write(ExportedDenoiser(model.diffusion), inputs, path, facts)
    return [path, *([] if place is None else [place])]


def _write(net: nn.Module, inputs: tuple[Any, ...], path: Path, facts: dict[str, Any]) -> None:
    """Export a network that is called with these inputs, for batches of any size."""
    net = copy.deepcopy(net).float().eval()
    for weights in (*net.parameters(), *net.buffers()):
        weights.data = weights.data.clone(memory_format=torch.contiguous_format)  # as the file stores them
    batch = {0: torch.export.Dim("batch")}
    shapes = tuple(dict.fromkeys(one, batch) if isinstance(one, dict) else batch for one in inputs)
    with torch.no_grad():
        program = torch.export.export(net, inputs, dynamic_shapes=shapes)
    program.example_inputs = None  # which would be pickled
    # a file that is opened, since one that is named has its name inside, which is temporary here
    with storage.atomic(path) as temporary, temporary.open("wb") as file:
        torch.export.save(program, file, extra_files={FACTS_FILE: json.dumps(facts)})

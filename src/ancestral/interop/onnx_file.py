"""A model's network as an ONNX file, with all that sampling from it needs as metadata.

Inputs are x, float32 (batch, *shape), index = t − 1, int64 (batch,), and for a model with classes labels, int64
(batch,), negative for "no class"; output is what the network says, float32 of the shape of x. The metadata is JSON:
the tables a_t and b_t (signal and noise, t = 0..T), the target, the shape, the codec with its limits (the values that
−1 and 1 stand for) and the classes.
"""

import json
import warnings
from pathlib import Path

import torch

from ancestral import storage
from ancestral.errors import InputError
from ancestral.model import Model

LIMIT = 2_000_000_000
"""Bytes; a protocol buffer, which an ONNX file is, holds no more than 2 GiB."""


def write_onnx(model: Model, path: Path) -> None:
    """Write the file, atomically. `model` must be on the CPU. Raises InputError without the extra `onnx`."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give --out a file that ends in .onnx")
    if sum(p.numel() * p.element_size() for p in model.diffusion.parameters()) > LIMIT:
        raise InputError("the network's weights are over 2 GB, which one ONNX file cannot hold; use --to diffusers")
    try:
        import onnx  # noqa: F401  # the exporter imports both late, and says less when one is missing
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError("ONNX files need two more packages: pip install 'ancestral[onnx]'") from None
    net, facts = model.diffusion.net.float().eval(), model.spec
    inputs = {"x": torch.zeros(2, *facts.shape), "index": torch.zeros(2, dtype=torch.int64)}
    if facts.classes:
        inputs["labels"] = torch.zeros(2, dtype=torch.int64)
    shapes = {name: {0: torch.export.Dim.DYNAMIC} for name in inputs}
    shapes["x"] = {0: torch.export.Dim("batch")}  # names them all: they are the same size
    with warnings.catch_warnings(), torch.no_grad():
        # torch's own exporter warns of its own use of its pytree; our code has no part in it
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
        program = torch.onnx.export(
            net,
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=["output"],
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(metadata(model))
    with storage.atomic(path) as temporary:
        program.save(temporary, external_data=False)


def metadata(model: Model) -> dict[str, str]:
    """What the file says of itself; every value is JSON.

    At t = 1..T the network's input is `input_scale` times x_t, and the estimate of the target `output_scale` times its
    output.
    """
    schedule, facts, target = model.denoiser.schedule, model.spec, model.diffusion.target
    scales = target.scales(schedule, torch.arange(1, schedule.steps + 1))
    input_scale, output_scale = (torch.as_tensor(scale).expand(schedule.steps).tolist() for scale in scales)
    values = {
        "ancestral": model.version,
        "schedule": schedule.spec,
        "signal": schedule.signal.tolist(),
        "noise": schedule.noise.tolist(),
        "prior_std": schedule.prior_std,
        "target": target.name,
        "input_scale": input_scale,
        "output_scale": output_scale,
        "learned_variance": model.diffusion.learned_variance,
        "shape": facts.shape,
        "codec": facts.codec.kind,
        "limits": facts.codec.limits,
        "classes": facts.classes,
    }
    return {name: json.dumps(value) for name, value in values.items()}

"""The network of a model as an ONNX file, with all that sampling needs as metadata.

Inputs are x, float32 (batch, *shape), index = t − 1, int64 (batch,), and for models with classes labels, int64
(batch,), negative for "no class". The output is the prediction of the network, float32 of the shape of x. The metadata
is JSON: a_t and b_t (signal and noise, t = 0..T), the target, the shape, the codec with its limits (the values that −1
and 1 stand for) and the classes.
"""

import json
import logging
import warnings
from pathlib import Path

import torch

from ancestral import storage
from ancestral.errors import InputError
from ancestral.model import Model

MAX_BYTES = 2_000_000_000
"""An ONNX file is a protocol buffer, which holds at most 2 GiB."""


def write_onnx(model: Model, path: Path) -> None:
    """Write the file atomically, of a model on the CPU.

    Raises InputError without the extra `onnx`, for a path that is a folder, and for a network that is too large.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder; give --out a file that ends in .onnx")
    if sum(p.numel() * p.element_size() for p in model.diffusion.parameters()) > MAX_BYTES:
        raise InputError("the network's weights are over 2 GB, which one ONNX file cannot hold; use --to diffusers")
    try:
        import onnx  # noqa: F401  # the exporter's own error is less clear
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError("ONNX files need two more packages: pip install 'ancestral[onnx]'") from None
    storage.check_writable(path.parent)  # before the minutes that the export takes
    net, spec = model.diffusion.net.float().eval(), model.spec
    inputs = {"x": torch.zeros(2, *spec.shape), "index": torch.zeros(2, dtype=torch.int64)}
    if spec.classes:
        inputs["labels"] = torch.zeros(2, dtype=torch.int64)
    shapes = {name: {0: torch.export.Dim.DYNAMIC} for name in inputs}
    shapes["x"] = {0: torch.export.Dim("batch")}  # one name for all, since they have the same size
    # it logs each operation that it does not fold, which changes nothing
    logging.getLogger("onnxscript.optimizer._constant_folding").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        # raised by torch's exporter about itself
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
    """Return the metadata, whose values are JSON.

    At t = 1..T the network's input is `input_scale` times x_t, and the estimate of the target `output_scale` times its
    output.
    """
    schedule, spec, target = model.denoiser.schedule, model.spec, model.diffusion.target
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
        "shape": spec.shape,
        "codec": spec.codec.kind,
        "limits": spec.codec.limits,
        "classes": spec.classes,
    }
    return {name: json.dumps(value) for name, value in values.items()}

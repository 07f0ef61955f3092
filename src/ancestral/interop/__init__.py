"""Models to and from other programs: diffusers pipelines, both ways, ONNX and torch.export files, and browsers.

`azula` and `deepinv` return a model as a denoiser of these packages. diffusers is never imported.
"""

from ancestral.interop.denoisers import azula, deepinv
from ancestral.interop.exported_network import write_onnx, write_pt2
from ancestral.interop.pipeline import read_pipeline, write_pipeline
from ancestral.page.network_program import NetworkProgram, compile_network
from ancestral.page.web_page import write_html, write_space

__all__ = [
    "NetworkProgram",
    "azula",
    "compile_network",
    "deepinv",
    "read_pipeline",
    "write_html",
    "write_onnx",
    "write_pipeline",
    "write_pt2",
    "write_space",
]

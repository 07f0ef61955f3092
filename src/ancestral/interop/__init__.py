"""Models to and from other programs: diffusers pipelines, both ways, ONNX files, and browsers.

diffusers is never imported.
"""

from ancestral.interop.onnx_file import write_onnx
from ancestral.interop.pipeline import read_pipeline, write_pipeline
from ancestral.page.network_program import NetworkProgram, compile_network
from ancestral.page.web_page import write_html, write_space

__all__ = [
    "NetworkProgram",
    "compile_network",
    "read_pipeline",
    "write_html",
    "write_onnx",
    "write_pipeline",
    "write_space",
]

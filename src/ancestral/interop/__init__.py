"""Models to and from other libraries: diffusers pipelines, both ways, and ONNX files. diffusers is never imported."""

from ancestral.interop.onnx_file import write_onnx
from ancestral.interop.pipeline import check_exportable, choose_for_diffusers, read_pipeline, write_pipeline

__all__ = ["check_exportable", "choose_for_diffusers", "read_pipeline", "write_onnx", "write_pipeline"]

"""Results that workflows return: frozen values of plain numbers and text, with a JSON schema each. No torch."""

from ancestral.base.quantities import Estimate
from ancestral.base.result import Table
from ancestral.results.comparison_result import AveragingResult, ComparisonResult, SamplerComparisonResult
from ancestral.results.evaluation_result import ConditionalResult, EvaluationResult, LikelihoodResult
from ancestral.results.run_result import CleaningResult, ModelInfo, RunFiles, RunList, TrainingResult
from ancestral.results.sample_result import SampleMetrics
from ancestral.results.sampling_result import EditingResult, SamplingResult

__all__ = [
    "AveragingResult",
    "CleaningResult",
    "ComparisonResult",
    "ConditionalResult",
    "EditingResult",
    "Estimate",
    "EvaluationResult",
    "LikelihoodResult",
    "ModelInfo",
    "RunFiles",
    "RunList",
    "SampleMetrics",
    "SamplerComparisonResult",
    "SamplingResult",
    "Table",
    "TrainingResult",
]

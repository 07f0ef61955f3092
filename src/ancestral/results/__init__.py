"""Results that workflows return: frozen values of plain numbers and text, with a JSON schema each. No torch."""

from ancestral.base.quantities import Estimate
from ancestral.base.result import Table
from ancestral.results.comparison_result import AveragingResult, ComparisonResult, SamplerComparisonResult
from ancestral.results.evaluation_result import ConditionalResult, EvaluationResult, LikelihoodResult
from ancestral.results.sample_result import SampleMetrics

__all__ = [
    "AveragingResult",
    "ComparisonResult",
    "ConditionalResult",
    "Estimate",
    "EvaluationResult",
    "LikelihoodResult",
    "SampleMetrics",
    "SamplerComparisonResult",
    "Table",
]

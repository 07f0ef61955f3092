"""Reads a data set before training: what it is, what is wrong with it, and what a training of it will take.

report = examine("photos/", config.preset("folder"))    report.findings    report.to_json()    report.sheet
summary(dataset)    # statistics and balance of a data set in memory, in a fraction of a second
"""

from ancestral.doctor.cost import Estimate, estimate
from ancestral.doctor.examination import Report, examine
from ancestral.doctor.findings import Finding
from ancestral.doctor.page import page
from ancestral.doctor.survey import Files
from ancestral.doctor.values import Summary, Values, summary

__all__ = ["Estimate", "Files", "Finding", "Report", "Summary", "Values", "estimate", "examine", "page", "summary"]

"""The page of an export.

export_page   the page
pareto        how right against how fast
slimmed       how a network was made slim

To add a section: a function that returns parts of `training.report.page`.
"""

"""Pages and plots, of a training and of an export.

page          parts of an HTML page, all text escaped
plots         curves, matrices, contact sheets
run_page      the page of a run

To add a plot: a function in `plots`, a figure on a page.
"""

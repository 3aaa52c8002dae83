"""How right models are, on photos that they were not trained on.

accuracy      top-1, classes, confusion, McNemar's test
calibration   are answers given with 0.8 right in 80 %?
evaluation    several models on the same pictures
held_out      which pictures a model may be measured on
unknowns      how well a score tells known pictures from others

To add a figure: a function of arrays in the file of its kind, a field in `evaluation.Evaluation`.
"""

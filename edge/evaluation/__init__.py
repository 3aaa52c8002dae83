"""How right models are, on photos that they were not trained on.

accuracy      top-1, classes, confusion, McNemar's test
calibration   are answers given with 0.8 right in 80 %?
comparison    two models, paired photo by photo
evaluation    several models on the same pictures
held_out      which pictures a model may be measured on
known         the photos and classes that accuracy is measured over
others        pictures of other things, folder by folder
unknowns      how well a score tells known pictures from others

To add a figure: a function of arrays in the file of its kind, a field in `evaluation.Evaluation`.
"""

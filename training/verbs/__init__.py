"""The verbs that need TensorFlow to train.

train         flora train

To add one: a file here, its row in `edge.cli.VERBS`.
"""

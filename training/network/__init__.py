"""The Keras network.

backbone      a pretrained MobileNet with a new head, as one flat model
classifier    a Keras network behind the same face as a model file
inference     a network asked: pixels normalised, in batches
keras         the one place that chooses Keras
keras_file    a Keras file of anybody's, read without running its code
strategy      CPU, GPUs, several machines

To add a backbone: its row in `training.config.BACKBONES`; `backbone` builds what the row names.
"""

"""Keras networks to int8.

aware         training with quantisation
bias          the mean error of rounding taken back
convert       float32, float16, dynamic range, int8
sparsify      weights set to zero by magnitude

To add a quantisation: a file here, a row in `export.variants.making.RECIPES`.
"""

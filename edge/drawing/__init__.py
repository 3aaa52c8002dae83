"""A decision drawn over its picture.

heatmap       where in the picture an answer comes from
overlay       the answer, its bars, the square that the model sees

To add a drawing: a file here that takes a frame and returns one; a sink shows it.
"""

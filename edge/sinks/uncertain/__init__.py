"""Frames that the model is unsure about, kept until a person names them.

options       what it is asked for with
sink          the sink: the way in
store         the folder: what is kept, what goes first, what was labelled

To add a reason to keep a frame: `store.is_unsure`.
"""

"""Frames that the model is unsure about, kept until a person names them; and the scene as it is, to learn it.

kept          a kept frame: its file, its note, near-duplicates
options       what it is asked for with
scene         frames of the scene without its subject, by themselves of the class "unknown"
sink          the sink: the way in
store         the folder: what is kept, what goes first, what was labelled

To add a reason to keep a frame: `store.is_unsure`.
"""

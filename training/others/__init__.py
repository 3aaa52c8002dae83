"""Pictures of what is none of the classes, to learn "none of these" from. Needs no TensorFlow.

public        everyday pictures of a public set, fetched once

To add a public set: a file beside `public` with its address, checksum, licence and choice; `photos/fetching.py` does
the rest.
"""

"""Pictures of what is none of the classes, to learn "none of these" from. Needs no TensorFlow.

gathering     all of them beside the photos of a run: folders that were named, and what is made
made          pictures of nothing, made of training photos and of noise
public        everyday pictures of a public set, fetched once

To add a public set: a file beside `public` with its address, checksum, licence and choice; `photos/fetching.py` does
the rest. To add a kind of made picture: a function and a row in `made.KINDS`.
"""

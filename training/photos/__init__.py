"""Photos before anything is trained. Needs no TensorFlow.

download      the public flower_photos set, fetched once
fetching      an archive by HTTP, fetched once, to a folder
inspection    what is wrong with a folder of photos
listing       a run's manifest, read or made
split         training, validation and test photos, drawn from the seed and the photos' content
survey        photos found, checked, copies left out
views         photos as a device sees them

To add a check of photos: `survey` for what is left out, `inspection` for what is only told.
"""

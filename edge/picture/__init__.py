"""One picture, before any model: decoded, cropped, resized, stored.

geometry      picture to model input: the only decoding, cropping and resizing there is
png           PNG files with a note inside
region        the part of a frame that is looked at
video         video files read and written through OpenCV, and OpenCV kept quiet

To add a format: `geometry.decode` is where pictures are decoded, `PHOTO_SUFFIXES` where they are listed.
"""

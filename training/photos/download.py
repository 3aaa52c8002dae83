"""Fetch the public flower_photos set once: 3,670 photos in five classes, 218 MiB to download.

In:  the address, the size in bytes and the sha256 of a .tgz that holds the folder flower_photos.
Out: CACHE/flower_photos, a folder of class folders; there whole or not at all. Once there, nothing is fetched again.

A download that breaks leaves CACHE/flower_photos.tgz.part, and the next call goes on from its end.
The photographs are CC BY 2.0 by their authors, whom LICENSE.txt in the folder names.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from edge.base.files import default_cache
from edge.base.progress import Bar, no_bar
from training.photos.fetching import Download, fetched, path_inside, write_member

# Size and sha256 as TensorFlow Datasets records them for its data set tf_flowers.
URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
SIZE = 228_813_984  # bytes
SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"
NAME = "flower_photos"


def flower_photos(
    cache: Path | None = None,
    url: str = URL,
    sha256: str = SHA256,
    size: int = SIZE,
    bar: Bar = no_bar,
    timeout_s: float = 30,
) -> Path:
    """The folder flower_photos in the cache, downloaded, checked and unpacked if it is not there yet.

    `size` is in bytes; `timeout_s` is the longest silence of the server. Raises PhotoError if it cannot be had,
    OutputError if the cache cannot be written.
    """
    photos = (default_cache() if cache is None else cache) / NAME
    download = Download(
        url=url,
        size=size,
        sha256=sha256,
        folder=photos,
        archive=f"{NAME}.tgz",
        what="the flower photos",
        space_mb=500,
        advice="give a folder of class folders instead, as in: flora train path/to/photos, "
        f"or unpack that archive by hand to {photos}",
        timeout_s=timeout_s,
        bar=bar,
    )
    return fetched(download, _unpack)


def _unpack(archive: Path, temporary: Path) -> None:
    with tarfile.open(archive, "r:gz") as tar:
        for member in tar:
            path = path_inside(member.name)
            if not member.isdir():
                write_member(tar, member, temporary / path)

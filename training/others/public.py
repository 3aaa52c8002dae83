"""Fetch everyday pictures without flowers once: 600 of Caltech 101, evenly over 93 categories; 131 MiB to download.

In:  the address, the size in bytes and the sha256 of caltech-101.zip, which holds 101_ObjectCategories.tar.gz.
Out: CACHE/caltech101-600, a folder of category folders; there whole or not at all. Once there, nothing is fetched
     again. CACHE/caltech-101.zip, if a person has put it there, is taken in the place of the download.

Why this set: one small file under a lasting identifier, whose checksum others publish, with things, animals, people
and scenes (BACKGROUND_Google) in it, all of it given out as CC BY 4.0. Sets that name a licence for each picture, such
as COCO and Open Images, are many times larger, or have to be fetched picture by picture with no checksum of the whole.
The licence is the word of the set's makers: they found the pictures on the web and name no photographers.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath

from edge.base.files import default_cache
from edge.base.progress import Bar, no_bar
from training.photos.fetching import Download, fetched, path_inside, write_member

# Size and sha256 as TensorFlow Datasets records them for its data set caltech101.
URL = "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip"
SIZE = 137_414_764  # bytes
SHA256 = "331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91"
ARCHIVE = "caltech-101.zip"
INNER = "caltech-101/101_ObjectCategories.tar.gz"
ROOT = "101_ObjectCategories"  # in it a folder for each category, and in that image_0001.jpg and so on

PICTURES = 600
NAME = "caltech101"  # to be changed with the choice below, or a cache goes on holding the old one
LEFT_OUT = frozenset(
    (
        *("sunflower", "lotus", "water_lilly"),
        *("bonsai", "joshua_tree", "strawberry"),  # plants, which may be in bloom
        *("butterfly", "dragonfly"),  # which are photographed on flowers
        "Faces_easy",  # the photos of Faces once more, cut closer: they would fall on both sides of a split
    )
)

ATTRIBUTION = (
    "a selection of Caltech 101 (1.0) by F.-F. Li, M. Andreeto, M. Ranzato and P. Perona, CaltechDATA 2022, "
    "https://doi.org/10.22002/D1.20086, CC BY 4.0"
)


def public_others(
    cache: Path | None = None,
    url: str = URL,
    sha256: str = SHA256,
    size: int = SIZE,
    bar: Bar = no_bar,
    timeout_s: float = 30,
    pictures: int = PICTURES,
) -> Path:
    """A folder of category folders in the cache, downloaded, checked and unpacked if it is not there yet.

    `size` is in bytes; `timeout_s` is the longest silence of the server; `pictures` is how many are kept. Raises
    PhotoError if they cannot be had, OutputError if the cache cannot be written.
    """
    cache = default_cache() if cache is None else cache
    placed = cache / ARCHIVE
    download = Download(
        url=url,
        size=size,
        sha256=sha256,
        folder=cache / f"{NAME}-{pictures}",
        archive=ARCHIVE,
        what="the public pictures",
        space_mb=200,
        advice=f"fetch that file elsewhere and put it at {placed}, or give a folder of pictures of your own, "
        "as in: --others path/to/others",
        timeout_s=timeout_s,
        bar=bar,
        placed=placed,
    )
    return fetched(download, partial(_unpack, name=download.folder.name, number=pictures))


def _unpack(archive: Path, temporary: Path, name: str, number: int) -> None:
    """Write the chosen pictures as they are. Read twice: the names, to choose from, and the chosen ones' bytes."""
    with zipfile.ZipFile(archive) as outer:
        categories: dict[str, list[PurePosixPath]] = {}
        for path, _, _ in _pictures(outer):
            categories.setdefault(path.parent.name, []).append(path)
        chosen = {path for paths in choose(categories, number).values() for path in paths}
        if not chosen:
            raise ValueError(f"it holds no pictures in {ROOT}")
        with closing(_pictures(outer)) as pictures:
            while chosen:  # what comes after the last of them is not even read
                path, tar, member = next(pictures)
                if path in chosen:
                    write_member(tar, member, temporary / name / path.parent.name / path.name)
                    chosen.remove(path)
    (temporary / name / "ATTRIBUTION.txt").write_text(f"{ATTRIBUTION}\n", "utf-8")


def _pictures(outer: zipfile.ZipFile) -> Generator[tuple[PurePosixPath, tarfile.TarFile, tarfile.TarInfo], None, None]:
    """What may be chosen, from the archive within the archive; a member can be read until the next one is asked for."""
    with outer.open(INNER) as packed, tarfile.open(fileobj=packed, mode="r|gz") as tar:
        for member in tar:
            path = path_inside(member.name)
            if member.isfile() and is_other(path):
                yield path, tar, member


def is_other(path: PurePosixPath) -> bool:
    """A picture of a category that is not left out. The set has a stray file beside them, BACKGROUND_Google/tmp."""
    is_picture = path.suffix == ".jpg" and not path.name.startswith(".")
    return is_picture and len(path.parts) == 3 and path.parts[0] == ROOT and path.parts[1] not in LEFT_OUT


def choose(categories: Mapping[str, Sequence[PurePosixPath]], number: int) -> dict[str, list[PurePosixPath]]:
    """`number` pictures, or all if there are fewer: as many of each category as of the next, by name.

    Of a category that has more than its share they are taken at equal distances: neighbours are often of one scene.
    """
    shares = even_shares({name: len(paths) for name, paths in categories.items()}, number)
    chosen = {}
    for name, share in shares.items():
        paths = sorted(categories[name])
        chosen[name] = [paths[index * len(paths) // share] for index in range(share)]
    return chosen


def even_shares(sizes: Mapping[str, int], number: int) -> dict[str, int]:
    """One for each in turn, in the order of their names, until `number` or all are given out."""
    shares = dict.fromkeys(sorted(sizes), 0)
    left = min(number, sum(sizes.values()))
    while left:
        for name in shares:
            if left and shares[name] < sizes[name]:
                shares[name] += 1
                left -= 1
    return shares

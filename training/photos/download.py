"""Fetch the public flower_photos set once: 3,670 photos in five classes, 218 MiB to download.

In:  the address, the size in bytes and the sha256 of a .tgz that holds the folder flower_photos.
Out: CACHE/flower_photos, a folder of class folders; there whole or not at all. Once there, nothing is fetched again.

A download that breaks leaves CACHE/flower_photos.tgz.part, and the next call goes on from its end (RFC 9110, 14.2).
The photographs are CC BY 2.0 by their authors, whom LICENSE.txt in the folder names.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge.base.files import default_cache, only_one
from edge.base.progress import Bar, no_bar
from edge.errors import FloraError, OutputError, PhotoError

# Size and sha256 as TensorFlow Datasets records them for its data set tf_flowers.
URL = "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz"
SIZE = 228_813_984  # bytes
SHA256 = "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c"
NAME = "flower_photos"
ATTEMPTS = 5  # connections in one call; one that changes nothing ends it
CHUNK = 256 * 1024  # bytes


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
    cache = default_cache() if cache is None else cache
    photos = cache / NAME
    if photos.is_dir():
        return photos
    download = _Download(url, size, sha256, photos, timeout_s, bar)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with only_one(cache / f".{NAME}.lock"):
            if not photos.is_dir():  # another process may have fetched it while this one waited
                _fetch(download)
                _check(download)
                _unpack(download)
    except OSError as error:
        raise OutputError(
            f"{cache}: the flower photos cannot be stored there ({error.strerror or error}); "
            "free about 500 MB, or name another folder in FLORA_CACHE"
        ) from error
    return photos


@dataclass(frozen=True)
class _Download:
    """One archive on its way, and where it goes."""

    url: str
    size: int  # bytes
    sha256: str
    photos: Path  # the folder to make
    timeout_s: float
    bar: Bar  # of bytes

    @property
    def part(self) -> Path:
        return self.photos.with_name(f"{NAME}.tgz.part")

    @property
    def validator(self) -> Path:
        """Holds the ETag or date of the copy that `part` was begun from."""
        return self.photos.with_name(f"{NAME}.tgz.part.etag")

    @property
    def done(self) -> int:
        """Bytes on disk."""
        return self.part.stat().st_size if self.part.exists() else 0

    def failed(self, what: str) -> PhotoError:
        return PhotoError(
            f"{self.url}: {what}; give a folder of class folders instead, as in: flora train path/to/photos, "
            f"or unpack that archive by hand to {self.photos}"
        )

    def forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.validator.unlink(missing_ok=True)


class _ConnectionLost(Exception):
    """The network's fault, as opposed to the disk's: both are OSErrors."""


def _fetch(download: _Download) -> None:
    """Bring `part` to its full size, over several connections if the network breaks."""
    if download.done > download.size:
        download.forget()
    for attempt in range(1, ATTEMPTS + 1):
        before = download.done
        if before == download.size:
            return
        try:
            _receive(download, before)
            reason = "the connection ended early"
        except _ConnectionLost as error:
            reason = str(error)
        if download.done < download.size and (download.done == before or attempt == ATTEMPTS):
            raise _gave_up(download, reason)


def _gave_up(download: _Download, reason: str) -> FloraError:
    if not download.done:
        return download.failed(f"could not be downloaded ({reason})")
    so_far = f"{download.done / 1e6:.1f} of {download.size / 1e6:.1f} MB"
    return download.failed(f"could not be downloaded ({reason}) beyond {so_far}; the same command goes on from there")


def _receive(download: _Download, start: int) -> None:
    """Append what one connection delivers. The server may send the rest (206) or all of it again (200)."""
    with _connect(download, start) as response:
        goes_on = response.status == 206 and _starts_at(response, start)
        if response.status == 206 and not goes_on:
            download.forget()
            raise _ConnectionLost("the server sent another part than the one asked for")
        _require_size(download, response, start if goes_on else 0)
        with download.part.open("ab" if goes_on else "wb") as part:
            download.validator.write_text(_validator(response))
            done = start if goes_on else 0
            while done < download.size and (data := _read(response, min(CHUNK, download.size - done))):
                part.write(data)
                done += len(data)
                download.bar(done, download.size)


def _connect(download: _Download, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "flora"}
    if start:
        headers["Range"] = f"bytes={start}-"
        validator = download.validator.read_text() if download.validator.exists() else ""
        headers |= {"If-Range": validator} if validator else {}
    request = urllib.request.Request(download.url, headers=headers)
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=download.timeout_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # what is here cannot be the beginning of what is there
            download.forget()
        raise _ConnectionLost(f"the server answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLost(str(getattr(error, "reason", error)) or type(error).__name__) from error
    return response


def _read(response: http.client.HTTPResponse, number: int) -> bytes:
    try:
        return response.read(number)
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLost(str(error) or type(error).__name__) from error


def _starts_at(response: http.client.HTTPResponse, start: int) -> bool:
    return response.getheader("Content-Range", "").startswith(f"bytes {start}-")


def _require_size(download: _Download, response: http.client.HTTPResponse, start: int) -> None:
    """Refuse another file, such as the log-in page of a public network, before anything is overwritten."""
    offered = response.getheader("Content-Length", "")
    if offered.isdecimal() and start + int(offered) != download.size:
        raise download.failed(f"the server offers {start + int(offered)} bytes, expected {download.size}")


def _validator(response: http.client.HTTPResponse) -> str:
    """What If-Range may hold: a strong ETag, else the date."""
    tag = response.getheader("ETag", "")
    return tag if tag.startswith('"') else response.getheader("Last-Modified", "")


def _check(download: _Download) -> None:
    digest = hashlib.sha256()
    with download.part.open("rb") as part:
        while data := part.read(CHUNK):
            digest.update(data)
    if digest.hexdigest() != download.sha256:
        download.forget()
        raise download.failed(
            f"the archive has sha256 {digest.hexdigest()}, expected {download.sha256}; it was removed, so try again"
        )


def _unpack(download: _Download) -> None:
    """Unpack beside the goal, then rename: the folder is there whole or not at all."""
    temporary = download.photos.with_name(f".{NAME}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with tarfile.open(download.part, "r:gz") as archive:
            for member in archive:
                _write_member(archive, member, temporary)
        if not (temporary / NAME).is_dir():
            raise ValueError(f"it holds no folder {NAME}")
        (temporary / NAME).rename(download.photos)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        download.forget()
        raise download.failed(f"the archive cannot be unpacked ({error}); it was removed") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    download.forget()


def _write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one file's content below the folder; links become plain files, owners and modes are not taken over.

    By hand, because Python before 3.10.12 and 3.11.4 has no extraction filters, and because nothing but plain
    files can then come out of an archive.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(f"{member.name!r} lies outside it")
    if member.isdir():
        return
    source = archive.extractfile(member)
    if source is None:
        raise ValueError(f"{member.name!r} is no file")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as out:
        shutil.copyfileobj(source, out)

"""Fetch an archive once and make a folder of it, whole or not at all; for public photos of any kind.

In:  a Download: address, size in bytes and sha256 of the archive, the folder to make, what to do where that fails;
     and a function that writes what is wanted of the archive below a temporary folder.
Out: the folder. Once there, nothing is fetched again.

A download that breaks leaves ARCHIVE.part beside the folder, and the next call goes on from its end (RFC 9110, 14.2).
Processes that want the same folder at once wait for the first of them.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edge.base.files import only_one
from edge.base.progress import Bar
from edge.errors import OutputError, PhotoError

ATTEMPTS = 5  # connections in one call; one that changes nothing ends it
CHUNK = 256 * 1024  # bytes
BROKEN = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, KeyError, ValueError)

# unpack(archive, temporary) writes the folder of the same name as the one wanted below `temporary`; what is wrong
# with the archive is one of BROKEN.
Unpack = Callable[[Path, Path], None]


@dataclass(frozen=True)
class Download:
    """One archive on its way, and where it goes."""

    url: str
    size: int  # bytes
    sha256: str
    folder: Path  # the folder to make
    archive: str  # the name of the file while it is received, beside the folder
    what: str  # in the words of a person, such as "the flower photos"
    space_mb: int  # what all of it takes while it is unpacked
    advice: str  # what a person can do where the archive cannot be had
    timeout_s: float  # the longest silence of the server
    bar: Bar  # of bytes
    placed: Path | None = None  # where a person may have put the archive; it is read and never removed

    @property
    def part(self) -> Path:
        return self.folder.with_name(f"{self.archive}.part")

    @property
    def validator(self) -> Path:
        """Holds the ETag or date of the copy that `part` was begun from."""
        return self.folder.with_name(f"{self.archive}.part.etag")

    @property
    def done(self) -> int:
        """Bytes on disk."""
        return self.part.stat().st_size if self.part.exists() else 0

    def failed(self, what: str) -> PhotoError:
        return PhotoError(f"{self.url}: {what}; {self.advice}")

    def refused(self, archive: Path, what: str, then: str = "") -> PhotoError:
        """The archive is not what it should be: one that was received is removed, one of a person's is left alone."""
        if archive == self.placed:
            return PhotoError(f"{archive}: it {what}; fetch {self.url} again, or remove the file")
        self.forget()
        return self.failed(f"the archive {what}; it was removed{then}")

    def forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.validator.unlink(missing_ok=True)


def fetched(download: Download, unpack: Unpack) -> Path:
    """The folder, downloaded, checked and unpacked if it is not there yet.

    Raises PhotoError if it cannot be had, OutputError if it cannot be written.
    """
    folder = download.folder
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with only_one(folder.with_name(f".{folder.name}.lock")):
            if not folder.is_dir():  # another process may have fetched it while this one waited
                archive = _archive(download)
                _check(download, archive)
                _unpack(download, archive, unpack)
    except OSError as error:
        raise OutputError(
            f"{folder.parent}: {download.what} cannot be stored there ({error.strerror or error}); "
            f"free about {download.space_mb} MB, or name another folder in FLORA_CACHE"
        ) from error
    return folder


class _ConnectionLost(Exception):
    """The network's fault, as opposed to the disk's: both are OSErrors."""


def _archive(download: Download) -> Path:
    """The archive as a person put it there, else received."""
    if download.placed is not None and download.placed.is_file():
        return download.placed
    _fetch(download)
    return download.part


def _fetch(download: Download) -> None:
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


def _gave_up(download: Download, reason: str) -> PhotoError:
    if not download.done:
        return download.failed(f"could not be downloaded ({reason})")
    so_far = f"{download.done / 1e6:.1f} of {download.size / 1e6:.1f} MB"
    return download.failed(f"could not be downloaded ({reason}) beyond {so_far}; the same command goes on from there")


def _receive(download: Download, start: int) -> None:
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


def _connect(download: Download, start: int) -> http.client.HTTPResponse:
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


def _require_size(download: Download, response: http.client.HTTPResponse, start: int) -> None:
    """Refuse another file, such as the log-in page of a public network, before anything is overwritten."""
    offered = response.getheader("Content-Length", "")
    if offered.isdecimal() and start + int(offered) != download.size:
        raise download.failed(f"the server offers {start + int(offered)} bytes, expected {download.size}")


def _validator(response: http.client.HTTPResponse) -> str:
    """What If-Range may hold: a strong ETag, else the date."""
    tag = response.getheader("ETag", "")
    return tag if tag.startswith('"') else response.getheader("Last-Modified", "")


def _check(download: Download, archive: Path) -> None:
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        while data := file.read(CHUNK):
            digest.update(data)
    if digest.hexdigest() != download.sha256:
        what = f"has sha256 {digest.hexdigest()}, expected {download.sha256}"
        raise download.refused(archive, what, then=", so try again")


def _unpack(download: Download, archive: Path, unpack: Unpack) -> None:
    """Unpack beside the goal, then rename: the folder is there whole or not at all."""
    folder = download.folder
    temporary = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        unpack(archive, temporary)
        if not (temporary / folder.name).is_dir():
            raise ValueError(f"it holds no folder {folder.name}")
        (temporary / folder.name).rename(folder)
    except BROKEN as error:
        raise download.refused(archive, f"cannot be unpacked ({error})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    download.forget()


def path_inside(name: str) -> PurePosixPath:
    """The path of a member of an archive. Raises ValueError for one that would lie outside the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{name!r} lies outside it")
    return path


def write_member(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one file's content; links become plain files, owners and modes are not taken over.

    By hand, because Python before 3.10.12 and 3.11.4 has no extraction filters, and because nothing but plain
    files can then come out of an archive. Raises ValueError for what is no file, KeyError for a link to nowhere.
    """
    source = archive.extractfile(member)
    if source is None:
        raise ValueError(f"{member.name!r} is no file")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as out:
        shutil.copyfileobj(source, out)

"""The download of the public photos, against a server on loopback that can be told to misbehave."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.base.progress import no_bar
from edge.errors import OutputError, PhotoError
from tests.training.serving import Server, serving
from training.photos import download, fetching
from training.photos.download import flower_photos

MTIME = 1_700_000_000


def archive(*members: tuple[str, bytes | tarfile.TarInfo]) -> bytes:
    """A .tgz of files, or of ready-made members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), MTIME
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def link(name: str, target: str, kind: bytes) -> tuple[str, tarfile.TarInfo]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return name, info


NOISE = np.random.default_rng(0).bytes(100_000)  # so that the archive does not shrink to nothing
GOOD = archive(
    ("flower_photos/LICENSE.txt", b"CC BY"),
    ("flower_photos/daisy/1.jpg", NOISE),
    ("flower_photos/roses/2.jpg", b"rose"),
)
# Two gzip members whose border lies within daisy/1.jpg, so that the fault shows while a file is read.
TAR = gzip.decompress(GOOD)
HEAD, TAIL = gzip.compress(TAR[:60_000]), gzip.compress(TAR[60_000:])
WRONG_CRC = HEAD[:-8] + bytes(4) + HEAD[-4:] + TAIL
GARBLED = HEAD + TAIL[:10] + b"\xff" * 100


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving("flower_photos.tgz", GOOD) as server:
        yield server


def fetch(server: Server, cache: Path, expected: bytes = GOOD, steps: list[tuple[int, int]] | None = None) -> Path:
    return flower_photos(
        cache,
        server.url,
        hashlib.sha256(expected).hexdigest(),
        len(expected),
        bar=no_bar if steps is None else lambda done, total: steps.append((done, total)),
        timeout_s=5,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def left(cache: Path) -> set[str]:
    """What is in the cache, but for the lock."""
    return {path.name for path in cache.iterdir()} - {".flower_photos.lock"}


def failure(server: Server, cache: Path, expected: bytes = GOOD) -> str:
    with pytest.raises(PhotoError) as caught:
        fetch(server, cache, expected)
    assert "\n" not in str(caught.value)
    assert "flora train path/to/photos" in str(caught.value)
    assert f"by hand to {cache / 'flower_photos'}" in str(caught.value)
    return str(caught.value)


def begun(cache: Path, data: bytes, etag: str = '"one"') -> Path:
    """A cache in which an earlier download broke off."""
    cache.mkdir()
    (cache / "flower_photos.tgz.part").write_bytes(data)
    (cache / "flower_photos.tgz.part.etag").write_text(etag)
    return cache


# --- fetching ---------------------------------------------------------------------------------------------------


def test_the_photos_are_downloaded_checked_and_unpacked(server: Server, tmp_path: Path) -> None:
    photos = fetch(server, tmp_path / "deep/cache")
    assert photos == tmp_path / "deep/cache/flower_photos"
    assert contents(photos) == {"LICENSE.txt": b"CC BY", "daisy/1.jpg": NOISE, "roses/2.jpg": b"rose"}
    assert left(tmp_path / "deep/cache") == {"flower_photos"}


def test_a_second_call_asks_nobody(server: Server, tmp_path: Path) -> None:
    first = fetch(server, tmp_path)
    assert fetch(server, tmp_path) == first
    assert len(server.asked) == 1


def test_a_folder_unpacked_by_hand_is_taken_as_it_is(server: Server, tmp_path: Path) -> None:
    (tmp_path / "flower_photos/daisy").mkdir(parents=True)
    assert fetch(server, tmp_path) == tmp_path / "flower_photos"
    assert server.asked == []
    assert [path.name for path in tmp_path.iterdir()] == ["flower_photos"]  # so a read-only cache will do


def test_progress_counts_bytes_up_to_the_size(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "CHUNK", 40_000)
    steps: list[tuple[int, int]] = []
    fetch(server, tmp_path, steps=steps)
    assert [done for done, _ in steps] == [40_000, 80_000, len(GOOD)]
    assert {total for _, total in steps} == {len(GOOD)}


# --- going on after a break -------------------------------------------------------------------------------------


def test_a_broken_connection_is_taken_up_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cuts = [30_000, 20_000]
    steps: list[tuple[int, int]] = []
    assert contents(fetch(server, tmp_path, steps=steps))["daisy/1.jpg"] == NOISE
    assert server.asked == [(None, None), ("bytes=30000-", '"one"'), ("bytes=50000-", '"one"')]
    assert steps[-1] == (len(GOOD), len(GOOD))


@pytest.mark.parametrize("etag", ['"one"', ""], ids=["with ETag", "without ETag"])
def test_an_earlier_call_is_taken_up_where_it_ended(server: Server, tmp_path: Path, etag: str) -> None:
    server.etag = etag
    cache = begun(tmp_path / "cache", GOOD[:70_000], etag)
    assert contents(fetch(server, cache))["daisy/1.jpg"] == NOISE
    assert server.asked == [("bytes=70000-", etag or None)]


def test_a_whole_part_is_only_unpacked(server: Server, tmp_path: Path) -> None:
    assert "roses/2.jpg" in contents(fetch(server, begun(tmp_path / "cache", GOOD)))
    assert server.asked == []


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.has_ranges = False
    assert contents(fetch(server, begun(tmp_path / "cache", GOOD[:70_000])))["daisy/1.jpg"] == NOISE
    assert server.asked == [("bytes=70000-", '"one"')]


def test_a_server_without_ranges_that_always_cuts_is_given_up(server: Server, tmp_path: Path) -> None:
    server.has_ranges, server.cuts = False, [30_000, 40_000, 30_000, 40_000, 30_000, 40_000, 30_000]
    assert "beyond 0.0 of 0.1 MB; the same command goes on from there" in failure(server, tmp_path)
    assert len(server.asked) == fetching.ATTEMPTS


def test_a_part_of_another_version_is_started_over(server: Server, tmp_path: Path) -> None:
    cache = begun(tmp_path / "cache", b"?" * 70_000, etag='"old"')
    assert contents(fetch(server, cache))["daisy/1.jpg"] == NOISE
    assert server.asked == [("bytes=70000-", '"old"')]


def test_a_part_longer_than_the_archive_is_started_over(server: Server, tmp_path: Path) -> None:
    assert "roses/2.jpg" in contents(fetch(server, begun(tmp_path / "cache", GOOD + b"more")))
    assert server.asked == [(None, None)]


def test_a_range_that_begins_elsewhere_is_not_used(server: Server, tmp_path: Path) -> None:
    server.shift = 10
    assert contents(fetch(server, begun(tmp_path / "cache", GOOD[:70_000])))["daisy/1.jpg"] == NOISE
    assert server.asked == [("bytes=70000-", '"one"'), (None, None)]


def test_a_refused_range_is_started_over(server: Server, tmp_path: Path) -> None:
    server.body = GOOD[:50_000]
    message = failure(server, begun(tmp_path / "cache", GOOD[:70_000]))
    assert server.asked == [("bytes=70000-", '"one"'), (None, None)]
    assert f"the server offers 50000 bytes, expected {len(GOOD)}" in message


def test_what_arrived_is_kept_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.cuts = [30_000, 0]
    assert "(the connection ended early) beyond" in failure(server, tmp_path)
    assert (tmp_path / "flower_photos.tgz.part").read_bytes() == GOOD[:30_000]
    assert "roses/2.jpg" in contents(fetch(server, tmp_path))


# --- what cannot be had -----------------------------------------------------------------------------------------


def test_no_server_gets_one_line_that_says_what_to_do(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{unused.getsockname()[1]}/flower_photos.tgz"
        message = failure(server, tmp_path)
    assert server.url in message
    assert "refused" in message
    assert left(tmp_path) == set()


def test_a_missing_archive_names_the_status(server: Server, tmp_path: Path) -> None:
    server.status = 404
    assert "the server answered 404" in failure(server, tmp_path)


def test_a_log_in_page_does_not_cost_what_arrived(server: Server, tmp_path: Path) -> None:
    server.body, server.has_ranges = b"<html>please log in</html>", False
    cache = begun(tmp_path / "cache", GOOD[:70_000])
    assert f"the server offers 26 bytes, expected {len(GOOD)}" in failure(server, cache)
    assert (cache / "flower_photos.tgz.part").read_bytes() == GOOD[:70_000]


def test_a_server_that_tells_no_length_is_read_to_the_expected_size(server: Server, tmp_path: Path) -> None:
    server.has_length, server.body = False, GOOD + b"more"
    assert "roses/2.jpg" in contents(fetch(server, tmp_path))


def test_a_wrong_checksum_is_removed(server: Server, tmp_path: Path) -> None:
    server.body = GOOD[:-9] + b"?" + GOOD[-8:]
    message = failure(server, tmp_path)
    assert re.search(f"sha256 [0-9a-f]{{64}}, expected {hashlib.sha256(GOOD).hexdigest()}; it was removed", message)
    assert left(tmp_path) == set()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (archive(("../evil.jpg", b"evil")), "'../evil.jpg' lies outside it"),
        (archive(("flower_photos/../../evil.jpg", b"evil")), "lies outside it"),
        (archive(("/tmp/evil.jpg", b"evil")), "'/tmp/evil.jpg' lies outside it"),
        (archive(link("flower_photos/a.jpg", "/etc/hostname", tarfile.SYMTYPE)), "not found"),
        (archive(link("flower_photos/a.jpg", "../../../secret", tarfile.LNKTYPE)), "not found"),
        (archive(link("flower_photos/pipe.jpg", "", tarfile.FIFOTYPE)), "'flower_photos/pipe.jpg' is no file"),
        (archive(("photos/a.jpg", b"a")), "it holds no folder flower_photos"),
        (GOOD[:60_000], "cannot be unpacked"),
        (GARBLED, "invalid block type"),
        (WRONG_CRC, "CRC check failed"),
        (b"no archive at all", "cannot be unpacked"),
    ],
    ids=[
        "above",
        "above below",
        "absolute",
        "symlink",
        "hard link",
        "pipe",
        "other folder",
        "cut",
        "garbled",
        "CRC",
        "no archive",
    ],
)
def test_an_archive_that_is_not_as_it_should_be_is_removed(
    server: Server, tmp_path: Path, body: bytes, reason: str
) -> None:
    server.body = body
    cache = tmp_path / "deep/cache"
    assert reason in failure(server, cache, expected=body)
    assert left(cache) == set()
    assert {path.name for path in tmp_path.rglob("*")} == {"deep", "cache", ".flower_photos.lock"}


def test_a_link_inside_the_archive_becomes_a_plain_file(server: Server, tmp_path: Path) -> None:
    server.body = archive(
        ("flower_photos/a/1.jpg", b"one"),
        link("flower_photos/b/1.jpg", "flower_photos/a/1.jpg", tarfile.LNKTYPE),
    )
    photos = fetch(server, tmp_path, expected=server.body)
    assert contents(photos) == {"a/1.jpg": b"one", "b/1.jpg": b"one"}


def test_what_a_killed_unpacking_left_is_swept_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".flower_photos.unpacking/flower_photos").mkdir(parents=True)
    (tmp_path / ".flower_photos.unpacking/flower_photos/old.jpg").write_bytes(b"old")
    assert "old.jpg" not in contents(fetch(server, tmp_path))
    assert left(tmp_path) == {"flower_photos"}


def test_a_cache_that_cannot_be_written_gets_one_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"Not a directory.*FLORA_CACHE"):
        fetch(server, tmp_path / "file/cache")


def test_a_full_disk_keeps_what_arrived(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, out: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfileobj", full)
        with pytest.raises(OutputError, match="No space left on device"):
            fetch(server, tmp_path)
    assert (tmp_path / "flower_photos.tgz.part").read_bytes() == GOOD
    assert not (tmp_path / "flower_photos").exists()
    assert "roses/2.jpg" in contents(fetch(server, tmp_path))
    assert len(server.asked) == 1


def test_two_calls_at_once_download_once(server: Server, tmp_path: Path) -> None:
    threads = [threading.Thread(target=fetch, args=(server, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1
    assert "roses/2.jpg" in contents(tmp_path / "flower_photos")


# --- where ------------------------------------------------------------------------------------------------------


def test_without_arguments_the_public_set_goes_into_the_default_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLORA_CACHE", str(tmp_path))
    (tmp_path / "flower_photos").mkdir()
    assert flower_photos() == tmp_path / "flower_photos"
    assert len(bytes.fromhex(download.SHA256)) == 32

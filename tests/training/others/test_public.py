"""The download of the public everyday pictures, against a server on loopback that can be told to misbehave."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from edge.base.progress import no_bar
from edge.errors import OutputError, PhotoError
from tests.training.serving import Server, serving
from training.others import public
from training.others.public import choose, even_shares, is_other, public_others

RNG = np.random.default_rng(0)
SIZES = {"BACKGROUND_Google": 7, "accordion": 9, "anchor": 3, "yin_yang": 12}
LEFT_OUT = ("sunflower", "lotus", "water_lilly", "bonsai", "butterfly", "Faces_easy")


def name(category: str, index: int) -> str:
    return f"101_ObjectCategories/{category}/image_{index:04d}.jpg"


# No pictures, since nothing is decoded: bytes that do not shrink.
PICTURES = {name(category, index + 1): RNG.bytes(900) for category in SIZES for index in range(SIZES[category])}
FLOWERS = {name(category, index + 1): b"flower" for category in LEFT_OUT for index in range(5)}


def packed(files: dict[str, bytes], *members: tarfile.TarInfo, inner: str = public.INNER) -> bytes:
    """A .zip that holds a .tar.gz of files, and of ready-made members."""
    tape, archive = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w:gz") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for member in members:
            tar.addfile(member)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as outer:
        outer.writestr("caltech-101/show_annotation.m", "% not wanted")
        outer.writestr(inner, tape.getvalue())
    return archive.getvalue()


def link(path: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.linkname = kind, target
    return info


GOOD = packed(
    {
        "101_ObjectCategories/BACKGROUND_Google/tmp": b"stray",
        "101_ObjectCategories/anchor/._image_0001.jpg": b"of a folder",
        **dict(reversed(PICTURES.items())),
        **FLOWERS,
    }
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving("caltech-101.zip", GOOD) as server:
        yield server


def fetch(
    server: Server,
    cache: Path,
    expected: bytes = GOOD,
    pictures: int = 12,
    steps: list[tuple[int, int]] | None = None,
    url: str = "",
) -> Path:
    return public_others(
        cache,
        url or server.url,
        hashlib.sha256(expected).hexdigest(),
        len(expected),
        bar=no_bar if steps is None else lambda done, total: steps.append((done, total)),
        timeout_s=5,
        pictures=pictures,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}


def left(cache: Path) -> set[str]:
    """What is in the cache, but for the lock."""
    return {path.name for path in cache.iterdir()} - {".caltech101-12.lock"}


def failure(server: Server, cache: Path, expected: bytes = GOOD) -> str:
    with pytest.raises(PhotoError) as caught:
        fetch(server, cache, expected)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def begun(cache: Path, data: bytes) -> Path:
    """A cache in which an earlier download broke off."""
    cache.mkdir()
    (cache / "caltech-101.zip.part").write_bytes(data)
    (cache / "caltech-101.zip.part.etag").write_text('"one"')
    return cache


# --- which pictures ---------------------------------------------------------------------------------------------


def test_the_pictures_are_downloaded_chosen_and_kept_in_folders_of_categories(server: Server, tmp_path: Path) -> None:
    others = fetch(server, tmp_path / "deep/cache")
    assert others == tmp_path / "deep/cache/caltech101-12"
    found = contents(others)
    assert Counter(path.split("/")[0] for path in found) == dict.fromkeys(SIZES, 3)
    assert all(PICTURES[f"101_ObjectCategories/{path}"] == content for path, content in found.items())
    assert left(tmp_path / "deep/cache") == {"caltech101-12"}


def test_the_folder_says_whose_pictures_they_are(server: Server, tmp_path: Path) -> None:
    others = fetch(server, tmp_path)
    assert (others / "ATTRIBUTION.txt").read_text("utf-8") == f"{public.ATTRIBUTION}\n"
    assert "CC BY 4.0" in public.ATTRIBUTION
    assert "\n" not in public.ATTRIBUTION


def test_flowers_plants_and_doubles_are_left_out(server: Server, tmp_path: Path) -> None:
    everything = contents(fetch(server, tmp_path, pictures=1000))
    assert {f"101_ObjectCategories/{path}" for path in everything} == set(PICTURES)


@pytest.mark.parametrize(
    "path",
    [
        "101_ObjectCategories/sunflower/image_0001.jpg",
        "101_ObjectCategories/BACKGROUND_Google/tmp",
        "101_ObjectCategories/anchor/._image_0001.jpg",
        "101_ObjectCategories/image_0001.jpg",
        "101_ObjectCategories/anchor/more/image_0001.jpg",
        "elsewhere/anchor/image_0001.jpg",
    ],
)
def test_what_is_no_picture_of_another_thing_is_not_taken(path: str) -> None:
    assert not is_other(PurePosixPath(path))
    assert is_other(PurePosixPath("101_ObjectCategories/anchor/image_0001.jpg"))


def test_every_category_gives_as_many_until_it_has_no_more() -> None:
    assert even_shares({"b": 9, "a": 9, "c": 1}, 6) == {"a": 3, "b": 2, "c": 1}
    assert even_shares({"b": 9, "a": 9, "c": 1}, 1) == {"a": 1, "b": 0, "c": 0}
    assert even_shares({"a": 2, "b": 1}, 100) == {"a": 2, "b": 1}
    shares = even_shares({f"{index:02d}": 31 + index for index in range(93)}, public.PICTURES)
    assert (sum(shares.values()), min(shares.values()), max(shares.values())) == (600, 6, 7)


def test_the_choice_is_spread_over_a_category_and_does_not_depend_on_the_order_in_the_archive() -> None:
    paths = [PurePosixPath(name("anchor", index)) for index in range(10)]
    chosen = choose({"anchor": paths}, 3)
    assert [path.name for path in chosen["anchor"]] == ["image_0000.jpg", "image_0003.jpg", "image_0006.jpg"]
    assert choose({"anchor": paths[::-1]}, 3) == chosen
    assert choose({"anchor": paths[::-1]}, 10) == {"anchor": paths}


def test_another_number_of_pictures_is_another_folder(server: Server, tmp_path: Path) -> None:
    assert len(contents(fetch(server, tmp_path, pictures=4))) == 4
    assert len(contents(fetch(server, tmp_path, pictures=5))) == 5


# --- fetching ---------------------------------------------------------------------------------------------------


def test_a_second_call_asks_nobody(server: Server, tmp_path: Path) -> None:
    first = fetch(server, tmp_path)
    assert fetch(server, tmp_path) == first
    assert len(server.asked) == 1


def test_progress_counts_bytes_up_to_the_size(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    fetch(server, tmp_path, steps=steps)
    assert steps[-1] == (len(GOOD), len(GOOD))


def test_a_broken_connection_is_taken_up_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.cuts = [9_000, 5_000]
    assert len(contents(fetch(server, tmp_path))) == 12
    assert server.asked == [(None, None), ("bytes=9000-", '"one"'), ("bytes=14000-", '"one"')]


def test_an_earlier_call_is_taken_up_where_it_ended(server: Server, tmp_path: Path) -> None:
    cache = begun(tmp_path / "cache", GOOD[:10_000])
    assert len(contents(fetch(server, cache))) == 12
    assert server.asked == [("bytes=10000-", '"one"')]
    assert left(cache) == {"caltech101-12"}


def test_a_redirection_is_asked_for_the_rest_only(server: Server, tmp_path: Path) -> None:
    cache = begun(tmp_path / "cache", GOOD[:10_000])
    assert len(contents(fetch(server, cache, url=server.url.replace("/caltech", "/moved/caltech")))) == 12
    assert server.asked == [("bytes=10000-", '"one"')]


def test_an_archive_put_there_by_hand_is_taken_and_left_there(server: Server, tmp_path: Path) -> None:
    (tmp_path / "caltech-101.zip").write_bytes(GOOD)
    assert len(contents(fetch(server, tmp_path))) == 12
    assert server.asked == []
    assert (tmp_path / "caltech-101.zip").read_bytes() == GOOD


def test_calls_at_once_download_once(server: Server, tmp_path: Path) -> None:
    threads = [threading.Thread(target=fetch, args=(server, tmp_path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1
    assert len(contents(tmp_path / "caltech101-12")) == 12


def test_what_a_killed_unpacking_left_is_swept_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".caltech101-12.unpacking/caltech101-12/anchor").mkdir(parents=True)
    (tmp_path / ".caltech101-12.unpacking/caltech101-12/anchor/old.jpg").write_bytes(b"old")
    assert "anchor/old.jpg" not in contents(fetch(server, tmp_path))
    assert left(tmp_path) == {"caltech101-12"}


# --- what cannot be had -----------------------------------------------------------------------------------------


def test_no_server_gets_one_line_that_says_what_to_do(server: Server, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = Server(GOOD, url=f"http://127.0.0.1:{unused.getsockname()[1]}/caltech-101.zip")
        message = failure(nobody, tmp_path)
    assert message.startswith(f"{nobody.url}: could not be downloaded (")
    assert f"fetch that file elsewhere and put it at {tmp_path / 'caltech-101.zip'}, or give a folder" in message
    assert message.endswith("as in: --others path/to/others")
    assert left(tmp_path) == set()


def test_what_arrived_is_kept_for_the_next_call(server: Server, tmp_path: Path) -> None:
    server.cuts = [9_000, 0]
    assert "the same command goes on from there" in failure(server, tmp_path)
    assert (tmp_path / "caltech-101.zip.part").read_bytes() == GOOD[:9_000]
    assert len(contents(fetch(server, tmp_path))) == 12


def test_a_wrong_checksum_is_removed(server: Server, tmp_path: Path) -> None:
    server.body = GOOD[:-9] + b"?" + GOOD[-8:]
    assert f"expected {hashlib.sha256(GOOD).hexdigest()}; it was removed, so try again" in failure(server, tmp_path)
    assert left(tmp_path) == set()


def test_a_wrong_archive_put_there_by_hand_is_named_and_left_alone(server: Server, tmp_path: Path) -> None:
    placed = tmp_path / "caltech-101.zip"
    placed.write_bytes(b"cut short")
    message = failure(server, tmp_path)
    assert message.startswith(f"{placed}: it has sha256 ")
    assert message.endswith(f"fetch {server.url} again, or remove the file")
    assert left(tmp_path) == {"caltech-101.zip"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (packed({"../evil.jpg": b"evil"}), "'../evil.jpg' lies outside it"),
        (packed({"101_ObjectCategories/anchor/../../../evil.jpg": b"evil"}), "lies outside it"),
        (packed({"/tmp/evil.jpg": b"evil"}), "'/tmp/evil.jpg' lies outside it"),
        (packed(PICTURES | {"101_ObjectCategories/../../evil.jpg": b"evil"}), "lies outside it"),
        (packed(FLOWERS), "it holds no pictures in 101_ObjectCategories"),
        (packed({}, link(name("anchor", 1), "/etc/hostname", tarfile.SYMTYPE)), "it holds no pictures"),
        (packed({}, link(name("anchor", 1), "../../../secret", tarfile.LNKTYPE)), "it holds no pictures"),
        (packed(PICTURES, inner="caltech-101/other.tar.gz"), "no item named 'caltech-101/101_ObjectCategories.tar.gz'"),
        (b"no archive at all", "not a zip file"),
        (GOOD[:12_000], "not a zip file"),
    ],
    ids=[
        "above",
        "above below",
        "absolute",
        "one among good ones",
        "flowers only",
        "symlink",
        "hard link",
        "no archive inside",
        "no archive",
        "cut",
    ],
)
def test_an_archive_that_is_not_as_it_should_be_is_removed(
    server: Server, tmp_path: Path, body: bytes, reason: str
) -> None:
    server.body = body
    message = failure(server, tmp_path / "deep/cache", expected=body)
    assert reason in message
    assert "cannot be unpacked" in message
    assert left(tmp_path / "deep/cache") == set()
    assert {path.name for path in tmp_path.rglob("*")} == {"deep", "cache", ".caltech101-12.lock"}


def test_a_full_disk_keeps_what_arrived(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, out: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copyfileobj", full)
        with pytest.raises(OutputError, match=r"the public pictures cannot be stored there \(No space left on device"):
            fetch(server, tmp_path)
    assert (tmp_path / "caltech-101.zip.part").read_bytes() == GOOD
    assert len(contents(fetch(server, tmp_path))) == 12
    assert len(server.asked) == 1


def test_without_arguments_the_pictures_go_into_the_default_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLORA_CACHE", str(tmp_path))
    (tmp_path / "caltech101-600").mkdir()
    assert public_others() == tmp_path / "caltech101-600"
    assert len(bytes.fromhex(public.SHA256)) == 32

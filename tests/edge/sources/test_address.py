"""Addresses of streams: hostile ones are refused, and no message shows a password."""

from __future__ import annotations

import pytest

from edge.errors import SourceError
from edge.sources.address import checked_address
from edge.sources.opening import open_source
from edge.sources.watchdog import Patience
from tests.edge.fakes import one_line


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://cam/live",
        "RTSP://Cam.Local:554/h264?channel=1&subtype=0",
        "rtsp://me:se%40cret@192.168.1.20:8554/live",
        "http://[fe80::1]:8080/stream.mjpg",
        "https://my-cam_2.example./x.m3u8",
        "rtsps://cam",
    ],
)
def test_addresses_as_cameras_have_them_are_taken(address: str) -> None:
    assert checked_address(address) == address


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("file:///etc/passwd", "file:// is not supported"),
        ("concat://a|b", "concat:// is not supported"),
        ("subfile,,start,0,end,9,,://x", "is not supported"),
        ("tcp://0.0.0.0:99?listen", "tcp:// is not supported"),
        ("udp://@:1234", "udp:// is not supported"),
        ("gopher://somewhere/x", "gopher:// is not supported"),
        ("ftp://me:secret@cam/x", "ftp:// is not supported"),
        ("http:///etc/passwd", "no proper host name"),
        ("http://", "no proper host name"),
        ("http://-oProxyCommand=x/", "no proper host name"),
        ("http://a..b/", "no proper host name"),
        ("http://cam;rm/", "no proper host name"),
        ("http://$(id)/", "no proper host name"),
        ("http://[::1/", "broken host or port"),
        ("http://[::zz]/", "broken host or port|no proper host name"),
        ("rtsp://cam:99999/x", "broken host or port"),
        ("rtsp://cam:0/x", "no proper port"),
        ("rtsp://cam:port/x", "broken host or port"),
        ("rtsp://me:secret/more@cam/x", "broken host or port"),
        ("rtsp://cam/a b", "must be written as %XX"),
        ("rtsp://cam/\r\nHost: other", "must be written as %XX"),
        ("rtsp://cam/\x1b[2J", "must be written as %XX"),
        ("rtsp://cam/\0", "must be written as %XX"),
        ("rtsp://cam|concat:x/", "must be written as %XX"),
        ("http://cam\\@other/", "must be written as %XX"),
        ("http://kämera/", "must be written as %XX"),
        ("rtsp://cam/" + "x" * 3000, "an address of 3011 characters"),
    ],
)
def test_hostile_addresses_are_refused(address: str, why: str) -> None:
    with pytest.raises(SourceError, match=why) as caught:
        open_source(address, Patience(give_up_after_s=60))
    message = one_line(caught)
    assert message.isprintable()
    assert "secret" not in message


@pytest.mark.parametrize(
    "name", ["concat:/etc/passwd|/etc/group", "file:/etc/passwd", "data:video/mp4;base64,AAAA", "-"]
)
def test_protocols_without_slashes_are_just_files_that_do_not_exist(name: str) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        open_source(name)

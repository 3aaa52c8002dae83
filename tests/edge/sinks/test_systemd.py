"""What systemd hears, on a socket as it would have it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.contract.event import NO_PICTURE, PICTURE_BACK, STARTED, Event
from edge.errors import OutputError
from edge.sinks.systemd import SystemdSink
from tests.edge.fakes import FakeClock, decision, frame


@dataclass
class Systemd:
    """The other end of the socket."""

    address: str
    ear: socket.socket

    @property
    def heard(self) -> list[str]:
        """The messages since the last time."""
        messages = []
        while True:
            try:
                messages.append(self.ear.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify") if request.param == "file" else f"@flora-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address.replace("@", "\0", 1) if request.param == "abstract" else address)
        ear.setblocking(False)
        yield Systemd(address, ear)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sink(systemd: Systemd, clock: FakeClock) -> Iterator[SystemdSink]:
    found = SystemdSink(systemd.address, watchdog_s=30.0, clock=clock)
    yield found
    found.close()


def gap(seconds: int, *, is_update: bool = False) -> Event:
    return Event(NO_PICTURE, 1_800_000_000.0, f"no picture from camera 0 for {seconds} s", is_update=is_update)


def test_the_first_decision_says_ready_and_what_was_seen(systemd: Systemd, sink: SystemdSink) -> None:
    sink.show(decision(), frame())
    assert systemd.heard == ["READY=1\nSTATUS=roses 0.75\nWATCHDOG=1"]


def test_the_status_is_for_a_person(systemd: Systemd, sink: SystemdSink) -> None:
    sink.show(decision(threshold=0.9), frame())
    assert "STATUS=nothing known (nearest: roses 0.75)\n" in systemd.heard[0]


def test_ready_is_said_once(systemd: Systemd, sink: SystemdSink, clock: FakeClock) -> None:
    heard: list[str] = []
    for _ in range(20):
        sink.show(decision(), frame())
        sink.tell(gap(4))
        clock.now += 2
        heard += systemd.heard
    assert "".join(heard).count("READY=1") == 1


def test_an_event_at_the_start_is_no_readiness_but_a_sign_of_life(systemd: Systemd, sink: SystemdSink) -> None:
    sink.tell(Event(STARTED, 1_800_000_000.0, "watching camera 0"))
    assert systemd.heard == ["WATCHDOG=1"]


def test_a_run_that_waits_for_its_first_picture_is_ready(systemd: Systemd, sink: SystemdSink) -> None:
    sink.tell(gap(4))
    assert systemd.heard == ["READY=1\nSTATUS=no picture from camera 0 for 4 s\nWATCHDOG=1"]


@pytest.mark.parametrize("is_gap", [False, True], ids=["decisions", "a long gap"])
def test_the_watchdog_hears_of_it_every_half_of_its_time(
    systemd: Systemd, sink: SystemdSink, clock: FakeClock, is_gap: bool
) -> None:
    heard: list[str] = []
    for second in range(61):
        if is_gap:
            sink.tell(gap(second, is_update=second > 0))
        else:
            sink.show(decision(), frame())
        clock.now += 1
        heard += systemd.heard
    assert sum("WATCHDOG=1" in message for message in heard) == 5


def test_without_a_watchdog_it_is_left_alone(systemd: Systemd, clock: FakeClock) -> None:
    sink = SystemdSink(systemd.address, clock=clock)
    for _ in range(10):
        sink.show(decision(), frame())
        clock.now += 100
    sink.close()
    assert not any("WATCHDOG" in message for message in systemd.heard)


def test_the_status_is_told_when_it_changes_and_not_too_often(
    systemd: Systemd, sink: SystemdSink, clock: FakeClock
) -> None:
    statuses: list[str] = []
    for tenths in range(25):
        sink.show(decision() if tenths % 2 else decision((0.1, 0.1, 0.8)), frame())
        clock.now += 0.1
        statuses += [message for message in systemd.heard if "STATUS" in message]
    assert len(statuses) == 3


def test_a_gap_and_its_end_show_in_the_status(systemd: Systemd, sink: SystemdSink, clock: FakeClock) -> None:
    sink.show(decision(), frame())
    for event in (gap(2), gap(3, is_update=True), Event(PICTURE_BACK, 1_800_000_000.0, "picture is back")):
        clock.now += 1
        sink.tell(event)
    clock.now += 1
    sink.show(decision(), frame())
    assert systemd.heard[1:] == [
        "STATUS=no picture from camera 0 for 2 s",
        "STATUS=no picture from camera 0 for 3 s",
        "STATUS=roses 0.75",
    ]


def test_a_label_cannot_forge_a_message(systemd: Systemd, sink: SystemdSink) -> None:
    sink.show(decision(labels=("daisy", "x\nMAINPID=1", "tulips")), frame())
    assert "\nMAINPID" not in systemd.heard[0]


def test_closing_says_goodbye_once(systemd: Systemd, sink: SystemdSink) -> None:
    sink.close()
    sink.close()
    assert systemd.heard == ["STOPPING=1\nSTATUS=stopped"]


def test_what_failed_is_said_again(systemd: Systemd, sink: SystemdSink, tmp_path: Path) -> None:
    systemd.ear.close()
    with pytest.raises(OutputError, match=r"^systemd does not take notice \(.*\); is it running\?$"):
        sink.show(decision(), frame())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        Path(systemd.address).unlink(missing_ok=True)
        ear.bind(systemd.address.replace("@", "\0", 1) if systemd.address.startswith("@") else systemd.address)
        sink.show(decision(), frame())
        assert ear.recv(4096) == b"READY=1\nSTATUS=roses 0.75\nWATCHDOG=1"


def test_a_socket_that_has_gone_is_no_error_at_the_end(tmp_path: Path) -> None:
    SystemdSink(str(tmp_path / "nobody")).close()


# How it is set up


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}], ids=str)
def test_without_systemd_there_is_no_sink(environment: dict[str, str]) -> None:
    assert SystemdSink.from_environment(environment) is None


@pytest.mark.parametrize(
    ("variables", "is_watched"),
    [
        ({}, False),
        ({"WATCHDOG_USEC": "2000000"}, True),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "7"}, True),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "8"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
    ],
    ids=str,
)
def test_the_watchdog_is_that_of_this_process(systemd: Systemd, variables: dict[str, str], is_watched: bool) -> None:
    sink = SystemdSink.from_environment({"NOTIFY_SOCKET": systemd.address, **variables}, pid=7)
    assert sink is not None
    sink.show(decision(), frame())
    sink.close()
    assert ("WATCHDOG=1" in systemd.heard[0]) == is_watched

"""A source that is watched: what stalls, freezes, ends or fails is said, dropped and opened again, or given up."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from edge.contract.event import NO_PICTURE, PICTURE_BACK, REOPENING, Event
from edge.contract.frame import Capture, Frame
from edge.errors import SourceError, UsageError
from edge.sources.grabber import Slot
from edge.sources.watchdog import MOST_STUCK, Patience, WatchedSource
from tests.edge.fakes import one_line
from tests.edge.sources.captures import END, Script, WaitingClock

PATIENCE = Patience(stall_s=10, freeze_s=10)


@dataclass
class Drill:
    """A WatchedSource over captures that are opened one after another; an error stands for one that cannot be."""

    clock: WaitingClock
    waiting: list[Callable[[], Capture] | SourceError] = field(default_factory=list)
    opened: list[Script] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    stops_at_event: bool = False
    opened_at: list[float] = field(default_factory=list)
    source: WatchedSource = field(init=False)

    def script(self, *levels: int, then: str = "hang", every_s: float = 0.0) -> Drill:
        def make() -> Capture:
            self.opened.append(Script(self.clock, levels, then, every_s=every_s))
            return self.opened[-1]

        self.waiting.append(make)
        return self

    def refuse(self, times: int = 1, reason: str = "could not open camera 0: no such device") -> Drill:
        self.waiting += [SourceError(reason)] * times
        return self

    def start(self, patience: Patience = PATIENCE) -> WatchedSource:
        first = self.waiting.pop(0)
        self.source = WatchedSource(
            "camera 0",
            self._open,
            first=first if isinstance(first, SourceError) else first(),
            patience=patience,
            tell=self._tell,
            clock=self.clock,
            sleep=lambda seconds: None,
            wall=lambda: self.clock.now + 1000,
        )
        self.clock.is_passing = isinstance(first, SourceError) or self.clock.is_passing
        return self.source

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        if self.stops_at_event:
            self.stop.set()

    def _open(self) -> Capture:
        self.opened_at.append(self.clock.now)
        what = self.waiting.pop(0)
        if isinstance(what, SourceError):
            self.clock.is_passing = True
            raise what
        return what()

    def read(self) -> Frame:
        frame = self.source.read()
        assert frame is not None
        return frame

    def read_until_level(self, level: int) -> Frame:
        while (frame := self.read()).image_bgr[0, 0, 0] != level:
            continue
        return frame

    def told(self) -> list[str]:
        """The events that are no updates."""
        return [event.kind for event in self.events if not event.is_update]


@pytest.fixture
def drill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    monkeypatch.setattr("edge.sources.watchdog.WAIT_SLICE_S", 0.001)
    drill = Drill(WaitingClock())
    yield drill
    for script in drill.opened:
        script.free.set()
    drill.source.close()


def test_a_stall_is_said_and_the_camera_opened_again(drill: Drill) -> None:
    drill.script(1).script(2).start()
    assert drill.read_until_level(1).number == 0
    frame = drill.read_until_level(2)
    assert drill.told() == [NO_PICTURE, REOPENING, PICTURE_BACK]
    assert frame.number == 1
    assert drill.source.reopened == 1
    missing, reopening, back = (event for event in drill.events if not event.is_update)
    assert missing.data == {"seconds": pytest.approx(2.0, abs=0.5), "reason": "no frame comes"}
    assert reopening.data == {"attempt": 1, "reason": "no frame for 10 s"}
    assert back.data == {"seconds": pytest.approx(11.0, abs=1.0), "reason": "no frame comes"}
    assert missing.text == "no picture from camera 0 for 2 s: no frame comes"
    assert missing.time == pytest.approx(1102.0, abs=0.5)


def test_while_it_waits_it_says_so_every_second(drill: Drill) -> None:
    drill.script(1).script(2).start()
    drill.read_until_level(1)
    drill.read_until_level(2)
    seconds = [event.data["seconds"] for event in drill.events if event.kind == NO_PICTURE]
    assert len(seconds) >= 8
    assert all(1 <= later - sooner < 1.6 for sooner, later in itertools.pairwise(seconds))
    updates = [event.is_update for event in drill.events if event.kind == NO_PICTURE]
    assert updates == [False] + [True] * (len(seconds) - 1)


def test_an_end_is_said_at_once(drill: Drill) -> None:
    drill.script(1, then=END).script(2).start()
    drill.read_until_level(1)
    drill.read_until_level(2)
    missing = drill.events[0]
    assert missing.kind == NO_PICTURE
    assert missing.data == {"seconds": pytest.approx(0.0, abs=0.6), "reason": "ended after 1 frames"}


def test_a_last_frame_that_comes_just_before_the_end_is_not_lost(drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    drill.script(1, then=END).script(2)
    source, take = drill.start(), Slot.take

    def too_early(slot: Slot, wait_s: float = 0.0) -> Frame | None:
        monkeypatch.setattr(Slot, "take", take)
        while drill.opened[0].released_by is None:
            threading.Event().wait(0.001)
        source.close()  # waits until the thread has said why it ended
        source._is_closing = False
        return None

    monkeypatch.setattr(Slot, "take", too_early)
    assert drill.read().image_bgr[0, 0, 0] == 1


def test_a_frozen_camera_is_opened_again(drill: Drill) -> None:
    drill.script(1, *[5] * 200, every_s=0.25).script(2).start()
    drill.read_until_level(2)
    assert drill.told() == [NO_PICTURE, REOPENING, PICTURE_BACK]
    assert drill.events[0].data == {
        "seconds": pytest.approx(10.0, abs=0.6),
        "reason": "the same picture, bit by bit, for 10.0 s",
    }


def test_a_still_picture_opens_it_again_only_once(drill: Drill) -> None:
    drill.script(1, *[5] * 200, every_s=0.25).script(*[5] * 400, 6, every_s=0.25).start()
    drill.read_until_level(6)
    assert drill.told() == [NO_PICTURE, REOPENING, PICTURE_BACK]
    assert drill.source.reopened == 1


def test_attempts_come_ever_more_slowly(drill: Drill) -> None:
    drill.script(1, then=END).refuse(7).script(2).start()
    drill.read_until_level(2)
    gaps = [later - sooner for sooner, later in itertools.pairwise(drill.opened_at)]
    assert gaps == pytest.approx([2, 4, 8, 16, 30, 30, 30], abs=1.0)
    attempts = [(event.data["attempt"], event.is_update) for event in drill.events if event.kind == REOPENING]
    # The first two have reasons of their own; after that it is the same again and again.
    assert attempts == [(1, False), (2, False), *((attempt, True) for attempt in range(3, 9))]
    assert drill.source.reopened == 1


def test_a_picture_that_never_lasts_is_not_asked_for_every_second(drill: Drill) -> None:
    for level in range(6):
        drill.script(level, then=END)
    drill.start()
    drill.read_until_level(5)
    gaps = [later - sooner for sooner, later in itertools.pairwise(drill.opened_at)]
    assert gaps == pytest.approx([2, 4, 8, 16], abs=1.0)


def test_after_a_good_while_the_first_attempt_is_soon_again(drill: Drill) -> None:
    drill.script(1, then=END).refuse(4)
    drill.script(*range(2, 60), then=END, every_s=0.5).script(100).start()
    drill.read_until_level(1)
    frame = drill.read_until_level(59)
    drill.read_until_level(100)
    assert drill.opened_at[-1] - frame.captured_at < 2


def test_the_reason_of_a_failed_attempt_is_said_without_the_name_again(drill: Drill) -> None:
    drill.script(1, then=END).refuse().script(2).start()
    drill.read_until_level(2)
    assert "no such device" in {event.data["reason"] for event in drill.events}


def test_a_first_picture_that_never_comes_is_an_error(drill: Drill) -> None:
    drill.script().start()
    with pytest.raises(SourceError, match=r"^camera 0: no frame for 10 s; check cable and network$") as caught:
        drill.source.read()
    one_line(caught)


def test_a_camera_that_ends_before_its_first_picture_is_an_error(drill: Drill) -> None:
    drill.script(then=END).start()
    with pytest.raises(SourceError, match=r"^camera 0: ended after 0 frames; check cable and network$"):
        drill.source.read()


def test_it_gives_up_when_asked_to(drill: Drill) -> None:
    drill.script(1, then=END).refuse(99).start(Patience(give_up_after_s=60))
    drill.read_until_level(1)
    with pytest.raises(SourceError) as caught:
        drill.source.read()
    assert one_line(caught) == "camera 0: no picture for 60 s, given up as asked; reason: no such device"
    assert drill.clock.now == pytest.approx(160, abs=1)


def test_with_a_limit_one_that_is_not_there_yet_is_waited_for(drill: Drill) -> None:
    drill.refuse(3).script(7).start(Patience(give_up_after_s=60))
    assert drill.read_until_level(7).number == 0
    assert drill.told() == [NO_PICTURE, REOPENING, PICTURE_BACK]
    assert drill.events[0].data == {"seconds": pytest.approx(0.0, abs=0.6), "reason": "no such device"}


def test_without_a_limit_it_never_gives_up(drill: Drill) -> None:
    drill.clock.step_s = 5.0
    drill.script(1, then=END).refuse(30).script(2).start()
    drill.read_until_level(2)
    assert drill.clock.now > 100 + 25 * 30


def test_an_endless_limit_waits_for_ever_from_the_start_on(drill: Drill) -> None:
    drill.clock.step_s = 5.0
    drill.refuse(30).script(2).start(Patience(give_up_after_s=float("inf")))
    drill.read_until_level(2)
    assert drill.clock.now > 100 + 24 * 30


def test_a_capture_that_hangs_is_never_released_by_another_thread(drill: Drill) -> None:
    drill.script(1).script(2).start()
    drill.read_until_level(2)
    hanging = drill.opened[0]
    assert hanging.released_by is None
    hanging.free.set()
    deadline = time.monotonic() + 10
    while hanging.released_by is None and time.monotonic() < deadline:
        threading.Event().wait(0.001)
    assert hanging.released_by not in (None, threading.get_ident())


def test_too_many_reads_that_hang_for_good_are_an_error(drill: Drill) -> None:
    for level in range(MOST_STUCK + 1):
        drill.script(level)
    drill.start()
    with pytest.raises(SourceError, match=r"4 reads of it hang for good inside OpenCV; start flora run again$"):
        drill.read_until_level(99)
    assert len(drill.opened) == MOST_STUCK


def test_slow_frames_are_no_outage(drill: Drill) -> None:
    drill.script(1, 2, 3, every_s=3.0).start()
    drill.read_until_level(3)
    drill.stops_at_event, began = True, drill.clock.now
    assert drill.source.read(drill.stop) is None
    assert drill.clock.now - began == pytest.approx(9, abs=0.6)  # three times the gap between its frames


def test_a_seldom_reader_is_not_given_a_picture_from_long_ago(drill: Drill) -> None:
    drill.script(1).script(2).start(Patience(give_up_after_s=float("inf")))
    while not drill.clock.is_passing:  # the frame is in the slot, nobody reads
        threading.Event().wait(0.001)
    drill.clock.now += 300
    assert drill.read().image_bgr[0, 0, 0] == 2
    assert drill.source.dropped == 1


def test_a_waiting_read_returns_when_told_to_stop(drill: Drill) -> None:
    drill.script().start()
    drill.clock.is_passing = False
    stop = threading.Event()
    threading.Timer(0.01, stop.set).start()
    assert drill.source.read(stop) is None


def test_it_can_be_closed_twice(drill: Drill) -> None:
    source = drill.script(1, then=END).start()
    source.close()
    source.close()
    assert source.read() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stall_s": 0.0}, "--stall-s is 0; expected more than 0 seconds"),
        ({"stall_s": float("nan")}, "--stall-s is nan"),
        ({"freeze_s": -1.0}, "--freeze-s is -1; expected 0 or more seconds"),
        ({"give_up_after_s": 0.0}, "--give-up-after is 0; expected more than 0 seconds, or inf"),
        ({"give_up_after_s": float("nan")}, "--give-up-after is nan"),
    ],
)
def test_impossible_patience_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Patience(**options)

"""The live loop: what it publishes, when it ends, and that it always closes what it was given."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence

import pytest

from edge.contract.decision import Decision
from edge.contract.event import COOL_AGAIN, NO_PICTURE, SIGHTING, SIGHTING_BEGAN, STARTED, STOPPED, THROTTLED, Event
from edge.contract.frame import Frame
from edge.contract.health import Vitals
from edge.contract.result import Result
from edge.contract.sink import Sink
from edge.errors import FloraError, OutputError, SourceError, UsageError
from edge.live.hub import Hub
from edge.live.loop import Live, LiveConfig, run_live, stop_on_signals
from edge.live.monitor import LiveSummary
from edge.picture.geometry import Picture
from tests.edge.fakes import FakeClassifier, FakeClock, FakeSink, FakeSource, result

INVOKE_S = 0.004


class Answering(FakeClassifier):
    """Answers with the probabilities it was given, in turn, the last for ever; each takes 4 ms of fake time."""

    def __init__(
        self, clock: FakeClock, answers: Sequence[Sequence[float]] = ((0.1, 0.8, 0.1),), threshold: float | None = None
    ) -> None:
        self._clock, self._answers, self._threshold = clock, answers, threshold
        self.calls = 0

    def __call__(self, frame_bgr: Picture) -> Result:
        values = self._answers[min(self.calls, len(self._answers) - 1)]
        self.calls += 1
        self._clock.now += INVOKE_S
        return result(*values, invoke_ms=INVOKE_S * 1000, threshold=self._threshold)


class Run:
    """One run of the loop over fakes, and all that took part."""

    def __init__(
        self,
        count: int | None = 5,
        *,
        config: LiveConfig | None = None,
        answers: Sequence[Sequence[float]] = ((0.1, 0.8, 0.1),),
        threshold: float | None = None,
        is_live: bool = False,
        every_s: float = 0.01,
        failure: Exception | None = None,
        sinks: Sequence[Sink] = (),
        vitals: Callable[[], Vitals] = Vitals,
    ) -> None:
        self.clock = FakeClock()
        self.source = FakeSource(self.clock, count, every_s=every_s, is_live=is_live, failure=failure)
        self.model = Answering(self.clock, answers, threshold)
        self.classifier: FakeClassifier = self.model
        self.sink = FakeSink()
        self.stop = threading.Event()
        self.hub = Hub(stop=self.stop, clock=self.clock, wall=lambda: 1_800_000_000.0 + self.clock.now)
        self._sinks, self._config, self._vitals = [self.sink, *sinks], config, vitals

    def __call__(self, gate: Callable[[Frame], bool] | None = None) -> LiveSummary:
        live = Live(
            self.hub, self.classifier, self.source, self._sinks, self._config, gate=gate, sleep=self.clock.sleep,
            vitals=self._vitals,
        )  # fmt: skip
        return live.run()


def test_every_frame_becomes_a_decision() -> None:
    run = Run(5)
    summary = run()
    assert [decision.frame for decision in run.sink.shown] == [0, 1, 2, 3, 4]
    first = run.sink.shown[0]
    assert (first.source, first.name, first.label) == ("camera 0", "camera 0", "roses")
    assert first.time == pytest.approx(1_800_000_100.014)
    assert first.wait_ms == pytest.approx(10)
    assert first.age_ms == pytest.approx(4)
    assert summary.error is None


def test_the_summary_counts_rates_over_intervals_and_times_each_stage() -> None:
    summary = Run(11)()
    assert summary.frames == 11
    assert summary.seconds == pytest.approx(0.14)
    assert summary.fps == pytest.approx(10 / 0.14)
    assert (summary.dropped, summary.warnings) == (3, ("2.jpg: not a readable picture",))
    for percentiles, expected_ms in (
        (summary.wait_ms, 10),
        (summary.geometry_ms, 0.5),
        (summary.invoke_ms, 4),
        (summary.age_ms, 4),
    ):
        assert percentiles is not None
        assert percentiles.p50 == pytest.approx(expected_ms)


def test_the_first_frame_is_counted_but_not_timed() -> None:
    run = Run(3)

    def slow_start(frame_bgr: Picture) -> Result:
        run.clock.now += 1.0 if run.model.calls == 0 else 0.0
        return run.model(frame_bgr)

    summary = run_live(FakeClassifier(slow_start), run.source, [], clock=run.clock, sleep=run.clock.sleep)
    assert summary.frames == 3
    assert summary.age_ms is not None
    assert summary.age_ms.p99 == pytest.approx(4)


def test_the_summary_counts_labels_and_their_changes() -> None:
    summary = Run(6, answers=((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.4, 0.3, 0.3), (0.1, 0.8, 0.1)), threshold=0.5)()
    assert summary.label_counts == {"roses": 4, "daisy": 1, "unknown": 1}
    assert summary.label_changes == 3


def test_a_source_without_a_frame_gives_an_empty_summary() -> None:
    summary = Run(0)()
    assert (summary.frames, summary.fps, summary.age_ms, summary.label_counts) == (0, None, None, {})
    assert summary.lines()[1] == "seen: nothing; 0 changes"


def test_the_summary_reads_well() -> None:
    assert Run(11)().lines() == [
        "11 frames in 0.1 s, 71.4 frames/s; 3 dropped for newer ones",
        "seen: roses 11; 0 changes",
        "ms p50/p95/p99: wait 10.0/10.0/10.0  geometry 0.5/0.5/0.5  invoke 4.0/4.0/4.0  age 4.0/4.0/4.0",
    ]


# When it ends


def test_it_stops_after_the_frames_asked_for_without_reading_another() -> None:
    run = Run(None, config=LiveConfig(frames=4))
    assert run().frames == 4
    assert run.source.number == 4


def test_it_stops_when_told_to() -> None:
    class StopAfter(FakeSink):
        def show(self, decision: Decision, frame: Frame) -> None:
            if decision.frame == 6:
                run.stop.set()

    run = Run(None, sinks=[StopAfter()])
    summary = run()
    assert (summary.frames, summary.error) == (7, None)


def test_it_waits_between_frames_for_max_fps() -> None:
    run = Run(None, config=LiveConfig(frames=11, max_fps=5))
    summary = run()
    assert summary.fps == pytest.approx(5)
    assert max(run.clock.slept) <= 0.05


def test_a_slow_source_is_not_slowed_further_by_max_fps() -> None:
    run = Run(None, config=LiveConfig(frames=5, max_fps=5), every_s=0.5)
    run()
    assert run.clock.slept == []


def test_a_pause_ends_when_told_to_stop() -> None:
    run = Run(None, config=LiveConfig(max_fps=0.001))

    def sleep(seconds: float) -> None:
        run.clock.now += seconds
        run.stop.set()

    summary = run_live(
        run.classifier,
        run.source,
        [],
        config=LiveConfig(max_fps=0.001),
        stop=run.stop,
        clock=run.clock,
        sleep=sleep,
    )
    assert summary.frames == 1
    assert run.clock() < 101


@pytest.mark.parametrize(
    ("failure", "kind", "message"),
    [
        (OutputError("x.jsonl: cannot be written"), OutputError, "x.jsonl: cannot be written"),
        (OSError(28, "No space left on device"), OutputError, "an output failed (No space left on device)"),
        (BrokenPipeError(), type(None), ""),
    ],
    ids=["OutputError", "OSError", "closed pipe"],
)
def test_a_sink_that_fails_ends_the_run_with_a_summary_and_all_closed(
    failure: Exception, kind: type[FloraError | None], message: str
) -> None:
    failing = FakeSink(fails_at=2, failure=failure)
    run = Run(None, sinks=[failing])
    summary = run()
    assert isinstance(summary.error, kind)
    assert message in str(summary.error)
    assert summary.frames == 3
    assert (run.source.closed, run.sink.closed, failing.closed) == (1, 1, 1)


def test_a_source_that_fails_ends_the_run_with_a_summary_and_all_closed() -> None:
    run = Run(5, failure=SourceError("camera 0: no frame for 10 s"))
    summary = run()
    assert isinstance(summary.error, SourceError)
    assert summary.frames == 5
    assert (run.source.closed, run.sink.closed) == (1, 1)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (OutputError("clip.avi: not whole"), "clip.avi: not whole"),
        (OSError(28, "No space left on device"), "an output could not be finished (No space left on device)"),
    ],
    ids=["OutputError", "OSError"],
)
def test_a_sink_that_cannot_be_closed_is_told_and_the_others_are_closed(failure: Exception, message: str) -> None:
    failing, last = FakeSink(failure=failure), FakeSink()
    run = Run(2, sinks=[failing, last])
    assert str(run().error) == message
    assert (run.source.closed, run.sink.closed, last.closed) == (1, 1, 1)


def test_the_first_of_two_failures_is_told() -> None:
    run = Run(1, failure=SourceError("the camera has gone"), sinks=[FakeSink(failure=OutputError("not whole"))])
    assert str(run().error) == "the camera has gone"


@pytest.mark.parametrize("failure", [ValueError("a defect"), KeyboardInterrupt()], ids=["defect", "Ctrl-C twice"])
def test_what_is_no_error_of_a_person_gets_through_with_all_closed(failure: BaseException) -> None:
    class Broken(FakeSink):
        def show(self, decision: Decision, frame: Frame) -> None:
            raise failure

    broken = Broken()
    run = Run(3, sinks=[broken])
    with pytest.raises(type(failure)):
        run()
    assert (run.source.closed, run.sink.closed, broken.closed) == (1, 1, 1)


# Smoothing

FLICKER = ((0.45, 0.55, 0.0), (0.55, 0.45, 0.0)) * 10


@pytest.mark.parametrize(
    ("is_live", "smoothing_s", "changes"),
    [(False, None, 19), (True, None, 0), (True, 0.0, 19), (False, 0.5, 0)],
    ids=["file", "camera", "camera, turned off", "file, turned on"],
)
def test_a_camera_is_smoothed_and_a_file_is_not(is_live: bool, smoothing_s: float | None, changes: int) -> None:
    run = Run(20, answers=FLICKER, is_live=is_live, config=LiveConfig(smoothing_s=smoothing_s))
    assert run().label_changes == changes


def test_unknown_is_judged_after_smoothing() -> None:
    answers = [(0.0, 1.0, 0.0)] * 20 + [(0.34, 0.33, 0.33)]
    smoothed, raw = (
        Run(21, answers=answers, threshold=0.5, config=LiveConfig(smoothing_s=seconds)) for seconds in (0.5, 0.0)
    )
    smoothed(), raw()
    assert smoothed.sink.shown[-1].shown == "roses"
    assert raw.sink.shown[-1].shown == "unknown"


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "--frames is 0; expected 1 or more"),
        ({"max_fps": 0.0}, "--max-fps is 0; expected more than 0"),
        ({"max_fps": float("nan")}, "--max-fps is nan"),
        ({"smoothing_s": -1.0}, "--smoothing-s is -1; expected 0 or more"),
        ({"hysteresis": 1.0}, "--hysteresis is 1; expected at least 0"),
    ],
    ids=str,
)
def test_an_impossible_option_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LiveConfig(**options)  # type: ignore[arg-type]


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_signal_stops_the_run_cleanly_and_the_old_handler_returns(number: signal.Signals) -> None:
    class SignalAfter(FakeSink):
        def show(self, decision: Decision, frame: Frame) -> None:
            if decision.frame == 2:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    run = Run(1000, sinks=[SignalAfter()])
    with stop_on_signals(run.stop):
        summary = run()
    assert summary.frames < 1000
    assert summary.error is None
    assert run.source.closed == 1
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_aborts() -> None:
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_after_sigterm_is_the_first_of_its_kind() -> None:
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()


def test_elsewhere_than_in_the_main_thread_signals_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with stop_on_signals() as stop:
            seen.append(stop.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


# Live sources: events, regions, other models, hot boards


def test_a_live_run_tells_when_it_starts_and_stops() -> None:
    run = Run(3, is_live=True)
    run()
    assert [event.kind for event in run.sink.told] == [STARTED, STOPPED]
    assert run.sink.told[0].text == "watching camera 0"


def test_files_bring_no_events() -> None:
    run = Run(300)
    run()
    assert run.sink.told == []


def test_a_failed_source_says_so_before_it_stops() -> None:
    run = Run(2, is_live=True, failure=SourceError("camera 0: gone"))
    run()
    assert (run.sink.told[-1].kind, run.sink.told[-1].data["reason"]) == (STOPPED, "camera 0: gone")


def test_a_label_that_is_held_is_a_sighting() -> None:
    run = Run(30, is_live=True, every_s=0.1)
    run()
    kinds = [event.kind for event in run.sink.told]
    assert kinds == [STARTED, SIGHTING_BEGAN, SIGHTING, STOPPED]
    assert run.sink.told[2].data["label"] == "roses"


def test_the_model_sees_only_the_region() -> None:
    seen: list[tuple[int, ...]] = []
    run = Run(1, config=LiveConfig(roi="0.5,0,1,0.5"))

    def look(frame_bgr: Picture) -> Result:
        seen.append(frame_bgr.shape)
        return result(0.1, 0.8, 0.1)

    run.classifier = FakeClassifier(look)
    run()
    assert seen == [(24, 32, 3)]
    assert run.sink.frames[0].square == (0, 36, 24)


def test_where_nothing_moves_the_last_answer_holds() -> None:
    run = Run(4, is_live=True, answers=((0.8, 0.1, 0.1), (0.1, 0.8, 0.1)))
    summary = run(gate=lambda frame: frame.number != 2)
    assert [decision.is_held for decision in run.sink.shown] == [False, True, False, True]
    assert run.model.calls == 2
    assert (summary.frames, summary.held) == (4, 2)


def test_another_model_starts_without_the_past_of_the_last() -> None:
    run = Run(2, is_live=True)
    answers = iter([result(0.9, 0.1, 0.0), result(0.4, 0.6, labels=("oak", "elm"))])
    run.classifier = FakeClassifier(lambda frame_bgr: next(answers))
    run()
    assert [decision.label for decision in run.sink.shown] == ["daisy", "elm"]
    assert run.sink.shown[1].probability == pytest.approx(0.6)


def test_a_hot_board_works_half_of_the_time_until_it_is_cool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.live.pace.VITALS_EVERY_S", 0.0)
    hot = iter([False, True, False])
    run = Run(3, is_live=True, every_s=0.0, vitals=lambda: Vitals(is_throttled=next(hot)))
    run()
    assert [event.kind for event in run.sink.told] == [STARTED, THROTTLED, COOL_AGAIN, STOPPED]
    assert sum(run.clock.slept) == pytest.approx(INVOKE_S)


def test_while_there_is_no_picture_health_says_why() -> None:
    run = Run()
    assert run.hub.health(run.model, run.source).state == "starting"
    run.hub.tell(Event(NO_PICTURE, 1.0, "no picture for 4 s", {"seconds": 4, "reason": "cable"}))
    health = run.hub.health(run.model, run.source)
    assert (health.state, health.reason, health.picture_age_s) == ("no picture", "cable", None)


def test_health_after_a_run() -> None:
    run = Run(11, is_live=True, answers=((0.8, 0.1, 0.1), (0.1, 0.8, 0.1)), config=LiveConfig(smoothing_s=0))
    run()
    health = run.hub.health(run.model, run.source)
    assert (health.state, health.frames, health.source, health.dropped) == ("stopped", 11, "camera 0", 3)
    assert health.fps == pytest.approx(10 / 0.14)
    assert health.changes_per_minute == pytest.approx(60)  # one; windows under a second count as one
    assert health.age_ms is not None
    assert health.record()["age_ms"]["p99"] == pytest.approx(4)

"""Hand decisions and events to all sinks, so that none can hold the camera loop or another sink.

In:  sinks; decisions with their frames; events.
Out: from a live source, each sink in a thread of its own behind a bounded queue; from files, calls in the loop's
     thread, since there nothing may be lost and a failure ends the run.

A sink that fails is called again with the same item after 1, 2, 4 ... 30 s; the others are told, and so is whoever
asks for health. Once the run ends, every sink has a few seconds to finish.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.contract.decision import Decision
from edge.contract.event import OUTPUT_BACK, OUTPUT_FAILED, Event
from edge.contract.frame import Clock, Frame
from edge.contract.health import OutputHealth
from edge.contract.sink import Sink
from edge.errors import FloraError, OutputError
from edge.picture.geometry import Picture

FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 30.0
FINISH_S = 5.0  # that a sink has to empty its queue when the run ends
MOST_EVENTS = 10_000  # that wait for one sink
NO_PICTURE: Picture = np.zeros((1, 1, 3), np.uint8)

_Answered = tuple[Decision, Frame]
_Item = _Answered | Event


class SinkThreads:
    """All sinks of one run; none until they are attached, and nobody hears what is told before."""

    def __init__(
        self,
        *,
        on_gone: Callable[[], None],
        wall: Clock = time.time,
        retry_s: float = FIRST_RETRY_S,
        finish_s: float = FINISH_S,
    ) -> None:
        """`on_gone` is called when the reader of a sink has gone on purpose."""
        self._on_gone, self._wall, self._retry_s, self._finish_s = on_gone, wall, retry_s, finish_s
        self._in_order = threading.Lock()  # the same order of decisions and events for all sinks
        self._sinks: Sequence[Sink] = ()
        self._threads: list[_SinkThread] = []

    def attach(self, sinks: Sequence[Sink], *, in_threads: bool) -> None:
        """From now on all these are served, and closed in the end; each in a thread of its own, or by whoever calls."""
        with self._in_order:
            self._threads = [_SinkThread(sink, self, self._retry_s, self._finish_s) for sink in sinks if in_threads]
            self._sinks = sinks

    def show(self, decision: Decision, frame: Frame) -> None:
        """From files: raises what a sink raises."""
        with self._in_order:
            for thread in self._threads:
                thread.put((decision, frame))
        if not self._threads:
            for sink in self._sinks:
                sink.show(decision, frame)

    def tell(self, event: Event, besides: Sink | None = None) -> None:
        """May be called from any thread where the source is live."""
        with self._in_order:
            for thread in self._threads:
                if thread.sink is not besides:
                    thread.put(event)
        if not self._threads:
            for sink in self._sinks:
                sink.tell(event)

    def lost(self, name: str) -> int:
        """How many decisions the sink of that name did not get."""
        found = self.health().get(name)
        return found.lost if found else 0

    def health(self) -> dict[str, OutputHealth]:
        """Of the sinks with a thread."""
        return {thread.sink.name: thread.health() for thread in self._threads}

    def close(self) -> FloraError | None:
        """Finish all sinks, whatever fails; return the first error there was. A defect of ours is raised."""
        if not self._threads:
            return first_error(*[_closing_error(sink) for sink in self._sinks])
        for thread in self._threads:
            thread.finish()
        return first_error(*[thread.joined() for thread in self._threads])

    def failed(self, sink: Sink, reason: str) -> None:
        self.tell(Event(OUTPUT_FAILED, self._wall(), reason, {"output": sink.name, "reason": reason}), besides=sink)

    def back(self, sink: Sink, lost: int) -> None:
        text = f"{sink.name} works again; {lost} decisions lost" if lost else f"{sink.name} works again"
        self.tell(Event(OUTPUT_BACK, self._wall(), text, {"output": sink.name, "lost": lost}), besides=sink)

    def gone(self) -> None:
        self._on_gone()


@dataclass
class _State:
    """What the two threads of a sink share; guarded by its condition."""

    queue: deque[_Item]
    decisions: int = 0  # in the queue
    lost: int = 0
    reason: str | None = None
    is_finishing: bool = False
    is_over: bool = False


class _SinkThread:
    """One sink, its queue and its thread."""

    def __init__(self, sink: Sink, others: SinkThreads, retry_s: float, finish_s: float) -> None:
        self.sink = sink
        self._others, self._first_retry_s, self._finish_s = others, retry_s, finish_s
        self._state = _State(deque())
        self._changed = threading.Condition()
        self._error: FloraError | None = None
        self._defect: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name=f"sink {sink.name}", daemon=True)
        self._thread.start()

    def put(self, item: _Item) -> None:
        """Never waits: where the queue is full the oldest of its kind goes."""
        with self._changed:
            state = self._state
            if state.is_finishing or state.is_over:
                return
            if isinstance(item, Event):
                self._make_room_for(item)
            else:
                item = item if self.sink.needs_picture else (item[0], replace(item[1], image_bgr=NO_PICTURE))
                if state.decisions >= self.sink.backlog:
                    self._drop(next(waiting for waiting in state.queue if not isinstance(waiting, Event)))
                    # A newer answer in place of an older one is what NEWEST means, and no loss.
                    state.lost += self.sink.backlog > 1
                state.decisions += 1
            state.queue.append(item)
            self._changed.notify_all()

    def health(self) -> OutputHealth:
        with self._changed:
            return OutputHealth(self._state.lost, len(self._state.queue), self._state.reason)

    def finish(self) -> None:
        """Let the sink finish what waits; nothing new comes."""
        with self._changed:
            self._state.is_finishing = True
            self._changed.notify_all()

    def joined(self) -> FloraError | None:
        """The error, if any, of a sink that has finished, or should have."""
        self._thread.join(self._finish_s)
        if self._defect is not None:
            raise self._defect
        if self._thread.is_alive():
            left = len(self._state.queue)
            return OutputError(f"{self.sink.name}: did not finish within {self._finish_s:g} s; {left} items are lost")
        return self._error

    def _make_room_for(self, event: Event) -> None:
        queue = self._state.queue
        if event.is_update:
            for waiting in [one for one in queue if isinstance(one, Event) and one.is_update]:
                queue.remove(waiting)
        elif len(queue) - self._state.decisions >= MOST_EVENTS:
            queue.remove(next(one for one in queue if isinstance(one, Event)))
            self._state.lost += 1

    def _drop(self, item: _Item) -> None:
        # By identity: arrays within have no single answer to ==.
        queue = self._state.queue
        del queue[next(place for place, waiting in enumerate(queue) if waiting is item)]
        self._state.decisions -= 1

    def _serve(self) -> None:
        try:
            while (item := self._next()) is not None:
                if not self._delivered(item):
                    break
        except BrokenPipeError:
            self._others.gone()
        except BaseException as defect:  # noqa: BLE001  raised again in the thread that closes
            self._defect = defect
            self._others.gone()
        finally:
            with self._changed:
                self._state.is_over = True
                self._state.queue.clear()
            self._error = self._error or self._closed()

    def _closed(self) -> FloraError | None:
        try:
            return _closing_error(self.sink)
        except BaseException as defect:  # noqa: BLE001  as above
            self._defect = self._defect or defect
            return None

    def _next(self) -> _Item | None:
        """The next item, waiting for one; None once nothing is left to do."""
        with self._changed:
            while not self._state.queue:
                if self._state.is_finishing:
                    return None
                self._changed.wait()
            item = self._state.queue.popleft()
            self._state.decisions -= not isinstance(item, Event)
            return item

    def _delivered(self, item: _Item) -> bool:
        """Call the sink until it takes `item`. False when the run ends first."""
        retry_s = self._first_retry_s
        while True:
            try:
                self._call(item)
            except BrokenPipeError:
                raise
            except (OutputError, OSError) as error:
                self._note_failure(error)
                if not self._waited(retry_s):
                    left = 1 + len(self._state.queue)
                    self._error = OutputError(f"{error}; {left} items for {self.sink.name} are lost")
                    return False
                retry_s = min(2 * retry_s, LONGEST_RETRY_S)
            else:
                self._note_success()
                return True

    def _call(self, item: _Item) -> None:
        if isinstance(item, Event):
            self.sink.tell(item)
        else:
            self.sink.show(*item)

    def _note_failure(self, error: Exception) -> None:
        reason = str(error) if isinstance(error, FloraError) else _failure(error)
        with self._changed:
            is_new, self._state.reason = self._state.reason is None, reason
        if is_new:
            self._others.failed(self.sink, reason)

    def _note_success(self) -> None:
        with self._changed:
            was_failing, self._state.reason, lost = self._state.reason is not None, None, self._state.lost
        if was_failing:
            self._others.back(self.sink, lost)

    def _waited(self, seconds: float) -> bool:
        """Wait before another try. False when the run has ended: one try after the end is all there is."""
        with self._changed:
            if self._state.is_finishing:
                return False
            self._changed.wait_for(lambda: self._state.is_finishing, seconds)
        return True


def _closing_error(sink: Sink) -> FloraError | None:
    try:
        sink.close()
    except BrokenPipeError:
        return None  # its reader has gone, which is no failure
    except FloraError as error:
        return error
    except OSError as error:
        return OutputError(f"an output could not be finished ({error.strerror or error})")
    return None


def _failure(error: Exception) -> str:
    return f"an output failed ({getattr(error, 'strerror', None) or error})"


def first_error(*errors: FloraError | None) -> FloraError | None:
    """The first that is one."""
    return next((error for error in errors if error is not None), None)

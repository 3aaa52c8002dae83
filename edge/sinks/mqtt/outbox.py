"""Messages that must arrive: a bounded buffer before a link that comes and goes.

In:  payloads, in order, from one thread; from another one the news that the link is up or down and what was confirmed.
Out: each payload handed over at least once and in order. While the link is down the newest `limit` wait; older ones
     are dropped and counted.

The link sends again by itself what it was given and has not been confirmed, so at most `in_flight` are given at once.
No lock is held while the link is called: it may hold one of its own when it calls back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

IN_FLIGHT = 20


class Outbox:
    """`publish` hands one payload over and returns its number, or None if it was not taken."""

    def __init__(self, publish: Callable[[bytes], int | None], *, limit: int, in_flight: int = IN_FLIGHT) -> None:
        self._publish = publish
        self._limit = limit
        self._most_in_flight = in_flight
        self._lock = threading.Lock()  # guards the next three
        self._waiting: deque[bytes] = deque()
        self._unconfirmed: set[int] = set()
        self.lost = 0  # dropped because too many waited
        self._confirmed: deque[int] = deque()
        self._is_up = False
        self._is_catching_up = False  # the link still repeats what it had before it went down
        self._turn = threading.Lock()  # of the one thread that hands over, which keeps the order
        self._is_wanted = False

    @property
    def waiting(self) -> int:
        """Payloads that the broker has not confirmed."""
        with self._lock:
            return len(self._waiting) + len(self._unconfirmed)

    def put(self, payload: bytes) -> None:
        """Never waits."""
        with self._lock:
            if len(self._waiting) >= self._limit:
                self._waiting.popleft()
                self.lost += 1
            self._waiting.append(payload)
        self.pump()

    def up(self) -> None:
        with self._lock:
            self._is_catching_up = bool(self._unconfirmed)
        self._is_up = True
        self.pump()

    def down(self) -> None:
        self._is_up = False

    def confirm(self, number: int) -> None:
        """May name numbers of other messages too."""
        self._confirmed.append(number)
        self.pump()

    def pump(self) -> None:
        """Hand over what may go now. Never waits: if another thread is at it, that one looks once more."""
        self._is_wanted = True
        while self._is_wanted and self._turn.acquire(blocking=False):
            try:
                self._is_wanted = False
                self._hand_over()
            finally:
                self._turn.release()

    def _hand_over(self) -> None:
        while (payload := self._next()) is not None:
            number = self._publish(payload)
            with self._lock:
                if number is not None:
                    self._unconfirmed.add(number)
                elif len(self._waiting) < self._limit:
                    self._waiting.appendleft(payload)
                else:
                    self.lost += 1
            if number is None:
                return

    def _next(self) -> bytes | None:
        with self._lock:
            while self._confirmed:
                self._unconfirmed.discard(self._confirmed.popleft())
            self._is_catching_up = self._is_catching_up and bool(self._unconfirmed)
            may_go = self._is_up and not self._is_catching_up and len(self._unconfirmed) < self._most_in_flight
            return self._waiting.popleft() if may_go and self._waiting else None

"""A message for a broker, and what publishes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Message:
    """One message for the broker."""

    topic: str
    payload: bytes
    qos: int = 0  # 0: lost with the connection; 1: sent again until the broker has confirmed it
    is_retained: bool = False  # the broker keeps it for whoever subscribes later


class Link(Protocol):
    """A connection that comes and goes. The four callbacks are set before `open` and called from its own thread."""

    on_up: Callable[[], None]
    on_down: Callable[[str], None]  # why, for a person; also when a first connection could not be made
    on_sent: Callable[[int], None]  # the broker has what `publish` gave this number
    on_message: Callable[[bytes], None]  # the payload of what was subscribed to

    def open(self) -> None:
        """Connect in the background, again and again. Returns at once and does not fail."""

    def publish(self, message: Message) -> int | None:
        """Hand over a message, without waiting; its number, or None if it was not taken."""

    def subscribe(self, topic: str) -> None: ...

    def close(self, timeout_s: float) -> None:
        """Say goodbye, so that the broker does not send the last will."""

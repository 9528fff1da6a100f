"""What our own tests use, for users' tests as well: waiting for a condition, and dead letters in a list."""

import time
from collections.abc import Callable
from typing import TypeVar

from bighead.events.message import Message

Value = TypeVar("Value")


def eventually(fn: Callable[[], Value], timeout_s: float = 10.0, interval_s: float = 0.02) -> Value:
    """The first truthy value that `fn` returns within the time; an AssertionError in it counts as not yet."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            value = fn()
            seen = f"last value: {value!r}"
            if value:
                return value
        except AssertionError as error:
            seen = f"last failure: {error}"
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {timeout_s} s; {seen}")
        time.sleep(interval_s)


class DeadLetterList:
    """Dead letters kept in memory, as (message, error, stage)."""

    def __init__(self) -> None:
        self.letters: list[tuple[Message, Exception, str]] = []

    def send(self, message: Message, error: Exception, stage: str) -> None:
        """Keeps a message that failed."""
        self.letters.append((message, error, stage))

    def flush(self) -> None:
        """Everything is kept already."""

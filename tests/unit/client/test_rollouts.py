"""Following a roll-out: its own events alone, until it ends or nobody wants more."""

from collections.abc import Callable, Iterator

import pytest

from bighead import config
from bighead.client import rollouts
from bighead.client.rollouts import RolloutsClient
from bighead.config import Settings
from bighead.events.message import Message


def test_following_ends_when_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter([False, False, True])

    def follow(settings: Settings, topics: list[str], *, stop: Callable[[], bool]) -> Iterator[Message]:
        """A log in which nothing of the roll-out comes."""
        while not stop():
            yield Message(topics[0], 0, 0, b"another", b"")

    monkeypatch.setattr(rollouts, "follow", follow)
    assert list(RolloutsClient(config.load({})).follow("delay", "c", stop=lambda: next(turns))) == []
    assert next(turns, None) is None

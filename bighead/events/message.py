"""One message of a log, as every consumer hands it on, whatever client read it. Knows no Kafka client."""

from dataclasses import dataclass
from typing import Self

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a message lies. Written `topic/partition/offset`."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The position of `topic/partition/offset`; ValueError for anything else."""
        parts = text.split("/")
        if len(parts) != 3 or not parts[0] or not parts[1].isdecimal() or not parts[2].isdecimal():
            raise ValueError(f"{text!r} is not a position; expected topic/partition/offset, for example orders.v1/0/42")
        return cls(parts[0], int(parts[1]), int(parts[2]))


@dataclass(frozen=True, slots=True)
class Message:
    """A message with its bytes untouched. `timestamp_ms` is Kafka's own, -1 where there is none."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int = -1

    @property
    def position(self) -> Position:
        """Where it lies."""
        return Position(self.topic, self.partition, self.offset)

    def header(self, name: str) -> str | None:
        """The text of the last header of that name; None where there is none."""
        for key, value in reversed(self.headers):
            if key == name and value is not None:
                return value.decode("utf-8", "replace")
        return None

"""What every event class has in common. The classes themselves are generated into `types.py` from schemas/*.avsc.

Knows nothing of Avro, Kafka or topics.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self


class Record(ABC):
    """A frozen value that has an Avro record as its form on the wire."""

    __slots__ = ()

    FULL_NAME: ClassVar[str]

    @abstractmethod
    def to_record(self) -> dict[str, Any]:
        """The plain dict that an Avro writer takes."""

    @classmethod
    @abstractmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The event of a plain dict as an Avro reader gives it: every field is there."""


class Event(Record):
    """A record that stands on its own in a topic."""

    __slots__ = ()

    @property
    @abstractmethod
    def time_ms(self) -> int:
        """When it happened, milliseconds since the epoch, UTC."""

"""What every event class has in common. The classes themselves are generated into `types.py` from schemas/*.avsc.

Knows nothing of Avro, Kafka or topics. No abstract base classes of Python's: `isinstance`, which every fold asks of
every event many times, takes ten times as long with them.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self


class Record:
    """A frozen value that has an Avro record as its form on the wire."""

    __slots__ = ()

    FULL_NAME: ClassVar[str]

    def to_record(self) -> dict[str, Any]:
        """The plain dict that an Avro writer takes."""
        raise NotImplementedError

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The event of a plain dict as an Avro reader gives it: every field is there."""
        raise NotImplementedError


class Event(Record):
    """A record that stands on its own in a topic."""

    __slots__ = ()

    @property
    def time_ms(self) -> int:
        """When it happened, milliseconds since the epoch, UTC."""
        raise NotImplementedError

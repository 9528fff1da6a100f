"""What a step works on: a group's epoch in the lane, the tiles that it changes, and what is found besides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bighead.errors import InvalidEvent
from bighead.events.times import check_time
from bighead.features.compiled import CompiledGroup
from bighead.features.fold import Column, Ints
from bighead.features.tiles import StateCodec, Tile, TileKey
from streams.decode import Failure

LANE_STAGE = "lane"


def stage_of(group: str | None) -> str:
    """The dead letters' stage of an error that concerns every group of a topic, or one."""
    return LANE_STAGE if group is None else f"{LANE_STAGE}:{group}"


@dataclass
class Member:
    """A group's epoch in the lane: how far it is in each partition of its topic, and what it left out as late.

    place: name and epoch. cut_ms: batch owns what lies below it; an event below is counted in `late` and left to the
    next batch run. A retired one is let go before the next step.
    """

    group: CompiledGroup
    epoch: int
    cut_ms: int | None
    offsets: dict[int, int]
    late: int = 0
    retired: bool = False
    place: tuple[str, int] = field(init=False)
    codec: StateCodec = field(init=False)

    def __post_init__(self) -> None:
        self.place = (self.group.name, self.epoch)
        self.codec = StateCodec(self.group)


class Tiles(Protocol):
    """The tiles of one member: those that are there, and those that a step changed."""

    def load(self, keys: Sequence[TileKey]) -> Sequence[Tile | None]:
        """The newest tile of each key, changes of this step included."""

    def change(self, tiles: Sequence[Tile]) -> None:
        """Takes tiles with their new state."""


@dataclass
class Folded:
    """Times and inputs of what one member folded: row by row, or as columns."""

    rows: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    columns: list[tuple[Ints, Mapping[str, Column]]] = field(default_factory=list)


@dataclass
class Outcome:
    """What a step found besides tiles: dead letters, late events and folded inputs by member, the newest times."""

    failures: dict[tuple[int, int, str | None], Failure] = field(default_factory=dict)
    late: dict[tuple[str, int], int] = field(default_factory=dict)
    newest_ms: dict[int, int] = field(default_factory=dict)
    folded: dict[tuple[str, int], Folded] = field(default_factory=dict)

    def fail(self, failure: Failure) -> None:
        """Takes a message that cannot be applied; what concerns all groups is said once."""
        self.failures.setdefault((failure.partition, failure.record.offset, failure.group), failure)


def unkeyed(group: str, key: str) -> InvalidEvent:
    """Why an event without a key is refused."""
    return InvalidEvent(
        f"key {key!r} of group {group!r} is null; expected a value: exclude such events with `where`, "
        "or let the producer fill it"
    )


def time_error(value: object, now_ms: int, max_future_ms: int, name: str) -> Exception:
    """Why a time is not believed."""
    try:
        check_time(value, now_ms=now_ms, max_future_ms=max_future_ms, name=f"the event's time {name!r}")
    except InvalidEvent as error:
        return error
    return InvalidEvent(f"the event's time {name!r} is {value!r}; expected milliseconds since 1970-01-01 UTC")

"""One step of the lane, without I/O: a batch of messages and the groups of its topic give tiles and dead letters.

Knows decoding, expressions and the fold; state comes and goes through `Tiles`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np

from bighead.errors import InvalidEvent
from bighead.events.codec import Codec
from bighead.events.times import SECONDS_FROM, SECONDS_TO
from bighead.features.fold import Column, Ints, Mask, Rows, fold
from bighead.features.tiles import entity_of
from bighead.features.types import ValueType
from streams.decode import Batch, Decoder, Failure
from streams.evaluate import Evaluated, Evaluator
from streams.kafka import Record
from streams.member import LANE_STAGE, Folded, Member, Outcome, Tiles, stage_of, time_error, unkeyed
from streams.rows import RowStep

__all__ = ["Member", "Outcome", "Stepper", "stage_of"]
FEW_ROWS = 200
"""Steps of so many rows are taken row by row: arrays would cost more to set up than they save, while events wait."""


class Stepper:
    """The compiled work of a fixed set of members of one topic.

    one_time: all groups of the topic read the event's time from the same column, so a wrong time concerns all of them.
    """

    def __init__(
        self,
        codec: Codec,
        duck: duckdb.DuckDBPyConnection,
        members: Sequence[Member],
        max_future_ms: int,
        one_time: bool,
    ) -> None:
        self._members = list(members)
        groups = [member.group for member in members]
        columns: dict[str, ValueType] = {}
        for group in groups:
            columns |= {name: group.columns[name] for name in group.source_columns}
        stages = {stage_of(None), *(stage_of(group.name) for group in groups)}
        self.decoder = Decoder(codec, columns, frozenset(stages))
        self._evaluator = Evaluator(groups, duck)
        self._row_steps = [RowStep(member, self.decoder, max_future_ms, one_time) for member in members]
        self.max_future_ms = max_future_ms
        self.one_time = one_time

    def step(self, polled: Mapping[int, Sequence[Record]], tiles: Sequence[Tiles], now_ms: int) -> Outcome:
        """Folds what each member has not seen into its `tiles`, in order of the members."""
        batch = self.decoder.decode(polled)
        outcome = Outcome()
        for failure in batch.failures:
            outcome.fail(failure)
        if len(batch.records) <= FEW_ROWS and self._evaluator.agrees(batch.values):
            for one, changing in zip(self._row_steps, tiles, strict=True):
                one.take(batch, changing, outcome, now_ms)
        elif batch.records:
            self._step_arrays(batch, tiles, outcome, now_ms)
        return outcome

    def _step_arrays(self, batch: Batch, tiles: Sequence[Tiles], outcome: Outcome, now_ms: int) -> None:
        times = {name: _times_of(batch, name) for name in {one.group.definition.source.time for one in self._members}}
        nows_ms = _nows_ms(batch, now_ms)
        for index, evaluated in enumerate(self._evaluator.evaluate(batch.values)):
            member = self._members[index]
            times_ms = times[member.group.definition.source.time]
            work = _Work(self, batch, member, evaluated, tiles[index], outcome, times_ms, nows_ms)
            for partition, rows in batch.spans.items():
                work.fold_partition(partition, rows)


@dataclass
class _Work:
    """One member's share of a step."""

    stepper: Stepper
    batch: Batch
    member: Member
    evaluated: Evaluated
    tiles: Tiles
    outcome: Outcome
    times_ms: Ints
    nows_ms: Ints

    def fold_partition(self, partition: int, span: slice) -> None:
        """The rows of one partition: what is new for the member, readable, kept, keyed and not late is folded."""
        batch, group = self.batch, self.member.group
        mine = self._mine(partition, span)
        times, timely = self._times(partition, span, mine)
        mine &= timely
        self._reject_rows(partition, span, mine, self._unreadable(span))
        self._reject_rows(partition, span, mine, self._failed(span))
        mine &= self.evaluated.keep[span]
        self._reject_rows(partition, span, mine, self._unkeyed(span))
        if mine.any():
            self.outcome.newest_ms[partition] = max(self.outcome.newest_ms.get(partition, -1), int(times[mine].max()))
        if self.member.cut_ms is not None:
            late = mine & (times < self.member.cut_ms)
            self.outcome.late[self.member.place] = self.outcome.late.get(self.member.place, 0) + int(late.sum())
            mine &= ~late
        if not mine.any():
            return
        entities, codes = _entities([self._column(name, span, mine) for name in group.keys])
        columns = {name: self._column(name, span, mine) for name in group.input_kinds}
        folded = self.outcome.folded.setdefault(self.member.place, Folded())
        folded.columns.append((times[mine], columns))
        back = None if self.evaluated.reversed is None else self.evaluated.reversed[span][mine]
        rows = Rows(partition, batch.offsets[span][mine], times[mine], entities, codes, columns, back)
        self._fold(rows, np.flatnonzero(mine) + span.start)

    def _mine(self, partition: int, span: slice) -> Mask:
        """Rows that the member has not seen and that are not meant for another."""
        mine: Mask = self.batch.offsets[span] >= self.member.offsets.get(partition, 0)
        for row, stage in self.batch.addressed.items():
            if span.start <= row < span.stop and stage not in (LANE_STAGE, stage_of(self.member.group.name)):
                mine[row - span.start] = False
        return mine

    def _times(self, partition: int, span: slice, mine: Mask) -> tuple[Ints, Mask]:
        """The rows' times, and which of them are believed; the others are dead letters of all groups or of this one."""
        name = self.member.group.definition.source.time
        times, nows = self.times_ms[span], self.nows_ms[span]
        timely = (times >= 0) & (times <= nows + self.stepper.max_future_ms)
        timely &= (times < SECONDS_FROM) | (times >= SECONDS_TO)
        group = None if self.stepper.one_time else self.member.group.name
        for row in np.flatnonzero(mine & ~timely).tolist():
            value = self.batch.values[span.start + row].get(name)
            error = time_error(value, int(nows[row]), self.stepper.max_future_ms, name)
            self._reject(partition, span.start + row, error, group)
        return times, timely

    def _unreadable(self, span: slice) -> dict[int, Exception]:
        """Rows written under a schema with other types than the definition's."""
        found: dict[int, Exception] = {}
        schema_ids = np.array(self.batch.schema_ids[span], np.int64)
        for schema_id in np.unique(schema_ids).tolist():
            complaint = self.stepper.decoder.complaint(schema_id, self.member.group.source_columns)
            if complaint is not None:
                found |= dict.fromkeys(np.flatnonzero(schema_ids == schema_id).tolist(), complaint)
        return found

    def _failed(self, span: slice) -> dict[int, Exception]:
        group = self.member.group.name
        return {
            row - span.start: InvalidEvent(f"an expression of group {group!r} cannot be evaluated: {error}")
            for row, error in self.evaluated.errors.items()
            if span.start <= row < span.stop
        }

    def _unkeyed(self, span: slice) -> dict[int, Exception]:
        found: dict[int, Exception] = {}
        for name in self.member.group.keys:
            error = unkeyed(self.member.group.name, name)
            missing = ~self.evaluated.columns[name].valid[span]
            found |= dict.fromkeys(np.flatnonzero(missing).tolist(), error)
        return found

    def _reject_rows(self, partition: int, span: slice, mine: Mask, errors: Mapping[int, Exception]) -> None:
        for row, error in errors.items():
            if mine[row]:
                mine[row] = False
                self._reject(partition, span.start + row, error, self.member.group.name)

    def _reject(self, partition: int, row: int, error: Exception, group: str | None) -> None:
        self.outcome.fail(Failure(partition, self.batch.records[row], error, group))

    def _column(self, name: str, span: slice, mine: Mask) -> Column:
        column = self.evaluated.columns[name]
        return Column(column.values[span][mine], column.valid[span][mine])

    def _fold(self, rows: Rows, places: Ints) -> None:
        """Folds rows; where an operation cannot take one of them, halves them until that one is alone."""
        try:
            self.tiles.change(fold(self.member.group, self.member.codec, rows, self.tiles.load))
        except (ArithmeticError, InvalidEvent) as error:
            if len(rows) == 1:
                refused = InvalidEvent(f"group {self.member.group.name!r} cannot take the event: {error}")
                return self._reject(rows.partition, int(places[0]), refused, self.member.group.name)
            first = np.arange(len(rows)) < len(rows) // 2
            self._fold(rows.take(first), places[first])
            self._fold(rows.take(~first), places[~first])


def _times_of(batch: Batch, name: str) -> Ints:
    times = [value.get(name) for value in batch.values]
    return np.array([-1 if time_ms is None else time_ms for time_ms in times], np.int64)


def _nows_ms(batch: Batch, now_ms: int) -> Ints:
    """Kafka's own time of a message stands for now, so that reading a log again gives the same verdicts."""
    stamps_ms = batch.timestamps_ms
    return np.where(stamps_ms >= 0, np.minimum(stamps_ms, now_ms), now_ms)


def _entities(keys: Sequence[Column]) -> tuple[list[str], Ints]:
    """The distinct entities of rows, and for each row which one it is about."""
    index: dict[tuple[object, ...], int] = {}
    values = zip(*(column.values.tolist() for column in keys), strict=True)
    codes = np.array([index.setdefault(one, len(index)) for one in values], np.int64)
    return [entity_of(one) for one in index], codes

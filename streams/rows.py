"""A step of few messages, row by row, with the reference's own expressions; `streams.step` says the same with arrays.

Knows one member's share: who refuses a message, and why, must not depend on how many came with it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bighead.errors import InvalidEvent
from bighead.events.times import believed
from bighead.features.fold import Row, fold_rows, inputs_of
from bighead.features.tiles import entity_of
from bighead.features.types import clean
from streams.decode import Batch, Decoder, Failure
from streams.member import LANE_STAGE, Folded, Member, Outcome, Tiles, stage_of, time_error, unkeyed


class RowStep:
    """The work of one member, for steps of few rows."""

    def __init__(self, member: Member, decoder: Decoder, max_future_ms: int, one_time: bool) -> None:
        group = member.group
        self._member, self._group = member, group
        self._decoder = decoder
        self._max_future_ms = max_future_ms
        self._time_stage = None if one_time else group.name
        self._time = group.definition.source.time
        self._stages = (LANE_STAGE, stage_of(group.name))
        self._keys = [group.inputs[name].evaluate for name in group.keys]
        self._inputs = [(name, group.inputs[name].evaluate) for name in group.input_kinds]
        self._folded = Folded()
        self._complaints: dict[int, InvalidEvent | None] = {}

    def take(self, batch: Batch, tiles: Tiles, outcome: Outcome, now_ms: int) -> None:
        """Folds what the member has not seen."""
        rows: list[Row] = []
        places: list[int] = []
        self._folded = outcome.folded.setdefault(self._member.place, Folded())
        for partition, span in batch.spans.items():
            first = self._member.offsets.get(partition, 0)
            for index in range(span.start, span.stop):
                mine = index not in batch.addressed or batch.addressed[index] in self._stages
                if mine and batch.records[index].offset >= first:
                    row = self._row(batch, index, partition, outcome, now_ms)
                    if row is not None:
                        rows.append(row)
                        places.append(index)
        if not rows:
            return
        for at, error in self._fold(rows, tiles):
            reason = InvalidEvent(f"group {self._group.name!r} cannot take the event: {error}")
            outcome.fail(Failure(rows[at].partition, batch.records[places[at]], reason, self._group.name))

    def _fold(self, rows: Sequence[Row], tiles: Tiles) -> list[tuple[int, Exception]]:
        """Folds rows; those that cannot be taken, with the reason."""
        changed, refused = fold_rows(self._group, self._member.codec, rows, tiles.load, self._group.levels)
        try:
            tiles.change(changed)
        except InvalidEvent as error:
            if len(rows) == 1:
                return [(0, error)]
            return [(at, why) for at, row in enumerate(rows) for _, why in self._fold([row], tiles)]
        return refused

    def _row(self, batch: Batch, index: int, partition: int, outcome: Outcome, now_ms: int) -> Row | None:
        """The message as it is folded; None where it is left out or refused."""
        record, value = batch.records[index], batch.values[index]
        time_ms: Any = value.get(self._time)
        seen_ms = min(record.timestamp, now_ms) if record.timestamp >= 0 else now_ms
        if not believed(time_ms, now_ms=seen_ms, max_future_ms=self._max_future_ms):
            error = time_error(time_ms, seen_ms, self._max_future_ms, self._time)
            outcome.fail(Failure(partition, record, error, self._time_stage))
            return None
        try:
            found = self._evaluated(batch.schema_ids[index], value)
        except InvalidEvent as error:
            outcome.fail(Failure(partition, record, error, self._group.name))
            return None
        if found is None:
            return None
        outcome.newest_ms[partition] = max(outcome.newest_ms.get(partition, -1), time_ms)
        if self._member.cut_ms is not None and time_ms < self._member.cut_ms:
            outcome.late[self._member.place] = outcome.late.get(self._member.place, 0) + 1
            return None
        entity, values, back = found
        inputs = [
            inputs_of(cell, values[cell.column], values[cell.bucket] if cell.bucket else None)
            for cell in self._group.cells
        ]
        self._folded.rows.append((time_ms, values))
        return Row(entity, time_ms, partition, record.offset, inputs, back)

    def _evaluated(self, schema_id: int, event: Mapping[str, Any]) -> tuple[str, dict[str, Any], bool] | None:
        """Entity, inputs and whether it takes an event back; None where `where` leaves it out."""
        group = self._group
        if schema_id not in self._complaints:
            self._complaints[schema_id] = self._decoder.complaint(schema_id, group.source_columns)
        complaint = self._complaints[schema_id]
        if complaint is not None:
            raise complaint
        try:
            if group.where is not None and group.where.evaluate(event) is not True:
                return None
            keys = [evaluate(event) for evaluate in self._keys]
            values = {name: clean(evaluate(event)) for name, evaluate in self._inputs}
            back = group.reversal is not None and group.reversal.evaluate(event) is True
        except ArithmeticError as error:
            raise InvalidEvent(f"an expression of group {group.name!r} cannot be evaluated: {error}") from error
        if None in keys:
            raise unkeyed(group.name, next(name for name, key in zip(group.keys, keys, strict=True) if key is None))
        return entity_of(keys), values, back

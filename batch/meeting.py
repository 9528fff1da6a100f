"""Queries and states as rows of one table, by entity and block of days, as `batch.asof` reads them. Pure: SQL texts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from batch.asof import Kind, Layout
from bighead.compile.spark import ENTITY, SQL_TYPES, START, floor_sql, quoted
from bighead.features.types import ValueType


@dataclass(frozen=True)
class MeetingRows:
    """Rows of one kind each, with the columns that some kind has."""

    layout: Layout
    kinds: Mapping[str, ValueType]

    def of(
        self,
        kind: Kind,
        source: str,
        given: Collection[str],
        row: str = "NULL",
        partition: str = "NULL",
        *,
        reach: int = 0,
    ) -> str:
        """The rows of `source`, which has the columns `given`, once for each block whose queries may read them."""
        size_ms = self.layout.block_ms
        block = f"({floor_sql(START, size_ms)}) DIV {size_ms}L"
        if reach:
            last = f"({floor_sql(f'({START} + {reach}L)', size_ms)}) DIV {size_ms}L"
            block = f"EXPLODE(SEQUENCE({block}, {last}))"
        columns = ", ".join(
            quoted(name) if name in given else f"CAST(NULL AS {SQL_TYPES[one]}) AS {quoted(name)}"
            for name, one in self.kinds.items()
        )
        return (
            f"SELECT {ENTITY}, {block} AS block, {int(kind)} AS kind, {START} AS at_ms, CAST({row} AS BIGINT) AS row, "
            f"CAST({partition} AS BIGINT) AS log_partition, {columns} FROM {source}"
        )

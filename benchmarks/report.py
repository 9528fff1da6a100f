"""What a benchmark found, as a table for people or JSON for machines, with the facts of the machine it ran on."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version

_PACKAGES = ("bighead", "confluent-kafka", "aiokafka", "faust-streaming", "duckdb", "grpcio", "onnxruntime", "redis")

Row = Mapping[str, str | float | int]


@dataclass(frozen=True)
class Report:
    """One benchmark: rows of figures, ratios between them, which goals were met, and how it was measured."""

    name: str
    title: str
    rows: Sequence[Row]
    ratios: Mapping[str, float]
    goals: Mapping[str, bool] = field(default_factory=dict)
    notes: Sequence[str] = ()


def percentiles(values_ms: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the largest, by nearest rank."""
    ordered = sorted(values_ms)
    if not ordered:
        raise ValueError("no value was measured")

    # The least value that so many percent of all do not exceed.
    ranks = {percent: -(-percent * len(ordered) // 100) for percent in (50, 95, 99)}
    return {f"p{percent} ms": ordered[rank - 1] for percent, rank in ranks.items()} | {"max ms": ordered[-1]}


def machine() -> dict[str, str | int | float]:
    """Cores, load and versions: without them a figure says nothing."""
    facts: dict[str, str | int | float] = {
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    return facts | {name: version(name) for name in _PACKAGES}


def as_json(reports: Sequence[Report], facts: Mapping[str, str | int | float]) -> str:
    """All reports and the machine's facts as one JSON object."""
    return json.dumps({"machine": facts, "reports": [asdict(report) for report in reports]}, indent=2)


def as_text(report: Report) -> str:
    """One report as a Markdown table with its ratios, goals and notes."""
    columns = list(dict.fromkeys(name for row in report.rows for name in row))
    cells = [columns, *([_shown(row.get(name, "")) for name in columns] for row in report.rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    lines = [
        f"\n{report.name}: {report.title}",
        "",
        _line(cells[0], widths),
        _line(["-" * one for one in widths], widths),
    ]
    lines += [_line(row, widths) for row in cells[1:]]
    lines += ["", *(f"ratio {_shown(value)}: {name}" for name, value in report.ratios.items())]
    lines += [f"goal {'met' if met else 'MISSED'}: {name}" for name, met in report.goals.items()]
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cells[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)),
    ]
    return f"| {' | '.join(padded)} |"


def _shown(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"

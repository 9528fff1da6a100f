"""A version's record as tables of words: what it was made from, by whom, what it takes and gives. Pure.

Records hold JSON that people and programs wrote; what is no JSON is shown as it is.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bighead.charts import Graph, GraphNode
from bighead.events.types import ModelRecord
from serving.console import words

MOST_ROWS, MOST_TEXT, MOST_ITEMS = 200, 300, 40
GOLDEN_ROWS = 5
Pairs = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Golden:
    """Rows that a version is tried with: columns, then values as text; `total` of all."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int


def opened(text: str) -> Any:
    """What a JSON text holds; the text where it is none."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text


def pairs(text: str) -> Pairs:
    """The leaves of a JSON text by their dotted names, at most `MOST_ROWS`."""
    document = opened(text)
    if document is None:
        return []
    if not isinstance(document, Mapping):
        return [("", shown(document))]
    return [pair for pair, _ in zip(_leaves("", document), range(MOST_ROWS), strict=False)]


def shown(value: Any) -> str:
    """A JSON value as text; times that are named so are dates."""
    if isinstance(value, list) and all(isinstance(one, str | int | float) for one in value):
        more = f" and {len(value) - MOST_ITEMS} more" if len(value) > MOST_ITEMS else ""
        return cut(", ".join(words.number(one) for one in value[:MOST_ITEMS])) + more
    if isinstance(value, list | dict):
        return cut(json.dumps(value))
    return "" if value is None else cut(words.number(value))


def cut(text: str) -> str:
    """The text, or the beginning of a long one."""
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "…"


def data(record: ModelRecord) -> list[tuple[str, Pairs]]:
    """What the version was trained and tested on, by split; other shapes as one."""
    document = opened(record.training_data)
    if isinstance(document, Mapping) and any(isinstance(document.get(name), Mapping) for name in ("train", "test")):
        splits = [(name, document[name]) for name in ("train", "test") if isinstance(document.get(name), Mapping)]
        rest = {name: value for name, value in document.items() if name not in ("train", "test")}
        told = [(name, _dated(pairs(json.dumps(value)))) for name, value in splits]
        return told + ([("also", _dated(pairs(json.dumps(rest))))] if rest else [])
    found = _dated(pairs(record.training_data))
    return [("training", found)] if found else []


def golden(record: ModelRecord) -> Golden | None:
    """The first golden rows; None where there are none that can be read."""
    rows = opened(record.golden)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        return None
    inputs = tuple(dict.fromkeys(name for row in rows[:GOLDEN_ROWS] for name in _names(row, "inputs")))
    outputs = tuple(dict.fromkeys(name for row in rows[:GOLDEN_ROWS] for name in _names(row, "outputs")))
    cells = tuple(
        tuple(
            shown(_names(row, part).get(name))
            for part, names in (("inputs", inputs), ("outputs", outputs))
            for name in names
        )
        for row in rows[:GOLDEN_ROWS]
    )
    return Golden(inputs, outputs, cells, len(rows))


def lineage(name: str, number: int, record: ModelRecord) -> Graph:
    """Where the inputs come from and what the outputs are, as a graph."""
    features = tuple(tensor.name for tensor in record.signature.inputs if tensor.source == "feature")
    requested = tuple(tensor.name for tensor in record.signature.inputs if tensor.source != "feature")
    model = GraphNode(id="model", title=f"{name} version {number}", kind="model", detail=record.model_type)
    nodes, edges = [], []
    if features:
        epoch = "" if record.join_epoch is None else f"epoch {record.join_epoch}"
        nodes.append(GraphNode(id="join", title=record.join or "features", kind="source", detail=epoch, items=features))
        edges.append(("join", "model"))
    if requested:
        nodes.append(
            GraphNode(id="request", title="the request", kind="source", detail="given by who asks", items=requested)
        )
        edges.append(("request", "model"))
    outputs = tuple(tensor.name for tensor in record.signature.outputs)
    answer = GraphNode(id="answer", title="the answer", kind="output", items=outputs)
    return Graph(title="Lineage", nodes=(*nodes, model, answer), edges=(*edges, ("model", "answer")))


def _names(row: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    found = row.get(part)
    return found if isinstance(found, Mapping) else {}


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}" if name else str(key), item)
    else:
        yield name, shown(value)


def _dated(found: Pairs) -> Pairs:
    return [(name, _date(value) if name.endswith("_ms") else value) for name, value in found]


def _date(text: str) -> str:
    digits = text.replace("\u202f", "")
    return words.utc(int(digits)) if digits.isdecimal() and len(digits) < 14 else text

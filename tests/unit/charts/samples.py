"""One document of each form, whose texts are all the given one."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from bighead.charts import (
    chart_from_json,
    data_table,
    distribution_table,
    draw,
    draw_distribution,
    draw_graph,
    draw_tree,
    feature_report_from_json,
    graph_from_json,
    graph_table,
    tree_table,
    trees_from_json,
)
from bighead.charts.evaluation import evaluation_from_json, sections
from bighead.charts.feature_report import feature_sections, report_charts
from bighead.charts.words import Table


def charts(text: str) -> dict[str, dict[str, Any]]:
    """A chart of each form."""
    common = {"title": text, "note": text, "x_label": text, "y_label": text}
    line = {"name": text, "points": [[0, 0.1], [0.5, 2], [1, -3]]}
    return {
        "line": common | {"form": "line", "series": [line, line], "baseline": line},
        "matrix": {
            "form": "matrix",
            "title": text,
            "note": text,
            "row_label": text,
            "column_label": text,
            "labels": [text, text],
            "counts": [[3, 1], [0, 0]],
        },
        "bar": common
        | {"form": "bar", "bars": [{"name": text, "value": 2, "spread": 0.5}, {"name": text, "value": -1}]},
        "histogram": common | {"form": "histogram", "edges": [0, 1, 4], "counts": [2, 0]},
        "scatter": common | {"form": "scatter", "points": [[1, 2], [3, 3]], "diagonal": True},
    }


def trees(text: str) -> dict[str, Any]:
    """A list of one tree with three leaves."""
    split = {"feature": text, "threshold": 0.5, "value": 0, "samples": 9, "missing_yes": True}
    nodes = [
        split | {"yes": 1, "no": 2},
        {"value": 0.25, "samples": 3},
        split | {"yes": 3, "no": 4},
        {"value": -1, "samples": 2},
        {"value": 1, "samples": 4},
    ]
    tree = {"number": 1, "output": text, "nodes": nodes}
    return {"estimator": text, "total": 7, "value_label": text, "trees": [tree]}


def graph(text: str) -> dict[str, Any]:
    """A graph of three nodes."""
    node = {"title": text, "kind": text, "detail": text, "items": [text] * 9}
    return {
        "title": text,
        "nodes": [node | {"id": id} for id in (text, "b", "c")],
        "edges": [[text, "b"], ["b", "c"], [text, "c"]],
    }


def evaluation(text: str) -> dict[str, Any]:
    """An evaluation with everything that one may have."""
    measure = {"name": text, "value": 0.5, "low": 0.4, "high": 0.6, "higher_is_better": True}
    one = {"column": text, "value": text, "rows": 60, "loss": 0.7, "difference": measure, "bias": -0.1}
    costs = {"false_positive": 1, "false_negative": 5, "cost": measure, "cost_at_half": measure, "saved": measure}
    return {
        "task": text,
        "rows": 100,
        "how": text,
        "intervals": text,
        "measures": [measure, {"name": text, "value": 1}],
        "baselines": [{"name": text, "what": text, "measures": [measure], "differences": [measure]}],
        "slices": {"measured": text, "looked_at": 9, "least_rows": 50, "worst": [one]},
        "threshold": costs | {"value": 0.3, "chosen_on": text},
        "calibration_error": 0.02,
        "notes": [text],
    }


def feature_report(text: str) -> dict[str, Any]:
    """A number and a text."""
    spread = {
        "rows": 10,
        "missing": 1,
        "quantiles": {"min": 0, "p05": 0, "p50": 1, "p95": 2, "max": 2},
        "counts": [4, 5],
    }
    texts = {"rows": 10, "missing": 0, "distinct": 2, "top": [{"value": text, "count": 7}, {"value": "", "count": 3}]}
    common = {"name": text, "datatype": text, "source": text, "importance": {"mean": 0.25, "std": 0.01}}
    number = common | {"edges": [0, 1, 2], "train": spread, "test": spread}
    more = {"drift": 0.2, "contribution": 0.5, "dependence": charts(text)["line"]}
    example = {"title": text, "output": text, "base": 0.5, "score": 0.7, "inputs": [{"name": text, "value": text}]}
    return {
        "measured": text,
        "contributed": text,
        "features": [number | more, common | {"train": texts, "test": texts}, {"name": text}],
        "clusters": [{"names": [text, text], "correlation": 0.9, "importance": {"mean": 0.1, "std": 0.01}}],
        "examples": [example | {"contributions": [{"name": text, "value": 0.2}]}],
        "notes": [text],
    }


def drawings(text: str) -> Mapping[str, str]:
    """Every drawing there is, of documents whose texts are all the given one."""
    made = {name: draw(chart_from_json(json.dumps(document))) for name, document in charts(text).items()}
    report = feature_report_from_json(json.dumps(feature_report(text)))
    made |= {f"distribution {place}": draw_distribution(one) for place, one in enumerate(report.features)}
    made |= {f"report {place}": draw(one) for place, one in enumerate(report_charts(report))}
    forest = trees_from_json(json.dumps(trees(text)))
    made["tree"] = draw_tree(forest, forest.trees[0])
    made["graph"] = draw_graph(graph_from_json(json.dumps(graph(text))))
    return made


def tables(text: str) -> list[Table]:
    """The table of each of them."""
    made = [data_table(chart_from_json(json.dumps(document))) for document in charts(text).values()]
    made += [distribution_table(one) for one in feature_report_from_json(json.dumps(feature_report(text))).features]
    made.append(tree_table(trees_from_json(json.dumps(trees(text))).trees[0]))
    features = feature_report_from_json(json.dumps(feature_report(text)))
    made += [table for _, _, table in feature_sections(features)]
    made += [table for _, _, table in sections(evaluation_from_json(json.dumps(evaluation(text))))]
    return [*made, graph_table(graph_from_json(json.dumps(graph(text))))]


READERS: Mapping[str, Callable[[str], object]] = {
    "chart": chart_from_json,
    "trees": trees_from_json,
    "graph": graph_from_json,
    "feature report": feature_report_from_json,
    "evaluation": evaluation_from_json,
}

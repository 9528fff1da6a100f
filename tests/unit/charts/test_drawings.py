"""Drawings: well-formed, described, and inert whatever their data say."""

import json
import math
from typing import Any
from xml.etree import ElementTree

import pytest

from bighead.charts import (
    Graph,
    GraphNode,
    chart_from_json,
    chart_json,
    data_table,
    graph_from_json,
    text_alternative,
    tree_in_words,
    tree_table,
    trees_from_json,
)
from bighead.charts.evaluation import evaluation_from_json
from bighead.charts.graph import layers
from bighead.charts.overlay import overlaid
from bighead.charts.svg import number, shortened, ticks
from bighead.errors import InvalidInput
from tests.unit.charts.samples import READERS, charts, drawings, evaluation, feature_report, graph, tables, trees
from tests.unit.serving.xss import XSS

SVG = "{http://www.w3.org/2000/svg}"
ELEMENTS = {"svg", "title", "desc", "g", "text", "line", "path", "rect", "circle"}


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


@pytest.mark.parametrize("name", drawings("x"))
def test_a_drawing_has_a_name_a_description_and_a_fixed_shape(name: str) -> None:
    svg = parsed(drawings("x")[name])
    assert (svg.tag, svg.attrib["role"], bool(svg.attrib["aria-label"])) == ("svg", "img", True)
    assert [child.tag for child in svg][:2] == ["title", "desc"]
    assert all(child.text for child in list(svg)[:2])
    width, height = svg.attrib["viewBox"].split()[2:]
    assert (svg.attrib["width"], svg.attrib["height"]) == (f"{float(width)}", f"{float(height)}") or float(width) > 0


@pytest.mark.parametrize("attack", XSS)
def test_an_attack_in_any_text_stays_text(attack: str) -> None:
    for name, drawn in drawings(attack).items():
        svg = parsed(drawn)
        assert {part.tag for part in svg.iter()} <= ELEMENTS, name
        attributes = {key for part in svg.iter() for key in part.attrib}
        assert not {key for key in attributes if key.startswith("on") or key in ("href", "style", "src")}, name


def test_texts_that_are_no_xml_are_drawn_all_the_same() -> None:
    for drawn in drawings("a\x00\x1b\ud800\ufffe\u2028<&>\"'").values():
        assert parsed(drawn).tag == "svg"


def test_each_drawing_is_a_table_too() -> None:
    for table in tables("x"):
        assert table.rows or table.columns == ("",)
        assert {len(row) for row in table.rows} <= {len(table.columns)}


def test_a_chart_is_the_same_after_json_and_is_told_in_words() -> None:
    for document in charts("late").values():
        chart = chart_from_json(json.dumps(document))
        assert chart_from_json(chart_json(chart)) == chart
        assert text_alternative(chart).startswith("late")
    matrix = chart_from_json(json.dumps(charts("late")["matrix"]))
    assert "4 rows, 75.0% of them on the diagonal" in text_alternative(matrix)
    assert data_table(matrix).rows[0] == ("late", "3", "1")


@pytest.mark.parametrize(
    ("what", "text", "reason"),
    [
        ("chart", "{", "the chart is not JSON"),
        ("chart", "[1]", r"the chart is \[1\]; expected an object"),
        ("chart", "[" * 100_000, "the chart is not JSON"),
        ("chart", '{"form": "pie"}', "form is 'pie'; expected one of line, matrix, bar"),
        ("chart", '{"form": "line", "title": 3, "series": []}', "0 series; expected 1 to 12"),
        ("trees", "{}", "trees is None; expected a list"),
        ("graph", '{"edges": [["a"]]}', "edges are not a list"),
        ("feature report", "{}", "features is None; expected a list"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(what: str, text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        READERS[what](text)


@pytest.mark.parametrize(
    ("form", "change", "reason"),
    [
        ("line", {"title": 3}, "title is 3; expected a text"),
        ("line", {"title": "x" * 2001}, "expected a text of at most 2000"),
        ("line", {"x_range": [1, 1]}, "goes from 1 to 1"),
        ("line", {"series": [{"name": "a", "points": [[1]]}]}, r"expected a list of \[x, y\]"),
        ("line", {"series": [{"name": "a", "points": [[1, None]]}]}, "lists of finite numbers"),
        ("line", {"series": [{"name": "a", "points": [[1, 1e200]]}]}, "lists of finite numbers"),
        ("line", {"series": [{"name": "a", "points": [[1, 10**400]]}]}, "lists of finite numbers"),
        ("bar", {"bars": [{"name": "a", "value": math.nan}]}, "value is nan; expected a finite number"),
        (
            "line",
            {"series": [{"name": "a", "points": [[0, 0]] * 5000}]},
            "with 5000 items; expected a list of 0 to 4,000",
        ),
        ("line", {"series": [{"name": "a", "points": [[1, 10**400]]}]}, "lists of finite numbers"),
        ("matrix", {"counts": [[1, 2]]}, "2 labels; expected as many rows"),
        ("matrix", {"counts": [[1e100, -1e100], [0, 0]]}, "counts have a negative one"),
        ("matrix", {"labels": ["x"] * 41}, "with 41 items"),
        ("bar", {"bars": [{"name": "a", "value": True}]}, "value is True; expected a finite number"),
        ("bar", {"bars": [3]}, r"bars\[0\] is 3; expected an object"),
        ("histogram", {"edges": [0, 0, 1]}, "expected growing numbers"),
        ("histogram", {"counts": [1, -1]}, "expected numbers that are not negative"),
        ("histogram", {"counts": [1]}, "with 1 items; expected a list of 2 to 2"),
        ("scatter", {"diagonal": "yes"}, "diagonal is 'yes'; expected true or false"),
    ],
)
def test_a_field_that_is_wrong_is_named(form: str, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        chart_from_json(json.dumps(charts("x")[form] | change))


@pytest.mark.parametrize("children", [(0, 2), (1, 1), (1, 9), (2, 3)])
def test_what_is_no_tree_is_refused(children: tuple[int, int]) -> None:
    document = trees("x")
    document["trees"][0]["nodes"][0] |= {"yes": children[0], "no": children[1]}
    with pytest.raises(InvalidInput, match="is no tree"):
        trees_from_json(json.dumps(document))


def test_a_tree_is_told_in_words_and_as_a_table() -> None:
    forest = trees_from_json(json.dumps(trees("delay")))
    told = tree_in_words(forest, forest.trees[0])
    assert "Tree 1 of 7 of delay, with 3 leaves. Its first split is delay ≤ 0.5." in told
    assert tree_table(forest.trees[0]).rows[0] == ("0", "delay ≤ 0.5", "1", "2", "9", "0")


def test_a_graph_goes_from_left_to_right_and_never_back() -> None:
    read = graph_from_json(json.dumps(graph("a")))
    assert layers(read) == [["a"], ["b"], ["c"]]
    node = GraphNode(id="a", title="a")
    for edges, reason in ([("a", "a")], "leads back"), ([("a", "z")], "one is no node"):
        with pytest.raises(InvalidInput, match=reason):
            Graph(title="x", nodes=(node,), edges=tuple(edges))
    with pytest.raises(InvalidInput, match="two nodes with one id"):
        Graph(title="x", nodes=(node, node), edges=())


def test_a_feature_report_with_other_bins_than_edges_is_refused() -> None:
    document = feature_report("x")
    document["features"][0]["train"] |= {"counts": [1, 2, 3]}
    with pytest.raises(InvalidInput, match="has 3 counts; expected one between each two of 3 edges"):
        READERS["feature report"](json.dumps(document))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-3, 4, [-2, 0, 2, 4]),
        (0, 1234, [0, 500, 1000]),
        (5, 5, [5]),
        (0, 5e-324, [0]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (0.1, "0.1"),
        (-2.5, "−2.5"),
        (0.123456, "0.1235"),
        (1e12, "1e+12"),
        (1e-9, "1e-09".replace("-", "−")),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_long_name_keeps_both_of_its_ends() -> None:
    assert shortened("origin_departures_delay_average_1h", 100) == "origin…rage_1h"


def test_curves_over_the_same_axes_are_put_into_one_drawing_and_others_are_not() -> None:
    one = chart_from_json(json.dumps(charts("late")["line"]))
    both = overlaid({"version 1": one, "version 2": one})
    assert both is not None
    assert [line.name for line in both.series] == [f"late, version {n}" for n in (1, 1, 2, 2)]
    assert chart_from_json(chart_json(both)) == both
    assert overlaid({"version 1": one, "version 2": chart_from_json(json.dumps(charts("late")["bar"]))}) is None
    assert overlaid({"version 1": one, "version 2": chart_from_json(json.dumps(charts("early")["line"]))}) is None
    assert overlaid({str(number): one for number in range(7)}) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rows": -1}, "the evaluation's rows is -1; expected a whole number"),
        ({"measures": [{"name": "auc", "value": "x"}]}, r"measures\[0\]'s value is 'x'; expected a finite number"),
        ({"measures": [{"name": "auc", "value": 1, "low": []}]}, r"measures\[0\]'s low is \[\]"),
        ({"notes": [1]}, "notes is .*; expected a list of texts"),
    ],
)
def test_a_field_of_an_evaluation_that_is_wrong_is_named(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        evaluation_from_json(json.dumps(evaluation("x") | change))

"""What a model's record shows, drawn on the server: data in, SVG, words and tables out. Pure; knows no model.

Everything is read from JSON that anybody may have attached, so it is checked and bounded (InvalidInput), and whatever
is text in it stays text in the drawing. Colours are classes: `STYLESHEET` gives each one of the colours that the page
names (`--text`, `--tone-0` and so on).
"""

from pathlib import Path

from bighead.charts.draw import draw
from bighead.charts.features import (
    FeatureFacts,
    FeatureReport,
    distribution_in_words,
    distribution_table,
    draw_distribution,
    feature_report_from_json,
    importance_chart,
)
from bighead.charts.forms import Chart, chart_from_json, chart_json
from bighead.charts.graph import Graph, GraphNode, draw_graph, graph_from_json, graph_in_words, graph_table
from bighead.charts.trees import Tree, Trees, draw_tree, tree_in_words, tree_table, trees_from_json
from bighead.charts.words import Table, data_table, text_alternative

STYLESHEET = Path(__file__).with_name("charts.css")

__all__ = [
    "STYLESHEET",
    "Chart",
    "FeatureFacts",
    "FeatureReport",
    "Graph",
    "GraphNode",
    "Table",
    "Tree",
    "Trees",
    "chart_from_json",
    "chart_json",
    "data_table",
    "distribution_in_words",
    "distribution_table",
    "draw",
    "draw_distribution",
    "draw_graph",
    "draw_tree",
    "feature_report_from_json",
    "graph_from_json",
    "graph_in_words",
    "graph_table",
    "importance_chart",
    "text_alternative",
    "tree_in_words",
    "tree_table",
    "trees_from_json",
]

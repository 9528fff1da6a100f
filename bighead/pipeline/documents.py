"""A model's description as the documents that are kept beside its artifact. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sklearn.pipeline import Pipeline

from bighead.charts.forms import Chart, chart_json
from bighead.charts.graph import Graph
from bighead.charts.trees import Trees
from bighead.pipeline.fitted_trees import trees_document
from bighead.pipeline.steps import graph_document
from bighead.registry.attachments import (
    CHART,
    ENVIRONMENT,
    EVALUATION,
    FEATURE_REPORT,
    MODEL_CARD,
    PIPELINE,
    TREES,
    Document,
)


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is told of a model beside its record; whatever is not known is left out.

    feature_report and environment: JSON, as `reports.distributions.feature_report` and `origin.environment` give it.
    evaluation: JSON, as `Evaluation.to_json` gives it. card: Markdown.
    """

    charts: Mapping[str, Chart] = field(default_factory=dict)
    evaluation: str = ""
    feature_report: str = ""
    trees: Trees | None = None
    graph: Graph | None = None
    environment: str = ""
    card: str = ""

    @property
    def documents(self) -> tuple[Document, ...]:
        """What `bighead.client.attachments.store_documents` stores."""
        texts = [(name, CHART, chart_json(chart)) for name, chart in self.charts.items()]
        texts.append(("evaluation", EVALUATION, self.evaluation))
        texts.append(("features", FEATURE_REPORT, self.feature_report))
        texts.append(("trees", TREES, json.dumps(trees_document(self.trees)) if self.trees else ""))
        texts.append(("pipeline", PIPELINE, json.dumps(graph_document(self.graph)) if self.graph else ""))
        texts += [("environment", ENVIRONMENT, self.environment), ("card", MODEL_CARD, self.card)]
        return tuple(Document(name, kind, text.encode()) for name, kind, text in texts if text)


def parameters(pipeline: Pipeline) -> dict[str, Any]:
    """The last step's class and everything that was chosen for it, or left as it was, as JSON can hold it."""
    model = pipeline[-1]
    chosen = {name: _plain(value) for name, value in model.get_params(deep=False).items()}
    return {"estimator": type(model).__name__, **chosen}


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)

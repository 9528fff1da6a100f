"""How good a trained model is and what it looks at, as figures and as the documents of its record."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bighead.pipeline.documents import Description
from bighead.pipeline.fitted_trees import trees_of
from bighead.pipeline.reports.answers import JUDGED
from bighead.pipeline.reports.evaluation import evaluate
from bighead.pipeline.reports.explain import explain
from bighead.registry.attachments import Document
from bighead.training.making import Made
from bighead.training.specification import Training


@dataclass(frozen=True)
class Judged:
    """Figures by name, and documents to keep beside the model."""

    metrics: Mapping[str, float]
    documents: tuple[Document, ...]


def judge(training: Training, made: Made) -> Judged:
    """Measures the model on the test rows and describes it; of tasks without labels only the latter."""
    fitted, outputs = made.fitted, made.proven.signature.outputs
    description = Description(
        trees=trees_of(fitted.estimator),
        environment=json.dumps(made.evidence.environment),
        charts=made.tuned.charts if made.tuned else {},
    )
    if fitted.task not in JUDGED:
        told = replace(description, graph=fitted.lineage().graph(outputs), card=_card(training, made, {}))
        return Judged({}, told.documents)
    found = evaluate(fitted, made.split, baselines=training.baselines, slices=training.slices)
    looked = explain(fitted, made.split, seed=training.seed)
    importance = {name: mean for name, (mean, _) in looked.importances.items()}
    told = replace(
        description,
        charts={**found.charts, **description.charts},
        evaluation=found.to_json(),
        feature_report=looked.to_json(),
        graph=fitted.lineage(importance).graph(outputs),
        card=_card(training, made, found.figures),
    )
    return Judged(found.figures, told.documents)


def _card(training: Training, made: Made, metrics: Mapping[str, float]) -> str:
    """The card, from the facts alone."""
    parity = made.proven.parity
    lines = [
        f"# {training.model}",
        training.about,
        "## Data",
        f"{len(made.split.train):,} rows of `{made.read.rows.name}` to train on, {len(made.split.test):,} to test on: "
        f"{made.split.how}.",
        "## Quality on the test rows",
        "\n".join(f"- {name}: **{value:.4g}**" for name, value in metrics.items()) or "Nothing is measured.",
        *(["## How its parameters were chosen", made.tuned.text] if made.tuned else []),
        "## How it was made",
        f"`{training.make.__module__}.{training.make.__qualname__}` with seed {training.seed}. The ONNX form differs "
        f"from scikit-learn by at most {parity.max_abs_diff:.1g} on {parity.rows:,} rows, null, unseen and extreme "
        "ones among them.",
    ]
    return "\n\n".join(line for line in lines if line) + "\n"

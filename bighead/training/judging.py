"""How good a trained model is and what it looks at, as figures and as the documents of its record."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bighead.pipeline.documents import Description
from bighead.pipeline.fitted_trees import trees_of
from bighead.pipeline.reports.answers import JUDGED
from bighead.pipeline.reports.evaluation import Evaluation, evaluate
from bighead.pipeline.reports.explain import explain
from bighead.pipeline.segments.routed import routed
from bighead.registry.attachments import Document
from bighead.training.making import Made
from bighead.training.specification import Training

ONE_MODEL = "one model of all rows"
_OF_ALL_ROWS = (
    "The figures above are of what the segments answer, each row by its own; inputs and trees are those of the model "
    "of all rows, which answers for what is in no segment."
)


@dataclass(frozen=True)
class Judged:
    """Figures by name, and documents to keep beside the model; of a partitioned one beside that of all rows.

    metrics: of a partitioned model those of what its segments answer; whole: those of the model of all rows, alone.
    each: documents to keep beside the model of every segment.
    """

    metrics: Mapping[str, float]
    documents: tuple[Document, ...]
    whole: Mapping[str, float] = field(default_factory=dict)
    each: tuple[Document, ...] = ()


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
    found = _evaluated(training, made)
    looked = explain(fitted, made.split, seed=training.seed)
    importance = {name: mean for name, (mean, _) in looked.importances.items()}
    grid = {"segments": made.segmented.grid.chart} if made.segmented else {}
    told = replace(
        description,
        charts={**found.charts, **description.charts, **grid},
        evaluation=found.to_json(),
        feature_report=looked.to_json(),
        graph=fitted.lineage(importance).graph(outputs),
        card=_card(training, made, found.figures),
    )
    if made.segmented is None:
        return Judged(found.figures, told.documents)
    whole = next(one for one in found.report.baselines if one.name == ONE_MODEL)
    each = Description(charts=grid, environment=description.environment)
    return Judged(found.figures, told.documents, {one.name: one.value for one in whole.measures}, each.documents)


def _evaluated(training: Training, made: Made) -> Evaluation:
    """A partitioned model answers as it will be served, and has to beat its own model of all rows."""
    if made.segmented is None:
        return evaluate(made.fitted, made.split, baselines=training.baselines, slices=training.slices)
    return evaluate(
        routed(made.segmented, made.fitted.task, made.split.train),
        made.split,
        baselines={**training.baselines, ONE_MODEL: made.fitted},
        slices=training.slices,
        learning=(),  # each point of it would be all segments once more
    )


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
        *(["## Segments", f"{made.segmented.text} {_OF_ALL_ROWS}"] if made.segmented else []),
        *(["## How its parameters were chosen", made.tuned.text] if made.tuned else []),
        "## How it was made",
        f"`{training.make.__module__}.{training.make.__qualname__}` with seed {training.seed}. "
        f"The ONNX form{' of the model of all rows' if made.segmented else ''} differs "
        f"from scikit-learn by at most {parity.max_abs_diff:.1g} on {parity.rows:,} rows, null, unseen and extreme "
        "ones among them.",
    ]
    return "\n\n".join(line for line in lines if line) + "\n"

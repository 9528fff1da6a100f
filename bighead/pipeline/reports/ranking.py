"""How well a model orders the rows of one group, such as the flights of a day: NDCG, by scikit-learn. Pure."""

import numpy as np
import pandas as pd
from sklearn.metrics import ndcg_score

from bighead.charts.evaluation import Measure
from bighead.errors import ModelError
from bighead.pipeline.reports.answers import Answers
from bighead.pipeline.reports.bootstrap import Resampling, Units, interval
from bighead.pipeline.training_set import Task, TrainingSet


def ndcg(answers: Answers, rows: TrainingSet, group: str, how: Resampling) -> Measure:
    """The mean NDCG of the groups that have two rows or more and anything relevant; the interval draws whole groups.

    The label is the relevance: a number that is not negative, or the second of two classes.
    """
    if group not in rows.rows.columns:
        raise ModelError(f"{rows.name!r} has no column {group!r} to rank within; it has {', '.join(rows.rows.columns)}")
    if answers.task is Task.MULTICLASS or answers.actual.min() < 0:
        raise ModelError("rows are ranked by a label that is a number, 0 or more, or one of two classes")
    score = answers.predicted if answers.probability is None else answers.probability
    places, _ = pd.factorize(rows.rows[group], use_na_sentinel=False)
    order = np.argsort(places, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(places[order])) + 1)
    found = np.array(
        [
            ndcg_score([answers.actual[one]], [score[one]])
            for one in groups
            if len(one) > 1 and answers.actual[one].max() > 0
        ]
    )
    if not len(found):
        raise ModelError(
            f"no group of {group!r} has two rows and anything relevant among them; there is nothing to rank"
        )
    units = Units(np.arange(len(found)), len(found), "groups")
    drawn = np.concatenate([counts @ found / counts.sum(axis=1) for counts in units.drawn(how)])
    low, high = interval(drawn, len(found), how.level) or (None, None)
    return Measure(name=f"ndcg_by_{group}", value=float(found.mean()), low=low, high=high, higher_is_better=True)

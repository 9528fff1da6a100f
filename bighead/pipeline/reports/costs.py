"""The threshold that costs least, chosen on rows that are not those of the test. Pure."""

from dataclasses import dataclass

import numpy as np

from bighead.charts.evaluation import Threshold
from bighead.charts.forms import LineChart, Series
from bighead.errors import ModelError
from bighead.pipeline.reports.answers import Answers, Numbers, Values
from bighead.pipeline.reports.bootstrap import Resampling, Units
from bighead.pipeline.reports.charts import thinned
from bighead.pipeline.reports.measured import Judged, differences, measures
from bighead.pipeline.reports.metrics import Metric
from bighead.pipeline.training_set import Task, TrainingSet

HALF = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class Costs:
    """What wrong decisions cost, in any unit. validation: rows to choose on; left out, the training rows are answered
    by copies that have not seen them, which takes some more fits."""

    false_positive: float
    false_negative: float
    validation: TrainingSet | None = None

    def __post_init__(self) -> None:
        if not (
            self.false_positive >= 0 and self.false_negative >= 0 and self.false_positive + self.false_negative > 0
        ):
            raise ModelError(
                f"a false positive costs {self.false_positive} and a false negative {self.false_negative}; expected "
                "numbers that are not negative, one of them more than 0"
            )


def cheapest(actual: Values, probability: Numbers, costs: Costs) -> float:
    """The threshold with the least cost: positive from it on. The highest of those that cost the same.

    Only the probabilities that there are can be thresholds, and one above all of them: never positive.
    """
    thresholds, cost = cost_curve(actual, probability, costs)
    return float(thresholds[np.argmin(cost)])


def cost_curve(actual: Values, probability: Numbers, costs: Costs) -> tuple[Numbers, Numbers]:
    """Every threshold that matters, the highest first, and what a row costs with it in the mean."""
    order = np.argsort(-probability, kind="stable")
    ordered, positive = probability[order], actual[order] == 1
    last = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    wrongly = np.r_[0, np.cumsum(~positive)[last]]
    missed = positive.sum() - np.r_[0, np.cumsum(positive)[last]]
    thresholds = np.r_[np.nextafter(ordered[0], np.inf), ordered[last]]
    return thresholds, (costs.false_positive * wrongly + costs.false_negative * missed) / len(actual)


def threshold_by_cost(
    chosen: Answers, chosen_on: str, tested: Answers, costs: Costs, units: Units, how: Resampling
) -> tuple[Threshold, LineChart]:
    """The threshold that is cheapest for `chosen`, and what it costs on the test beside one half."""
    if tested.task is not Task.BINARY:
        raise ModelError(f"a threshold by cost tells two classes apart; this model is for {tested.task}")
    value = cheapest(chosen.actual, chosen.chances, costs)
    judged = [Judged("chosen", tested.decided(value)), Judged("half", tested.decided(HALF))]
    found = measures(judged, lambda _: (_cost(costs),), units, how)
    threshold = Threshold(
        value=value,
        false_positive=costs.false_positive,
        false_negative=costs.false_negative,
        chosen_on=chosen_on,
        cost=found.of("chosen")[0],
        cost_at_half=found.of("half")[0],
        saved=differences(found, "half", "chosen")[0],
    )
    return threshold, _chart(chosen, costs, value)


def _cost(costs: Costs) -> Metric:
    def of_rows(answers: Answers) -> Numbers:
        wrong = answers.predicted != answers.actual
        return np.asarray(np.where(answers.actual == 1, costs.false_negative, costs.false_positive) * wrong)

    return Metric(
        "cost", False, lambda a: float(of_rows(a).mean()), lambda a, weights: weights @ of_rows(a) / weights.sum(axis=1)
    )


def _chart(chosen: Answers, costs: Costs, value: float) -> LineChart:
    thresholds, cost = cost_curve(chosen.actual, chosen.chances, costs)
    scale = float(cost.max()) or 1.0
    points = tuple((x, y * scale) for x, y in thinned(thresholds[1:], cost[1:] / scale))
    return LineChart(
        title="Cost by threshold",
        x_label="threshold",
        y_label="cost of a row",
        series=(Series(name="rows that the threshold is chosen on", points=points),),
        note=f"Least at {value:.4g}; a false positive costs {costs.false_positive:g}, a false negative "
        f"{costs.false_negative:g}.",
    )

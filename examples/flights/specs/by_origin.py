"""The same trees once more for each airport of departure, and of all flights for any other: a partitioned model."""

from dataclasses import replace

from bighead.training import Partition
from examples.flights.recipes import AUC, MODEL
from examples.flights.specs import by_hand

training = replace(
    by_hand.training,
    model=f"{MODEL}_by_origin",
    segments=Partition(levels=("origin",), min_rows=1_000, metrics=(AUC, "neg_log_loss"), jobs=2),
    about="The same probability, learned at each airport alone: New York's three differ.",
)

"""The first version of the demo's model: boosted trees with what was chosen by hand."""

from bighead.training import Training
from examples.flights.recipes import FLIGHTS, MODEL, OCTOBER, PARAMETERS, SEED, boosted

training = Training(
    model=MODEL,
    data=FLIGHTS,
    split=OCTOBER,
    make=boosted,
    parameters=PARAMETERS,
    seed=SEED,
    tags={"demo": "flights", "label": "late by more than 15 minutes"},
    about="The probability that a flight from New York arrives **more than 15 minutes late**, asked one hour before "
    "its scheduled departure. It is meant for planning at the gate; it knows nothing of cancelled flights.",
)

"""The second version: the same trees, with parameters that a search has found."""

from dataclasses import replace

from examples.flights.recipes import PARAMETERS, SEARCH
from examples.flights.specs import by_hand

training = replace(by_hand.training, search=SEARCH, parameters={"min_samples_leaf": PARAMETERS["min_samples_leaf"]})

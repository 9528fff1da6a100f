"""A short soak: everything at once, and the memory and the descriptors of the server stay as they are."""

from bighead.config import Settings
from tests.integration.soak import soak

SECONDS = 120.0
"""`make soak` takes half an hour."""


def test_memory_and_descriptors_stay_flat_under_everything_at_once(ready_settings: Settings) -> None:
    soaked = soak(ready_settings, SECONDS)
    assert soaked.problems() == [], soaked.shown()
    assert soaked.loads >= 1
    assert soaked.label_moves > 10
    assert min(soaked.answered.values()) > 100
    assert sum(soaked.malformed.values()) > 50

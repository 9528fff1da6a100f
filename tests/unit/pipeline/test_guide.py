"""The guide's examples run, one after the other, and its errors are those that are raised."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from bighead.errors import ModelError
from bighead.pipeline import Pipeline

GUIDE = (Path(__file__).parents[3] / "docs" / "pipelines.md").read_text().partition("## In a notebook")[0]
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    """What the examples leave behind."""
    known: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, known)
    return known


def test_the_examples_give_what_their_comments_say(said: dict[str, Any]) -> None:
    assert len(BLOCKS) == 8
    assert not any(one.stops for one in said["findings"])
    lineage, states = said["lineage"], said["states"]
    assert lineage.downstream("carrier") == ("categories__carrier",)
    assert lineage.upstream("remainder__delay") == ("delay",)
    assert list(states.after("model").columns) == ["prediction", "probability of 0", "probability of 1"]
    assert said["report"].drifted == ()


def test_the_errors_of_the_guide_are_those_that_are_raised(said: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as none:
        said["rows"].only(np.zeros(len(said["rows"]), bool))
    with pytest.raises(ModelError) as unanswered:
        Pipeline(DBSCAN())
    for error in (none, unanswered):
        assert str(error.value).partition(";")[0].replace("`", "'") in GUIDE

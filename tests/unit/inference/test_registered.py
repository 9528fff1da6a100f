"""Which version somebody means, and what is said where there is none."""

import pytest

from bighead.errors import UnknownModel
from bighead.inference.registered import chosen
from bighead.registry.state import ModelState
from tests.unit.registry.samples import MODEL, deploy, obey, partition, register, retire, split


def models(*commands: object) -> dict[str, ModelState]:
    state, _ = obey(register("1"), register("2"), register("3"), *commands)  # type: ignore[arg-type]
    return {MODEL: state}


def test_the_live_version_a_number_or_a_label() -> None:
    known = models(deploy("d", 2), split("t", {2: 90.0, 3: 10.0}, labels={"champion": 2, "challenger": 3}))
    found = [chosen(known, MODEL, wanted).version for wanted in (None, 1, "champion", "challenger")]
    assert found == [2, 1, 2, 3]


@pytest.mark.parametrize(
    ("name", "wanted", "message"),
    [
        ("delay", None, r"no model is named 'delay' \(did you mean 'delays'\?\); `bighead models ls` lists them"),
        (MODEL, 9, "model 'delays' has no version 9; its versions are 2, 3"),
        (MODEL, 0, "model 'delays' has no version 0; its versions are 2, 3"),
        (MODEL, "champoin", r"no version labelled 'champoin' \(did you mean 'champion'\?\); its labels are: champion;"),
        (MODEL, 1, r"version 1 of model 'delays' was retired by bob \(leaks the label\); its versions are 2, 3"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(name: str, wanted: int | str | None, message: str) -> None:
    known = models(deploy("d", 2), split("t", {2: 100.0}, labels={"champion": 2}), retire("r", 1))
    with pytest.raises(UnknownModel, match=message):
        chosen(known, name, wanted)


def test_a_model_of_which_nothing_is_deployed_or_left() -> None:
    with pytest.raises(UnknownModel, match="no version of model 'delays' is deployed; deploy one, or name one"):
        chosen(models(), MODEL, None)
    with pytest.raises(UnknownModel, match="its labels are: none; its versions are 1, 2, 3"):
        chosen(models(deploy("d", 1)), MODEL, "champion")
    with pytest.raises(UnknownModel, match=r"version 2 .* was retired .*; every version is retired; reg"):
        chosen(models(retire("r")), MODEL, 2)


def test_of_a_partitioned_model_a_version_is_named() -> None:
    known = models(deploy("d", 1), partition("p", {"carrier=AA": 2}))
    with pytest.raises(UnknownModel, match="'delays' answers by carrier, segments with versions of their own; name"):
        chosen(known, MODEL, None)
    assert chosen(known, MODEL, 2).version == 2

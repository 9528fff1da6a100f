"""The Job that trains on Kubernetes is valid, and says only what the command has; nothing is started."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bighead import config
from bighead.cli import EXIT_CODES
from bighead.commands.training import command
from bighead.errors import DefinitionError, ModelError

ROOT = Path(__file__).parents[3]
RESOURCES: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "infra/kubernetes/training.yaml").read_text()))
JOB = next(one for one in RESOURCES if one["kind"] == "Job")
POD = JOB["spec"]["template"]["spec"]
(TRAINING,) = POD["containers"]


@pytest.mark.parametrize("one", RESOURCES, ids=lambda one: str(one["kind"]))
def test_every_resource_is_valid_by_the_schema_of_kubernetes(one: dict[str, Any]) -> None:
    kubernetes_validate.validate(one, "1.30", strict=True)


def test_the_command_and_settings_are_ones_that_there_are() -> None:
    bighead, train, *arguments = TRAINING["args"]
    assert (bighead, train) == ("bighead", "train")
    options = {name for parameter in command.params for name in parameter.opts}
    assert {one for one in arguments if one.startswith("--")} <= options
    assert {one["name"] for one in TRAINING["env"]} <= set(config.VARIABLES)
    mounts = {one["name"]: one["mountPath"] for one in TRAINING["volumeMounts"]}
    assert set(mounts) == {one["name"] for one in POD["volumes"]}
    assert config.load({one["name"]: one["value"] for one in TRAINING["env"]}).home == Path(mounts["home"])


def test_what_cannot_be_helped_by_trying_again_ends_the_job() -> None:
    codes = dict(EXIT_CODES)
    [rule] = JOB["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [codes[DefinitionError], codes[ModelError]]

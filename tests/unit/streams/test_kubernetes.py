"""The file that runs stream workers on Kubernetes says only what the code has; nothing is started."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bighead import config
from streams.app import ALL

ROOT = Path(__file__).parents[3]
RESOURCES: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "infra/kubernetes/streams.yaml").read_text()))
WORKLOADS = [one for one in RESOURCES if "template" in one["spec"]]


@pytest.mark.parametrize("one", RESOURCES, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_every_resource_is_valid_by_the_schema_of_kubernetes(one: dict[str, Any]) -> None:
    kubernetes_validate.validate(one, "1.30", strict=True)


@pytest.mark.parametrize("one", RESOURCES, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_every_resource_speaks_of_its_own_pods(one: dict[str, Any]) -> None:
    selector = one["spec"]["selector"]
    assert selector.get("matchLabels", selector) == {"app": one["metadata"]["name"]}


def test_together_the_pods_run_every_part_once_and_settings_are_ones_that_are_read() -> None:
    parts: list[str] = []
    for one in WORKLOADS:
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert container["args"][:-1] == ["python", "-m", "streams", "--only"]
        assert {variable["name"] for variable in container["env"]} <= set(config.VARIABLES)
        parts += container["args"][-1].split(",")
    assert sorted(parts) == sorted(ALL)

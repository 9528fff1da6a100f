"""The file that runs model servers on Kubernetes says only what the code has; nothing is started."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bighead import config
from serving.__main__ import FLUSH_S, GRACE_S
from serving.rest import build
from tests.unit.serving.fakes import predictor_of

ROOT = Path(__file__).parents[2]
RESOURCES: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "infra/kubernetes/serving.yaml").read_text()))
BY_KIND = {one["kind"]: one for one in RESOURCES}
POD: dict[str, Any] = BY_KIND["Deployment"]["spec"]["template"]["spec"]
(SERVER,) = POD["containers"]


@pytest.mark.parametrize("one", RESOURCES, ids=lambda one: str(one["kind"]))
def test_every_resource_is_valid_by_the_schema_of_kubernetes(one: dict[str, Any]) -> None:
    kubernetes_validate.validate(one, "1.30", strict=True)


def test_every_resource_speaks_of_the_same_pods() -> None:
    labels = BY_KIND["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert BY_KIND["Service"]["spec"]["selector"] == labels
    assert BY_KIND["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert (
        BY_KIND["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"]
        == BY_KIND["Deployment"]["metadata"]["name"]
    )


def test_settings_are_ones_that_a_server_reads_and_listeners_are_where_ports_say() -> None:
    told = {one["name"]: one["value"] for one in SERVER["env"] if "value" in one}
    assert {one["name"] for one in SERVER["env"]} <= set(config.VARIABLES)
    settings = config.load(told)
    ports = {one["name"]: one["containerPort"] for one in SERVER["ports"]}
    assert (settings.grpc, settings.http) == (f"0.0.0.0:{ports['grpc']}", f"0.0.0.0:{ports['http']}")
    assert {one["name"]: one["port"] for one in BY_KIND["Service"]["spec"]["ports"]} == ports
    assert settings.model_memory_mb * 1.25 <= int(SERVER["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024


def test_probes_ask_for_paths_that_there_are() -> None:
    paths = {getattr(route, "path", "") for route in build(predictor_of(), lambda: b"").routes}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert SERVER[probe]["httpGet"]["path"] in paths
    assert BY_KIND["Deployment"]["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"] in paths


def test_a_pod_may_end_what_it_has_begun() -> None:
    pause_s = int(SERVER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] >= pause_s + GRACE_S + 4 * FLUSH_S
    assert BY_KIND["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0

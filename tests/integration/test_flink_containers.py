"""The files that run the Flink lane in containers and on Kubernetes say only what the code has; nothing is started."""

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bighead import config
from bighead.errors import PlatformError
from bighead.local import flink, jars
from streams.flink.job import PROFILES

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DOCKERFILE = (ROOT / "infra/containers/flink.Dockerfile").read_text()
RESOURCES: list[dict[str, Any]] = list(yaml.safe_load_all((ROOT / "infra/kubernetes/flink.yaml").read_text()))
NAMED = {(one["kind"], one["metadata"]["name"]): one for one in RESOURCES}
DEPLOYMENTS = {name: one for (kind, name), one in NAMED.items() if kind == "Deployment"}
PROGRAM = "/opt/bighead/lib/python3.11/site-packages/bighead/local/jvm/.jvm/flink-program"


def pod_of(name: str) -> dict[str, Any]:
    pod: dict[str, Any] = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    return pod


def cluster_settings() -> dict[str, dict[str, Any]]:
    """What each file tells Flink."""
    compose = yaml.safe_load(SERVICES["flink-jobmanager"]["environment"]["FLINK_PROPERTIES"])
    assert SERVICES["flink-taskmanager"]["environment"] == SERVICES["flink-jobmanager"]["environment"]
    kubernetes = yaml.safe_load(NAMED["ConfigMap", "flink-cluster"]["data"]["FLINK_PROPERTIES"])
    return {"compose": compose, "kubernetes": kubernetes}


@pytest.mark.parametrize("one", RESOURCES, ids=lambda one: f"{one['kind']} {one['metadata']['name']}")
def test_every_resource_is_valid_by_the_schema_of_kubernetes(one: dict[str, Any]) -> None:
    kubernetes_validate.validate(one, "1.30", strict=True)


def test_the_cluster_misses_what_was_killed_as_soon_as_the_embedded_one() -> None:
    embedded = yaml.safe_load(flink._CONFIGURATION.format(rest=1, rpc=2, folder="/nowhere"))
    same = {"taskmanager.numberOfTaskSlots", *(name for name in embedded if "timeout" in name or "heartbeat" in name)}
    for told in cluster_settings().values():
        assert {name: told[name] for name in same} == {name: embedded[name] for name in same}
        assert told["jobmanager.rpc.address"] == told["rest.address"] == "flink-jobmanager"


def test_runners_find_the_cluster_choose_a_profile_and_read_the_program_that_was_compiled() -> None:
    compose = SERVICES["flink-runner"]
    assert f"./.jvm/flink-program:{PROGRAM}:ro" in compose["volumes"]
    chosen = re.fullmatch(r"\$\{BIGHEAD_FLINK_PROFILE:-(.+)\}", compose["environment"]["BIGHEAD_FLINK_PROFILE"])
    assert chosen and chosen[1] in PROFILES
    runner, (initial,) = pod_of("flink-runner")["containers"][0], pod_of("flink-runner")["initContainers"]
    mounts = {one["name"]: one["mountPath"] for one in runner["volumeMounts"]}
    assert mounts["program"] == PROGRAM and initial["volumeMounts"] == [{"name": "program", "mountPath": "/program"}]
    assert f"COPY .jvm/flink-program {initial['command'][2].removesuffix('/.')}" in DOCKERFILE
    profiles = {name: one["data"] for (kind, name), one in NAMED.items() if kind == "ConfigMap"}
    del profiles["flink-cluster"]
    assert profiles == {f"flink-{name}": {"BIGHEAD_FLINK_PROFILE": name} for name in PROFILES}
    assert runner["envFrom"][-1]["configMapRef"]["name"] in profiles
    told = {one["name"]: one["value"] for one in runner["env"]}
    assert config.load(told).flink == compose["environment"]["BIGHEAD_FLINK"] == "flink-jobmanager:8081"
    assert runner["args"] == compose["command"]
    assert runner["livenessProbe"]["exec"]["command"] == compose["healthcheck"]["test"][1:]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_pod_shares_the_folder_of_checkpoints_and_is_nobody_special(name: str) -> None:
    pod, (container,) = pod_of(name), pod_of(name)["containers"]
    assert {"name": "home", "mountPath": "/var/lib/bighead"} in container["volumeMounts"]
    assert NAMED["PersistentVolumeClaim", pod["volumes"][0]["persistentVolumeClaim"]["claimName"]]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert {one["name"] for one in container["volumeMounts"]} <= {one["name"] for one in pod["volumes"]}
    assert container["resources"]["limits"]["memory"] and container["livenessProbe"]
    assert DEPLOYMENTS[name]["spec"]["selector"]["matchLabels"] == {"app": name}
    assert DEPLOYMENTS[name]["spec"]["template"]["metadata"]["labels"] == {"app": name}


def test_images_are_those_that_compose_builds() -> None:
    built = {service["image"] for service in SERVICES.values() if "build" in service}
    pods = [pod_of(name) for name in DEPLOYMENTS]
    used = {one["image"] for pod in pods for one in [*pod["containers"], *pod.get("initContainers", [])]}
    assert used == built == {"bighead:0.1.0", "bighead-flink:0.1.0"}
    service = NAMED["Service", "flink-jobmanager"]["spec"]
    assert service["selector"] == {"app": "flink-jobmanager"}
    ports = {one["containerPort"] for one in pod_of("flink-jobmanager")["containers"][0]["ports"]}
    assert {one["port"] for one in service["ports"]} == ports


def test_the_image_has_flinks_version_and_what_jobs_load_and_runs_as_nobody_special() -> None:
    pinned = re.search(r"^apache-flink==(\S+)", (ROOT / "infra/locks/flink.txt").read_text(), re.MULTILINE)
    base = re.search(r"^FROM flink:([\d.]+)-scala_[\d.]+-java(\d+)$", DOCKERFILE, re.MULTILINE)
    assert pinned and base and base[1] == pinned[1] and int(base[2]) == flink.JAVA_FOR_FLINK
    copied = [source for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE) for source in line.split()[:-1]]
    for jar in jars.jars("flink"):
        taken = any(fnmatch(f".jvm/flink/{jar.file_name}", pattern) for pattern in copied)
        assert taken == (jar.artifact != "ecj"), jar
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all(any(source == keep or source.startswith(keep + "/") for keep in kept) for source in copied)
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001"] and "--uid 10001" in DOCKERFILE


def test_a_runner_beside_no_flink_submits_the_program_that_was_put_in_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "jvm_folder", lambda: tmp_path / ".jvm")
    with pytest.raises(PlatformError, match="make flink"):
        flink.program_file()
    put = tmp_path / ".jvm" / "flink-program" / "bighead-flink-0123456789abcdef.jar"
    put.parent.mkdir(parents=True)
    put.touch()
    assert flink.program_file() == put

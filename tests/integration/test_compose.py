"""docker-compose.yml and the Dockerfile say only what the code has; no container engine is needed to see that."""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from jsonschema.validators import validator_for

from bighead import cli, config, health
from bighead.config import Settings
from bighead.local import jars
from bighead.local.parts import BROKER, FLINK

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("bighead:")}
DOCKERFILE = (ROOT / "infra/containers/Dockerfile").read_text()
SECRETS = {"BIGHEAD_CONSOLE_TOKENS"}  # no settings: they are handed through from the environment of whoever starts it
# Where each published port is chosen, so that the host's defaults reach the containers.
PUBLISHED = {
    19092: "BIGHEAD_KAFKA",
    18081: "BIGHEAD_SCHEMA_REGISTRY",
    16379: "BIGHEAD_REDIS",
    18500: "BIGHEAD_GRPC",
    18501: "BIGHEAD_HTTP",
    18502: "BIGHEAD_CONSOLE",
    18503: "BIGHEAD_FLINK",
}


def settings_of(name: str) -> Settings:
    return config.load({key: str(value) for key, value in OURS[name]["environment"].items()})


def run_as_click(command: list[str]) -> click.Context:
    """Parses a `bighead ...` command line as the real one does, without running it."""
    context = click.Context(cli.main)
    found = cli.main.get_command(context, command[1])
    assert found is not None, f"bighead has no command {command[1]!r}"
    return found.make_context(command[1], command[2:], parent=context)


def test_the_file_is_valid_by_the_schema_of_the_compose_specification() -> None:
    package = find_spec("check_jsonschema")
    assert package is not None and package.submodule_search_locations is not None
    folder = Path(package.submodule_search_locations[0]) / "builtin_schemas" / "vendor"
    specification = json.loads((folder / "compose-spec.json").read_text())

    wrong = [
        f"{error.json_path}: {error.message}"
        for error in validator_for(specification)(specification).iter_errors(COMPOSE)
    ]

    assert wrong == []


def test_every_part_of_the_platform_is_a_service() -> None:
    assert set(SERVICES) == {*health.KNOWN, "prepare"}
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["flink"]} == set(FLINK)


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_a_variable_that_the_loader_reads_and_accepts(name: str) -> None:
    given = {key: value for key, value in OURS[name]["environment"].items() if key not in SECRETS}

    assert set(given) <= set(config.VARIABLES)
    loaded = config.variables(settings_of(name))
    assert {key: loaded[key] for key in given} == {key: str(value) for key, value in given.items()}


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_that_the_code_has(name: str) -> None:
    command = OURS[name]["command"]

    if command[0] == "bighead":
        run_as_click(command)
    else:
        assert command[:2] == ["python", "-m"] and command[3:] in ([], ["--only", *command[4:5]])
        package = find_spec(command[2])
        assert package is not None
        assert package.submodule_search_locations is None or find_spec(f"{command[2]}.__main__") is not None


@pytest.mark.parametrize("name", ["worker", "materializer", "server", "console", "flink-runner"])
def test_every_health_check_of_ours_is_the_probe_of_that_part(name: str) -> None:
    kind, *command = OURS[name]["healthcheck"]["test"]

    context = run_as_click(command)

    assert kind == "CMD"
    assert (context.info_name, context.params["parts"]) == ("health", (name,))
    assert _seconds(OURS[name]["healthcheck"]["timeout"]) > context.params["timeout"]


def test_other_services_are_reached_by_their_names_and_ports() -> None:
    settings = settings_of("worker")
    kafka = dict(
        pair.split("://") for pair in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    )

    assert settings.kafka == kafka["INSIDE"] == "kafka:9092"
    assert settings.schema_registry.startswith("http://registry:8080/")
    assert SERVICES["registry"]["ports"] == ["127.0.0.1:18081:8080"]
    assert settings.redis == "redis://redis:6379/0" and SERVICES["redis"]["ports"] == ["127.0.0.1:16379:6379"]
    for name, address in (("server", settings.grpc), ("server", settings.http), ("console", settings.console)):
        host, port = config.split_address(address, name)
        assert host == name and f"127.0.0.1:{port}:{port}" in SERVICES[name]["ports"]
    assert (settings_of("server").grpc, settings_of("server").http) == ("0.0.0.0:18500", "0.0.0.0:18501")
    assert settings_of("console").console == "0.0.0.0:18502"


def test_ports_are_published_on_loopback_alone_and_where_the_defaults_look() -> None:
    defaults = config.variables(config.load({"BIGHEAD_HOME": "/nonexistent"}))
    published = [port.rsplit(":", 2) for service in SERVICES.values() for port in service.get("ports", [])]

    assert {host for host, _, _ in published} == {"127.0.0.1"}
    assert {int(outside) for _, outside, _ in published} == set(PUBLISHED)
    assert all(f"127.0.0.1:{port}" in defaults[variable] for port, variable in PUBLISHED.items())
    assert SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].endswith(
        f"HOST://{defaults['BIGHEAD_KAFKA']}"
    )


def test_the_broker_treats_data_as_the_embedded_one_does() -> None:
    given = {key: str(value) for key, value in SERVICES["kafka"]["environment"].items()}

    assert {name: given["KAFKA_" + name.replace(".", "_").upper()] for name in BROKER} == BROKER


def test_images_have_exact_versions_and_those_of_the_embedded_parts() -> None:
    versions = {jar.artifact: jar.version for part in ("kafka", "registry") for jar in jars.jars(part)}

    assert SERVICES["kafka"]["image"] == f"apache/kafka:{versions['kafka_2.13']}"
    assert SERVICES["registry"]["image"] == f"apicurio/apicurio-registry:{versions['apicurio-registry-app']}"
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    for image in [SERVICES["redis"]["image"], *bases]:
        assert re.search(r":\d+\.\d+\.\d+-", image), f"{image} is not an exact version"


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded_checked_and_on_the_one_network(name: str) -> None:
    service = SERVICES[name]

    assert service["networks"] == ["bighead"] and list(COMPOSE["networks"]) == ["bighead"]
    mounted = {volume.split(":")[0] for volume in service.get("volumes", [])}
    assert mounted <= {*COMPOSE["volumes"], *(["./.jvm/flink-program"] if name == "flink-runner" else [])}
    assert all(other in SERVICES for other in service.get("depends_on", {}))
    if name != "prepare":
        assert service["healthcheck"]["test"][0] == "CMD" and service["restart"] == "unless-stopped"
    if name in OURS:
        assert service["read_only"] and service["cap_drop"] == ["ALL"]


def test_the_image_runs_as_nobody_special_and_copies_what_exists() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]

    assert re.findall(r"^USER (.+)$", final, re.MULTILINE) == ["10001"]
    assert "--uid 10001" in final
    assert copied and all((ROOT / source).exists() for source in copied)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert all(any(source == keep[1:] or source.startswith(keep[1:] + "/") for keep in ignored) for source in copied)


def test_the_image_installs_what_the_platforms_lock_pins() -> None:
    platform, containers = (_pins(ROOT / "infra/locks" / name) for name in ("platform.txt", "containers.txt"))

    assert containers.items() <= platform.items()
    assert {"faust-streaming", "onnxruntime", "grpcio", "confluent-kafka"} <= containers.keys()


def _pins(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)(?:\[.*\])?==(\S+)", file.read_text(), re.MULTILINE))


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))

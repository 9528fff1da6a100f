"""Environments from end to end: two servers of one name, each of which follows the deployments of its own alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bighead.client.fleet import live_servers
from bighead.client.policies import PoliciesClient
from bighead.client.predict import PredictionClient
from bighead.config import Settings
from bighead.errors import CommandRefused
from bighead.local.ports import free_settings
from bighead.registry.policies import rule_of
from tests.integration.hosted_registry import hosted
from tests.integration.serving_process import folder_of, serving
from tests.unit.serving.models import stored, times, times_record

WHY = "a test"


@pytest.fixture
def writer(ready_settings: Settings) -> Iterator[Settings]:
    """The settings of a platform whose registry decides."""
    with hosted(ready_settings):
        yield ready_settings


def in_staging(settings: Settings, folder: Path) -> Settings:
    """Those of a server in staging with the same name: its ports are its own, and its state."""
    own = free_settings(folder)
    return replace(settings, environment="staging", grpc=own.grpc, http=own.http, probe=own.probe, state=own.state)


def answered(settings: Settings) -> tuple[int, object]:
    """Version and output of what the server answers to 4."""
    with PredictionClient(settings.grpc) as client:
        answer = client.predict("times", [{}], [{"x": 4.0}])
        return answer.version, answer.predictions[0].outputs["y"]


def test_what_is_deployed_to_staging_touches_production_only_once_it_lived_there(
    writer: Settings, tmp_path: Path
) -> None:
    production, staging = PoliciesClient(writer), PoliciesClient(writer, environment="staging")
    folder = folder_of(writer)
    for factor in (2.0, 3.0):
        path = times(folder / f"{factor}.onnx", factor)
        production.register("times", times_record(stored(folder, path), factor), path, WHY)
    production.deploy("times", 1, WHY, wait=False)
    production.set_policy("times", [rule_of("lived_in=staging")], WHY)

    with serving(writer) as server, serving(in_staging(writer, tmp_path)) as spare:
        assert {beat.server: beat.environment for beat in live_servers(writer)} == {
            "server-1": "production",
            "server-1@staging": "staging",
        }
        with pytest.raises(CommandRefused, match="lived_in=staging"):
            production.deploy("times", 2, WHY)
        tried = staging.deploy("times", 2, WHY)
        assert [answer.server for answer in tried.servers] == ["server-1@staging"]
        assert (answered(spare.settings), answered(server.settings)) == ((2, 12.0), (1, 8.0))
        seen = production.show("times").servers
        assert {name: one.serving for name, one in seen.items()} == {"server-1": 1, "server-1@staging": 2}

        promoted = production.deploy("times", 2, WHY)
        assert [answer.server for answer in promoted.servers] == ["server-1"]
        assert (answered(spare.settings), answered(server.settings)) == ((2, 12.0), (2, 12.0))
        production.rollback("times", WHY)
        assert (answered(spare.settings), answered(server.settings)) == ((2, 12.0), (1, 8.0))

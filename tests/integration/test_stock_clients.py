"""tritonclient, unmodified, in its four forms: gRPC and HTTP, blocking and asyncio, over every datatype."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bighead.inference.loading import load
from tests.unit.serving.fakes import predictor_of
from tests.unit.serving.models import every_stored, times_stored
from tests.unit.serving.running import running

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository(index)", "parameters", "statistics"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    models = [load("every", 1, every_stored(folder))[0], load("times", 1, times_stored(folder, 2.0))[0]]
    with running(predictor_of(*models)) as addresses:
        script = Path(__file__).with_name("stock_clients.py")
        run = subprocess.run([sys.executable, str(script), *addresses], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("client", ["grpc", "http"])
def test_health_metadata_and_extensions(seen: dict[str, Any], client: str) -> None:
    answers = seen[client]
    assert [answers[name] for name in ("live", "ready", "model_ready", "version_ready")] == [True] * 4
    assert [answers[name] for name in ("other_ready", "other_version")] == [False] * 2
    assert (answers["server"]["name"], answers["server"]["extensions"]) == ("bighead", EXTENSIONS)
    assert answers["metadata"]["datatype"] == "BOOL"
    assert [int(size) for size in answers["metadata"]["shape"]] == [-1, 2]
    assert (answers["config"]["name"], answers["config"]["data_type"]) == ("in_bytes", "TYPE_STRING")
    assert [(one["name"], one["version"], one["state"]) for one in answers["index"]] == [
        ("every", "1", "READY"),
        ("times", "1", "READY"),
    ]


def test_every_datatype_comes_back_bit_for_bit(seen: dict[str, Any]) -> None:
    assert [seen["grpc"][name] for name in ("all", "some", "id")] == [True, True, "7"]
    assert seen["grpc"]["outputs"] == ["out_bool", "out_int64", "out_fp32", "out_bytes"]
    assert [seen["http"][name] for name in ("all", "some", "json", "id")] == [True, True, True, "8"]
    assert seen["http"]["y"] == seen["http"]["later"] == [[2.0], [4.0]]
    assert [seen["aio"][name] for name in ("grpc", "http", "ready", "http_ready")] == [True] * 4


def test_a_stream_goes_on_after_a_refusal(seen: dict[str, Any]) -> None:
    assert seen["grpc"]["stream"] == [["0", True], "no model 'other' is ", ["2", True]]
    assert seen["aio"]["stream"] == [["0", True], ["1", True]]


def test_refusals_have_the_status_of_their_cause(seen: dict[str, Any]) -> None:
    assert (seen["grpc"]["unknown"], seen["grpc"]["wrong"]) == ("StatusCode.NOT_FOUND", "StatusCode.INVALID_ARGUMENT")
    assert (seen["http"]["unknown"], seen["http"]["wrong"]) == ("404", "400")


def test_statistics_count_what_was_answered(seen: dict[str, Any]) -> None:
    over_grpc, over_http = seen["grpc"]["stats"], seen["http"]["stats"]
    assert (over_grpc["inference_count"], over_grpc["execution_count"]) == ("8", "4")  # of two rows each
    assert over_grpc["inference_stats"]["success"]["count"] == "4"
    assert (over_http["inference_count"], over_http["execution_count"]) == (14, 7)
    assert sorted(seen["http"]["all_stats"]) == ["every", "times"]

"""What a server holds follows the registry's wishes; a version that cannot be had changes nothing."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from bighead.errors import UnknownModel
from bighead.events.base import Event
from bighead.events.types import ModelLoaded, ModelLoadFailed, ModelRecord, ModelSwapped, TrafficArm
from bighead.inference.loading import LoadFailed, load
from bighead.inference.model import LoadedModel
from bighead.registry.deployments import Deployment
from bighead.registry.state import Traffic
from serving.host import ModelHost
from serving.predictor import Predictor
from tests.unit.serving.fakes import NOW_MS, FakeLog, FakeReader
from tests.unit.serving.models import times_stored

MODEL_BYTES = 10 << 20


class Hosted:
    """A host with its predictor, the events that it reported and the versions that it was asked to load."""

    def __init__(self, record: ModelRecord, broken: Iterable[int] = (), budget_bytes: int = 100 * MODEL_BYTES) -> None:
        self.broken = set(broken)
        self.events: list[Event] = []
        self.loads: list[int] = []
        self.record = record
        self.predictor = Predictor(FakeReader(), FakeLog(), lambda: NOW_MS)
        self.host = ModelHost(self.predictor, "server-1", self.events.append, lambda: NOW_MS, self.load, budget_bytes)
        self._commands = 0

    def load(
        self, name: str, version: int, record: ModelRecord, room_bytes: int
    ) -> tuple[LoadedModel, dict[str, float]]:
        self.loads.append(version)
        if version in self.broken:
            raise LoadFailed("golden", f"version {version} is broken")
        return load(name, version, record, lambda *_: MODEL_BYTES, room_bytes)

    def deploy(self, live: int, previous: int | None = None, *, live_only: bool = False) -> None:
        self._commands += 1
        wanted = Deployment(
            model="m",
            live=live,
            previous=previous,
            traffic=None,
            command_id=f"c{self._commands}",
            records=dict.fromkeys(range(1, 9), self.record),
        )
        self.host.converge("m", wanted, live_only=live_only)

    @property
    def serving(self) -> tuple[int, list[int]] | None:
        served = self.predictor.snapshot.models.get("m")
        return None if served is None else (served.live.version, sorted(served.versions))

    def told(self) -> list[tuple[str, int]]:
        told = [(type(event).__name__, getattr(event, "version", 0)) for event in self.events]
        self.events.clear()
        return told


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> ModelRecord:
    return times_stored(tmp_path_factory.mktemp("model"), 2.0)


def test_the_first_deployment_loads_and_swaps(record: ModelRecord) -> None:
    hosted = Hosted(record)
    hosted.deploy(1)
    assert hosted.serving == (1, [1])
    loaded, swapped = hosted.events
    assert isinstance(loaded, ModelLoaded)
    assert (loaded.artifact_sha256, list(loaded.steps)) == (
        record.artifact_sha256,
        ["fetch", "verify", "trial", "load", "golden", "warm"],
    )
    assert isinstance(swapped, ModelSwapped)
    assert (swapped.previous_version, swapped.command_id, swapped.at_ms) == (None, "c1", NOW_MS)


def test_a_version_for_which_there_is_no_memory_is_refused_and_the_old_one_answers_on(record: ModelRecord) -> None:
    hosted = Hosted(record, budget_bytes=MODEL_BYTES * 3 // 2)
    hosted.deploy(1)
    hosted.told()
    hosted.deploy(2, 1)
    (failed,) = hosted.events
    assert isinstance(failed, ModelLoadFailed)
    assert (failed.version, failed.kept_version, failed.step) == (2, 1, "trial")
    assert "10 MB of memory and 5 MB of the budget are left" in failed.error
    assert hosted.serving == (1, [1])


def test_the_version_before_is_kept_and_older_ones_are_dropped(record: ModelRecord) -> None:
    hosted = Hosted(record)
    hosted.deploy(1)
    hosted.deploy(2, 1)
    assert hosted.serving == (2, [1, 2])
    hosted.deploy(3, 2)
    assert hosted.serving == (3, [2, 3])


def test_a_roll_back_loads_nothing(record: ModelRecord) -> None:
    hosted = Hosted(record)
    hosted.deploy(1)
    hosted.deploy(2, 1)
    hosted.told()
    hosted.deploy(1)
    assert hosted.loads == [1, 2]
    assert hosted.told() == [("ModelSwapped", 1)]
    assert hosted.serving == (1, [1])


def test_a_version_that_fails_leaves_the_old_one_serving(record: ModelRecord) -> None:
    hosted = Hosted(record, broken=[2])
    hosted.deploy(1)
    hosted.told()
    hosted.deploy(2, 1)
    failed = hosted.events[0]
    assert isinstance(failed, ModelLoadFailed)
    assert (failed.step, failed.error, failed.kept_version) == ("golden", "version 2 is broken", 1)
    assert hosted.told() == [("ModelLoadFailed", 2)]
    assert hosted.serving == (1, [1])


def test_deploying_a_failed_version_again_tries_again(record: ModelRecord) -> None:
    hosted = Hosted(record, broken=[2])
    hosted.deploy(1)
    hosted.deploy(2, 1)
    hosted.broken.clear()
    hosted.told()
    hosted.deploy(2, 1)
    assert hosted.told() == [("ModelLoaded", 2), ("ModelSwapped", 2)]
    assert hosted.serving == (2, [1, 2])


def test_deploying_what_serves_already_is_reported_to_who_asked(record: ModelRecord) -> None:
    hosted = Hosted(record)
    hosted.deploy(1)
    hosted.told()
    hosted.deploy(1)
    swapped = hosted.events[0]
    assert isinstance(swapped, ModelSwapped)
    assert (swapped.command_id, swapped.version, swapped.previous_version) == ("c2", 1, 1)
    assert hosted.loads == [1]


def test_a_server_that_starts_while_the_live_version_is_broken_serves_the_one_before(record: ModelRecord) -> None:
    hosted = Hosted(record, broken=[2])
    hosted.deploy(2, 1, live_only=True)
    assert hosted.told() == [("ModelLoadFailed", 2), ("ModelLoaded", 1), ("ModelSwapped", 1)]
    assert hosted.serving == (1, [1])


def test_a_server_that_starts_can_answer_before_it_loads_the_version_before(record: ModelRecord) -> None:
    hosted = Hosted(record)
    hosted.deploy(2, 1, live_only=True)
    assert hosted.serving == (2, [2])
    hosted.deploy(2, 1)
    assert hosted.serving == (2, [1, 2])


def test_a_model_that_is_taken_away_is_dropped(record: ModelRecord) -> None:
    hosted = Hosted(record)
    hosted.deploy(1)
    hosted.deploy(2, 1)
    hosted.host.converge("m", None)
    assert hosted.serving is None
    assert hosted.host.models == ()


def test_a_request_that_runs_keeps_its_version(record: ModelRecord, tmp_path: Path) -> None:
    hosted = Hosted(record)
    hosted.deploy(1)
    running = hosted.predictor.snapshot.version("m", None)
    hosted.record = replace(times_stored(tmp_path, 3.0))
    hosted.deploy(2, 1)
    hosted.deploy(3, 2)
    assert hosted.serving == (3, [2, 3])
    tensors = running.signature.tensors([{}], [{"x": 1.0}])
    assert running.run(tensors)[0].tolist() == [[2.0]]


def test_a_share_of_the_traffic_asks_for_another_try(record: ModelRecord) -> None:
    hosted = Hosted(record, broken=[2])
    hosted.deploy(1)
    half = (TrafficArm(arm="v1", version=1, percent=50.0), TrafficArm(arm="v2", version=2, percent=50.0))
    wanted = Deployment("m", 1, None, Traffic(half, {}, None, ""), "c1", dict.fromkeys(range(1, 9), record))
    hosted.host.converge("m", wanted)
    hosted.host.converge("m", wanted)
    assert hosted.loads == [1, 2], "what is as it was asks for nothing"
    hosted.broken.clear()
    hosted.host.converge("m", replace(wanted, traffic=None))
    hosted.host.converge("m", wanted)
    assert (hosted.loads, hosted.serving) == ([1, 2, 2], (1, [1, 2]))


def test_a_version_with_a_label_is_loaded_before_requests_may_ask_for_it(record: ModelRecord) -> None:
    hosted = Hosted(record, broken=[3])
    hosted.deploy(1)
    wanted = Deployment("m", 1, None, None, "c1", dict.fromkeys(range(1, 9), record), labels={"next": 2, "bad": 3})
    hosted.host.converge("m", wanted)
    assert hosted.serving == (1, [1, 2])
    assert hosted.predictor.snapshot.version("m", "next").version == 2
    with pytest.raises(UnknownModel, match="version 3 of model 'm' is not loaded"):
        hosted.predictor.snapshot.version("m", "bad")
    hosted.broken.clear()
    hosted.host.converge("m", replace(wanted, labels={"next": 3}))
    assert hosted.serving == (1, [1, 3])
    with pytest.raises(UnknownModel, match="its labels are: next"):
        hosted.predictor.snapshot.version("m", "bad")
    hosted.host.converge("m", None)
    assert hosted.serving is None

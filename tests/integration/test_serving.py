"""The model server as clients meet it: a real process, real Kafka and Redis, stock clients."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import grpc
import httpx
import pytest
import redis
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from bighead import health
from bighead.client.explain import ExplanationClient
from bighead.client.feature_values import MAX_ENTITIES, AsyncFeaturesClient, FeaturesClient
from bighead.client.predict import AsyncPredictionClient, PredictionClient
from bighead.config import Settings
from bighead.errors import InvalidInput, NotReady, UnknownModel
from bighead.events.served import served_features
from bighead.events.topics import PREDICTIONS, SERVING_EVENTS
from bighead.events.types import (
    GroupByActivated,
    GroupByApplied,
    JoinApplied,
    ModelLoaded,
    ModelLoadFailed,
    ModelSwapped,
    PredictionServed,
    ServerStarted,
    ServerStopped,
)
from bighead.features import Aggregation, EventSource, GroupBy, Join, Keys, Op
from bighead.features.compiled import compile_group, compile_join
from bighead.features.fold import fold
from bighead.features.reference import SourceEvent, join_features
from bighead.features.tiles import StateCodec, store_field, store_key, store_value
from bighead.features.types import ValueType
from bighead.registry.keys import new_secret_key, public_key, secret_key
from bighead.registry.manifest import signed
from bighead.testing import eventually
from tests.conformance.cases import MIDNIGHT_MS, rows_of
from tests.integration.serving_process import Registry, ServerProcess, folder_of, serving
from tests.unit.serving.models import (
    damaged,
    external,
    slow,
    stored,
    times,
    times_record,
    times_stored,
    total_stored,
)

HOUR_MS = 3_600_000
SOURCE = EventSource(topic="flights", table="flights", time="at_ms")
COLUMNS = {"at_ms": ValueType.LONG, "carrier": ValueType.STRING, "delay": ValueType.LONG}
AGGREGATIONS = [
    Aggregation("delay", Op.SUM, ["1h", "7d"]),
    Aggregation("delay", Op.LAST),
    Aggregation("delay", Op.LAST_K, args={"k": 2}),
    Aggregation("delay", Op.HISTOGRAM, ["7d"]),
]
GROUP = compile_group(GroupBy("carrier", SOURCE, ["carrier"], AGGREGATIONS), COLUMNS)
JOIN = compile_join(Join("flight", Keys("carrier"), ["carrier"]), {"carrier": GROUP})
FEATURES = [feature.name for feature in GROUP.features if feature.kind.is_scalar]


@pytest.fixture
def registry(ready_settings: Settings) -> Registry:
    return Registry(ready_settings)


def deployed(registry: Registry, *factors: float) -> None:
    """`times` with a version for each factor, the last one live."""
    folder = folder_of(registry.settings)
    for version, factor in enumerate(factors, 1):
        registry.register("times", version, times_stored(folder, factor))
        registry.deploy("times", version)


def ask(client: PredictionClient, x: float = 1.0) -> tuple[int, float]:
    answer = client.predict("times", [{"id": 1}], [{"x": x}])
    return answer.version, float(answer.predictions[0].outputs["y"] or 0)


def test_stock_clients_health_reflection_and_rest(registry: Registry) -> None:
    deployed(registry, 2.0, 3.0)
    settings = registry.settings
    with serving(settings):
        script = Path(__file__).with_name("triton_client.py")
        eventually(lambda: registry.told(SERVING_EVENTS, ModelLoaded, version=1))
        run = subprocess.run(
            [sys.executable, str(script), settings.grpc, "times"], capture_output=True, text=True, timeout=60
        )
        assert run.returncode == 0, run.stderr
        seen = json.loads(run.stdout)
        assert seen["metadata"] == {
            "name": "times",
            "versions": ["1", "2"],
            "platform": "onnx_onnxruntime",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": ["-1", "1"]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": ["-1", "1"]}],
        }
        assert (seen["y"], seen["version"], seen["id"]) == ([[3.0], [6.0], [9.0]], "2", "7")
        assert seen["pinned"] == [[2.0], [4.0], [6.0]]
        assert [seen[name] for name in ("live", "ready", "model_ready", "other_ready")] == [True, True, True, False]
        assert seen["server"] == "bighead"
        assert seen["unknown"].startswith("StatusCode.NOT_FOUND: no model 'other' is deployed")
        assert "received FP32 [3]; expected FP32 [-1, 1]" in seen["wrong"]
        check_reflection(settings.grpc)
        check_health(settings.grpc)
        check_rest(f"http://{settings.http}")


def test_a_server_with_keys_answers_for_segments_by_signed_versions_alone(registry: Registry) -> None:
    secret, folder = secret_key(new_secret_key()), folder_of(registry.settings)
    for version in (1, 2, 3):
        record = times_stored(folder, version * 10.0)
        registry.register("times", version, record if version == 3 else signed("times", record, secret))
    registry.deploy("times", 1)
    registry.partition("times", ("carrier", "region"), {"carrier=AA": 2, "carrier=UA": 3, "region=EU": 2})
    trusting = replace(registry.settings, model_keys=public_key(secret))
    with serving(trusting), PredictionClient(trusting.grpc) as client:
        failed = registry.await_told(SERVING_EVENTS, ModelLoadFailed, version=3)
        assert (failed.step, "its manifest is not signed" in failed.error, failed.kept_version) == (
            "signature",
            True,
            1,
        )
        registry.await_told(SERVING_EVENTS, ModelLoaded, version=2)
        keys = [
            {"carrier": carrier, "region": region} for carrier, region in (("AA", "US"), ("UA", "EU"), ("UA", "US"))
        ]
        eventually(lambda: client.predict("times", keys[:1], [{"x": 1.0}]).arm == "carrier=AA")
        answer = client.predict("times", keys, [{"x": 1.0}] * 3)
    assert [(one.arm, one.version, one.outputs["y"]) for one in answer.predictions] == [
        ("carrier=AA", 2, 20.0),
        ("region=EU", 2, 20.0),
        ("live", 1, 10.0),
    ]


def check_reflection(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        assert {"inference.GRPCInferenceService", "bighead.v1.Prediction", "bighead.v1.Features"} <= services
        described = database.FindFileContainingSymbol("bighead.v1.Prediction")
        methods = [method.name for method in described.service[0].method]
        assert methods == ["Predict", "PredictRows", "PredictStream", "Explain"]
        assert database.FindFileContainingSymbol("inference.ModelInferRequest").name == "inference.proto"


def check_health(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        for service in ("", "inference.GRPCInferenceService", "bighead.v1.Prediction", "bighead.v1.Features"):
            assert check(health_pb2.HealthCheckRequest(service=service)).status == 1
        with pytest.raises(grpc.RpcError) as refused:
            check(health_pb2.HealthCheckRequest(service="other"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def check_rest(url: str) -> None:
    body = {"model": "times", "entities": [{"keys": {"id": 1}, "inputs": {"x": 2}}]}
    answer = httpx.post(f"{url}/predict", json=body)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert answer.json()["predictions"][0]["outputs"] == {"y": 6.0}
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 1], "data": [[1], [2]]}
    answer = httpx.post(f"{url}/v2/models/times/infer", json={"id": "a", "inputs": [tensor]})
    assert answer.json() == {
        "id": "a",
        "model_name": "times",
        "model_version": "2",
        "parameters": {"arm": "live"},
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [3.0, 6.0]}],
    }
    for path in ("/health", "/v2/health/live", "/v2/health/ready", "/v2/models/times/ready"):
        assert httpx.get(url + path).status_code == 200
    assert httpx.get(f"{url}/v2/models/times/versions/1").json()["inputs"][0]["shape"] == [-1, 1]
    for path in ("/v2/models/other", "/nothing"):
        answer = httpx.get(url + path)
        assert (answer.status_code, "error" in answer.json()) == (404, True)


def test_swaps_under_load_fail_no_request_and_mix_no_versions(registry: Registry) -> None:
    deployed(registry, 2.0)
    swaps = 20
    with serving(registry.settings) as server:
        registry.register("times", 2, times_stored(folder_of(registry.settings), 3.0))

        async def load(stop: asyncio.Event, seen: Counter[int]) -> None:
            async with AsyncPredictionClient(server.settings.grpc) as client:
                while not stop.is_set():
                    entities = [{"id": index} for index in range(3)]
                    answer = await client.predict("times", entities, [{"x": 1.0}] * 3)
                    assert [one.outputs["y"] for one in answer.predictions] == [answer.version + 1.0] * 3
                    seen[answer.version] += 1

        async def swap_under_load() -> Counter[int]:
            stop, seen = asyncio.Event(), Counter[int]()
            clients = [asyncio.create_task(load(stop, seen)) for _ in range(4)]
            for index in range(swaps):
                command = await asyncio.to_thread(registry.deploy, "times", 2 - index % 2)
                await asyncio.to_thread(registry.await_told, SERVING_EVENTS, ModelSwapped, command_id=command)
            stop.set()
            await asyncio.gather(*clients)
            return seen

        seen = asyncio.run(swap_under_load())
    assert set(seen) == {1, 2}
    assert min(seen.values()) > 10
    swapped = registry.told(SERVING_EVENTS, ModelSwapped)
    assert len(swapped) == swaps + 1
    assert max(event.swap_us for event in swapped) < 50_000
    # Both versions stay in memory: a swap back loads nothing.
    assert len(registry.told(SERVING_EVENTS, ModelLoaded)) == 2


def test_what_is_not_proven_never_serves(registry: Registry) -> None:
    deployed(registry, 2.0)
    folder = folder_of(registry.settings)
    broken = {
        2: ("fetch", damaged(times_stored(folder, 4.0))),
        3: ("golden", times_record(stored(folder, times(folder / "x.onnx", 5.0)), 5.0, golden_factor=6.0)),
        4: ("verify", times_record(stored(folder, external(folder, 7.0)), 7.0)),
    }
    with serving(registry.settings) as server, PredictionClient(server.settings.grpc) as client:
        for version, (step, record) in broken.items():
            registry.register("times", version, record)
            command = registry.deploy("times", version)
            failed = registry.await_told(SERVING_EVENTS, ModelLoadFailed, command_id=command, version=version)
            assert (failed.step, failed.kept_version) == (step, 1)
            assert ask(client) == (1, 2.0)
        registry.register("times", 5, times_stored(folder, 8.0))
        command = registry.deploy("times", 5)
        registry.await_told(SERVING_EVENTS, ModelSwapped, command_id=command, version=5)
        assert ask(client) == (5, 8.0)


def test_a_roll_back_is_instant_and_a_killed_server_comes_back_with_it(registry: Registry) -> None:
    deployed(registry, 2.0, 3.0)
    with serving(registry.settings) as server:
        eventually(lambda: registry.told(SERVING_EVENTS, ModelLoaded, version=1))
        command = registry.roll_back("times")
        swapped = registry.await_told(SERVING_EVENTS, ModelSwapped, command_id=command)
        assert (swapped.version, swapped.previous_version) == (1, 2)
        assert len(registry.told(SERVING_EVENTS, ModelLoaded)) == 2
        server.kill()
    with serving(registry.settings), PredictionClient(registry.settings.grpc) as client:
        assert ask(client) == (1, 2.0)


def test_features_are_fetched_logged_and_honest_about_a_store_that_is_gone(registry: Registry) -> None:
    settings = registry.settings
    events = [
        SourceEvent({"at_ms": MIDNIGHT_MS - HOUR_MS, "carrier": "UA", "delay": 5}, 0, 0),
        SourceEvent({"at_ms": MIDNIGHT_MS, "carrier": "UA", "delay": 20}, 0, 1),
    ]
    apply_join(registry)
    store(settings, events)
    registry.register("flights", 1, total_stored(folder_of(settings), FEATURES, "flight"))
    registry.deploy("flights", 1)
    as_of_ms = MIDNIGHT_MS + 1
    with serving(settings) as server, PredictionClient(settings.grpc) as client:
        answer = client.predict(
            "flights", [{"carrier": "UA"}, {"carrier": "ZZ"}], [{"hour": 1.0}, {"hour": 2.0}], as_of_ms=as_of_ms
        )
        known, unknown = answer.predictions
        assert known.features == join_features(JOIN, {"flights": events}, {"carrier": "UA"}, as_of_ms)
        assert known.outputs["score"] == 1.0 + sum(float(known.features[name] or 0) for name in FEATURES)
        assert set(unknown.statuses.values()) == {"EMPTY"}
        assert (answer.feature_epochs, answer.as_of_ms) == ({"carrier": 1}, as_of_ms)
        assert known.features["carrier_delay_last_k"] == [20, 5]
        assert known.features["carrier_delay_histogram_7d"] == {"20": 1, "5": 1}
        check_features(settings, as_of_ms, known.features)
        with ExplanationClient(settings.grpc) as explanations:  # the log below has the two predictions alone
            (one,) = explanations.explain(
                "flights", [{"carrier": "UA"}], [{"hour": 1.0}], as_of_ms=as_of_ms
            ).explanations
        assert one.explained["score"].contributions == pytest.approx(
            {"hour": 0.0} | {name: float(known.features[name]) - 1.0 for name in FEATURES}
        )
        for keys in ({"origin": "EWR"}, {"carrier": 7}):
            with pytest.raises(InvalidInput, match="carrier"):
                client.predict("flights", [keys], [{"hour": 1.0}])
        assert server.stop() == 0
    logged = {event.prediction_id: event for event in registry.told(PREDICTIONS, PredictionServed)}
    assert logged.keys() == {one.prediction_id for one in answer.predictions}
    first = logged[known.prediction_id]
    assert (first.entity, first.as_of_ms, first.join) == ('{"carrier":"UA"}', as_of_ms, "flight")
    assert (served_features(first), first.inputs, first.statuses) == (known.features, {"hour": 1.0}, {})
    assert first.outputs == known.outputs
    assert set(logged[unknown.prediction_id].statuses.values()) == {"EMPTY"}


def test_a_store_that_is_gone_is_said_and_not_taken_for_no_events(registry: Registry) -> None:
    apply_join(registry)
    registry.register("flights", 1, total_stored(folder_of(registry.settings), FEATURES, "flight"))
    registry.deploy("flights", 1)
    with serving(without_store(registry.settings)), PredictionClient(registry.settings.grpc) as client:
        (one,) = client.predict("flights", [{"carrier": "UA"}], [{"hour": 1.0}]).predictions
        assert set(one.statuses.values()) == {"ERROR"}
        assert set(one.features.values()) == {None}


def without_store(settings: Settings) -> Settings:
    return replace(settings, redis="redis://127.0.0.1:1/0")


def apply_join(registry: Registry) -> None:
    signed = {"actor": "test", "reason": "a test", "at_ms": 1_700_000_000_000}
    registry.apply(
        GroupByApplied(
            group="carrier",
            epoch=1,
            definition=GROUP.to_json(),
            definition_hash=GROUP.hash,
            engine="python",
            **signed,  # type: ignore[arg-type]
        ),
        GroupByActivated(group="carrier", epoch=1, **signed),  # type: ignore[arg-type]
        JoinApplied(
            join="flight",
            epoch=1,
            definition=JOIN.to_json(),
            definition_hash=JOIN.hash,
            groups={"carrier": 1},
            **signed,  # type: ignore[arg-type]
        ),
    )


def store(settings: Settings, events: list[SourceEvent]) -> None:
    codec, rows = StateCodec(GROUP), rows_of(GROUP, events)
    assert rows is not None
    with redis.Redis.from_url(settings.redis) as client:
        for tile in fold(GROUP, codec, rows, lambda keys: [None for _ in keys]):
            key = store_key(settings.topic_prefix, GROUP.name, 1, tile.key.entity)
            value = store_value(tile.rank, tile.seq, codec.encode(tile.state))
            client.hset(key, store_field(tile.key.level, tile.key.start_ms), value)


def check_features(settings: Settings, as_of_ms: int, expected: Mapping[str, object]) -> None:
    entities = [{"carrier": "UA"}, *({"carrier": f"X{number}"} for number in range(MAX_ENTITIES - 1))]
    with FeaturesClient(settings.grpc) as client:
        rows = client.read("flight", entities, as_of_ms=as_of_ms)
        assert (len(rows), rows[0].values, rows[0].epochs) == (MAX_ENTITIES, expected, {"carrier": 1})
        assert set(rows[0].statuses.values()) == {"OK"}
        assert set(rows[-1].statuses.values()) == {"EMPTY"}
        with pytest.raises(InvalidInput, match="INVALID_ARGUMENT: join 'flights' is not applied"):
            client.read("flights", entities[:1])
    assert asyncio.run(read_async(settings, as_of_ms)) == expected
    body = {"join": "flight", "entities": entities, "as_of_ms": as_of_ms}
    answer = httpx.post(f"http://{settings.http}/features", json=body, timeout=30).json()
    assert (len(answer["vectors"]), answer["vectors"][0]["values"]) == (MAX_ENTITIES, expected)


async def read_async(settings: Settings, as_of_ms: int) -> dict[str, object]:
    async with AsyncFeaturesClient(settings.grpc) as client:
        (row,) = await client.read("flight", [{"carrier": "UA"}], as_of_ms=as_of_ms)
        return row.values


def test_a_server_that_is_asked_to_stop_answers_what_it_has_begun(registry: Registry) -> None:
    folder = folder_of(registry.settings)
    registry.register("slow", 1, times_record(stored(folder, slow(folder / "slow.onnx", 150_000)), 1.0))
    registry.deploy("slow", 1)
    settings = registry.settings
    with serving(settings) as server:

        async def ask_and_stop() -> list[float]:
            async with AsyncPredictionClient(settings.grpc) as client:
                await client.predict("slow", [{"id": 0}], [{"x": 0.0}])
                asked = [
                    asyncio.create_task(client.predict("slow", [{"id": x}], [{"x": float(x)}], timeout_s=30))
                    for x in range(6)
                ]
                done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                assert len(done) < len(asked)
                server.process.terminate()
                return [float((await one).predictions[0].outputs["y"] or 0) for one in asked]

        assert asyncio.run(ask_and_stop()) == [float(x) for x in range(6)]
        assert server.process.wait(30) == 0
        with PredictionClient(settings.grpc) as client, pytest.raises(NotReady):
            client.predict("slow", [{"id": 0}], [{"x": 0.0}])
    assert len(registry.told(PREDICTIONS, PredictionServed)) == 7
    assert registry.told(SERVING_EVENTS, ServerStarted, address=settings.grpc)
    assert registry.told(SERVING_EVENTS, ServerStopped, server=settings.server_name)


def test_a_server_without_models_is_ready_and_a_port_in_use_is_said(registry: Registry) -> None:
    with serving(registry.settings), PredictionClient(registry.settings.grpc) as client:
        with pytest.raises(UnknownModel, match="it serves: none"):
            ask(client)
        second = ServerProcess(registry.settings)
        assert second.process.wait(30) == 1
        assert f"BIGHEAD_GRPC is {registry.settings.grpc}, which cannot be listened on" in second.output.read_text()
        assert health.check("server", registry.settings).ok

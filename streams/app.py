"""What a stream worker is made of: services in one event loop, and Faust for the agents of the control plane.

Services do not wait for Faust: a member of its consumer group that was killed would hold them up until it is forgotten.
"""

from collections.abc import Iterable

import faust
import mode
from mode.types import ServiceT

from bighead.config import Settings
from bighead.errors import ConfigError
from bighead.events.codec import Codec
from bighead.events.guard import Guard
from bighead.health import HEARTBEAT_KEY, MATERIALIZER_HEARTBEAT_KEY
from streams.catalog import CatalogService
from streams.committed import read_committed
from streams.heartbeat import HeartbeatService
from streams.lane import LaneService
from streams.letters import LettersOnce
from streams.materializer import MaterializerService
from streams.monitoring import MonitoringService
from streams.registry import RegistryService
from streams.rollouts import RolloutsService
from streams.views import register

SERVICES = ("lane", "materializer", "registry", "rollouts", "monitoring")
AGENTS = "views"
ALL = (*SERVICES, AGENTS)
SESSION_S = 10


def build(settings: Settings, only: Iterable[str] = ALL) -> mode.Worker:
    """A worker that runs the parts named; a part that crashes ends it with a code other than 0."""
    wanted = list(only)
    unknown = [name for name in wanted if name not in ALL]
    if unknown or not wanted:
        raise ConfigError(
            f"a worker has no part {', '.join(unknown) or '(none was named)'}; there are {', '.join(ALL)}"
        )
    services = _services(settings, wanted)

    def states() -> dict[str, str]:
        return {name: _state(service) for name, service in services.items()}

    key = MATERIALIZER_HEARTBEAT_KEY if wanted == ["materializer"] else HEARTBEAT_KEY
    running = [*services.values(), HeartbeatService(settings, states, key)]
    if AGENTS not in wanted:
        return mode.Worker(*running, override_logging=False, redirect_stdouts=False)
    app = faust_app(settings)
    services[AGENTS] = app
    return faust.Worker(app, *running, override_logging=False, redirect_stdouts=False, quiet=True)


def faust_app(settings: Settings) -> faust.App:
    """The Faust app with its agents. It keeps no tables and serves no pages."""
    app = faust.App(
        f"{settings.topic_prefix}-worker",
        broker=[f"kafka://{address}" for address in settings.kafka.split(",")],
        store="memory://",
        datadir=str(settings.state / "faust"),
        web_enabled=False,
        topic_disable_leader=True,
        broker_session_timeout=SESSION_S,
        broker_rebalance_timeout=SESSION_S,
    )
    read_committed(app)
    register(app, settings)
    return app


def _services(settings: Settings, wanted: list[str]) -> dict[str, ServiceT]:
    codec = Codec(settings.schema_registry)
    dead_letters = LettersOnce(settings, codec)
    catalog = CatalogService(settings, Guard(codec, dead_letters, "catalog", settings))
    made: dict[str, ServiceT] = {}
    if "lane" in wanted or "materializer" in wanted:
        made["catalog"] = catalog
    if "lane" in wanted:
        made["lane"] = LaneService(settings, codec, dead_letters, catalog)
    if "materializer" in wanted:
        guard = Guard(codec, dead_letters, "materializer", settings)
        made["materializer"] = MaterializerService(settings, codec, guard, catalog)
    if "registry" in wanted:
        made["registry"] = RegistryService(settings)
    if "rollouts" in wanted:
        made["rollouts"] = RolloutsService(settings, codec, Guard(codec, dead_letters, "rollouts", settings))
    if "monitoring" in wanted:
        guard = Guard(codec, dead_letters, "monitoring", settings)
        made["monitoring"] = MonitoringService(settings, codec, guard)
    return made


def _state(service: ServiceT) -> str:
    waiting: str = getattr(service, "waiting", "")
    return waiting or str(service.state)

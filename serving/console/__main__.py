"""The web console: `python -m serving.console`."""

import asyncio
import logging
import signal
import sys

from bighead import health, logs
from bighead.config import Settings, load
from bighead.errors import BigheadError
from bighead.events.codec import Codec
from serving.console.app import build
from serving.console.log_state import LogFollower
from serving.http_server import HttpServer

_log = logging.getLogger("serving.console")
GRACE_S = 5.0
_PROBE_S = 3.0


async def serve(settings: Settings) -> None:
    """Serves pages until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    follower = LogFollower(settings, Codec(settings.schema_registry))
    app = build(
        lambda: follower.state, lambda: follower.problem, lambda: health.check_all(settings, timeout_s=_PROBE_S)
    )
    server = HttpServer(app, settings.console, "BIGHEAD_CONSOLE")
    await server.start()
    follower.start()
    _log.info("ready on http://%s", settings.console)
    await stopped.wait()
    await server.stop(GRACE_S)
    await asyncio.to_thread(follower.stop, GRACE_S)


def main() -> int:
    """Runs the console with the settings of the environment."""
    try:
        settings = load()
        logs.configure(settings)
        asyncio.run(serve(settings))
    except BigheadError as error:
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The web console: `python -m serving.console`."""

import asyncio
import logging
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

from bighead import config, health, logs
from bighead.client.models import ModelsClient
from bighead.config import Settings
from bighead.errors import BigheadError
from bighead.events.codec import Codec
from serving.api import app as api
from serving.api.security import Access, ConsoleTokens, check_listening
from serving.console.app import build
from serving.console.desk import PlatformDesk
from serving.console.log_state import LogFollower
from serving.console.reach import Reach
from serving.http_server import HttpServer
from serving.security import tls_of

_log = logging.getLogger("serving.console")
GRACE_S = 5.0
_PROBE_S = 3.0
_THREADS = 64
_COMMAND_S = 30.0


async def serve(settings: Settings) -> None:
    """Serves pages until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    # A command waits in a thread until it is decided, for long where nobody decides: pages need others meanwhile.
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, "console"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    codec = Codec(settings.schema_registry)
    follower = LogFollower(settings, codec)
    tls = tls_of(settings.console_tls_certificate, settings.console_tls_key, variables="BIGHEAD_CONSOLE_TLS")
    tokens = ConsoleTokens(config.console_tokens())
    check_listening(settings.console, tokens)
    access = Access(tokens, settings.actor, secure=tls is not None)
    client = ModelsClient(settings, timeout_s=_COMMAND_S)
    app = build(
        lambda: follower.state,
        lambda: follower.problem,
        lambda: health.check_all(settings, timeout_s=_PROBE_S),
        access,
        PlatformDesk(settings, client),
        Reach(settings, codec),
        tls=tls is not None,
    )
    rest = api.build(settings, codec, access, client, lambda: follower.state, lambda: follower.problem)
    app.mount(api.PREFIX, rest.app)
    server = HttpServer(app, settings.console, "BIGHEAD_CONSOLE", **(tls.http_options() if tls else {}))
    await server.start()
    follower.start()
    _log.info("ready on %s://%s", "https" if tls else "http", settings.console)
    await stopped.wait()
    rest.close()
    await server.stop(GRACE_S)
    await asyncio.to_thread(follower.stop, GRACE_S)


def main() -> int:
    """Runs the console with the settings of the environment."""
    try:
        settings = config.load()
        logs.configure(settings)
        asyncio.run(serve(settings))
    except BigheadError as error:
        _log.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m streams.flink`: the runner of the Flink lane, until SIGTERM."""

import logging
import os
import signal
import threading
import time

import click
import redis

from bighead import config, logs
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import BigheadError
from bighead.events.codec import Codec
from bighead.health import FLINK_HEARTBEAT_KEY, HEARTBEAT_TTL_S, heartbeat
from bighead.local.flink import program_file
from streams.flink.cluster import Cluster
from streams.flink.runner import Runner

_BEAT_S = 1.0
_log = logging.getLogger(__name__)


@click.command(name="python -m streams.flink")
def main() -> None:
    """Keep the Flink cluster at what the feature catalog says."""
    try:
        settings = config.load()
        logs.configure(settings)
        runner = Runner(settings, Codec(settings.schema_registry), Cluster(settings.flink), program_file())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: runner.stop())
        threading.Thread(target=_beat, args=(settings, runner), name="heartbeat", daemon=True).start()
        runner.run()
    except BigheadError as error:
        raise click.ClickException(str(error)) from None


def _beat(settings: Settings, runner: Runner) -> None:
    with redis.Redis.from_url(settings.redis) as client:
        while True:
            try:
                beat = heartbeat(os.getpid(), wall_clock_ms(), {"runner": "running", **runner.states})
                client.set(FLINK_HEARTBEAT_KEY, beat, ex=HEARTBEAT_TTL_S)
            except redis.RedisError as error:
                _log.warning("no heartbeat: %s", error)
            time.sleep(_BEAT_S)


if __name__ == "__main__":
    main()

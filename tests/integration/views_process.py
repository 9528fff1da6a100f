"""A Faust worker that keeps the rows of the models: `python -m tests.integration.views_process`."""

import faust

from bighead import config
from streams import views
from streams.committed import read_committed

if __name__ == "__main__":
    settings = config.load()
    settings.state.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        f"{settings.topic_prefix}.views",
        broker=f"kafka://{settings.kafka}",
        store="memory://",
        web_enabled=False,
        datadir=settings.state / "faust",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        broker_session_timeout=6,
        broker_heartbeat_interval=2,
        broker_request_timeout=10,
    )
    read_committed(app)
    views.register(app, settings)
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()

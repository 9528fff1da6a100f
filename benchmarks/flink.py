"""How fast the Flink lane works through a filled topic, beside Flink's own scan and count of the same topic.

Both are bounded jobs in a JVM of their own; measured is the time that Flink says the job ran, its start included.
"""

import json
import subprocess
from pathlib import Path

from benchmarks import payments
from benchmarks.lane import fill
from benchmarks.report import Report, Row
from benchmarks.stack import say, stack
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.codec import Codec
from bighead.events.log import end_offsets
from bighead.events.topics import FEATURES_STATE, topic_name
from bighead.features.catalog import FLINK, GroupEpoch
from bighead.features.compiled import compile_group
from bighead.features.types import columns_of
from bighead.local.flink import class_path, flink_home
from bighead.local.parts import INFRASTRUCTURE
from streams.flink import local
from streams.flink.job import PROFILES, describe

EVENTS = 1_000_000
GOAL_EVENTS_S = 100_000


def run(events: int = EVENTS) -> Report:
    """Fills a topic; Flink counts it, and computes the group in both profiles."""
    class_path(say)  # fetches and compiles before anything is measured
    with stack(INFRASTRUCTURE) as platform:
        settings = platform.settings
        schema_id = payments.create(settings)
        fill(settings, schema_id, events)
        rows = [_scan(settings, events), *(_lane(settings, name, events) for name in reversed(PROFILES))]
    scan, lane = float(rows[0]["events/s"]), float(rows[1]["events/s"])
    return Report(
        "flink",
        f"{events:,} events, {payments.ACCOUNTS:,} keys, 3 operations x 3 levels",
        rows,
        {"lane to scan and count": lane / scan},
        {f"{GOAL_EVENTS_S:,} events/s on two cores": lane >= GOAL_EVENTS_S},
        ["the start of each job, one to two seconds, counts"],
    )


def _scan(settings: Settings, events: int) -> Row:
    say("measuring: Flink's scan and count")
    home = flink_home()
    if home is None:
        raise PlatformError("Flink is not installed: run `make flink`")
    python = home.parents[3] / "bin" / "python"
    connector = next(str(jar) for jar in class_path() if "connector-kafka" in jar.name)
    command = [str(python), str(Path(__file__).with_name("flink_scan.py")), settings.kafka, payments.TOPIC, connector]
    printed = subprocess.run(command, capture_output=True, text=True)
    answers = [line for line in printed.stdout.splitlines() if line.startswith("{")]
    if printed.returncode or not answers:
        raise PlatformError(f"the scan ended with {printed.returncode}: {printed.stderr[-2000:]}")
    found = json.loads(answers[-1])
    if found["count"] != events:
        raise PlatformError(f"the scan counted {found['count']} of {events} events")
    return _row("Flink's scan and count", events, found["seconds"], 0)


def _lane(settings: Settings, name: str, events: int) -> Row:
    say(f"measuring: the Flink lane, {name}")
    codec = Codec(settings.schema_registry)
    group = compile_group(payments.GROUP, columns_of(payments.SCHEMA))
    state = topic_name(settings.topic_prefix, FEATURES_STATE)
    before = sum(end_offsets(settings, state).values())
    told = describe(
        settings,
        codec,
        [GroupEpoch(1, group, None, engine=FLINK)],
        PROFILES[name],
        consumers=f"benchmark-{name}",
        checkpoints=(settings.home / "checkpoints" / name).as_uri(),
        one_time=True,
        bounded=True,
    )
    seconds = local.run(told, settings.home / f"flink-{name}")
    codec.close()
    return _row(f"the lane, {name}", events, seconds, sum(end_offsets(settings, state).values()) - before)


def _row(what: str, events: int, seconds: float, tiles: int) -> Row:
    return {"what": what, "events": events, "seconds": seconds, "events/s": events / seconds, "tiles written": tiles}

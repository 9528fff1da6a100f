"""Writes the archives of Java's classes: starts the broker, the registry and Spark once, and lets them end.

Else the first of them would write its archive when it ends, and what starts meanwhile would take twice as long.
"""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from batch.session import spark_session
from bighead import config
from bighead.errors import BigheadError
from bighead.local.parts import INFRASTRUCTURE
from bighead.local.platform import Platform
from bighead.local.ports import free_settings


def infrastructure(home: Path) -> None:
    """A platform whose topics and schemas are made, then stopped."""
    platform = Platform(free_settings(home))
    try:
        platform.up(INFRASTRUCTURE)
    finally:
        platform.down()


def spark(home: Path) -> None:
    """What every command of batch does with a table: writes, appends, reads and sums up."""
    session = spark_session(config.load({"BIGHEAD_HOME": str(home)}), "archive")
    rows, table = session.createDataFrame([(1, 2.0), (2, 3.0)], "number long, amount double"), str(home / "table")
    rows.write.format("delta").save(table)
    rows.write.format("delta").mode("append").save(table)
    session.read.format("delta").load(table).groupBy("number").sum("amount").toArrow()
    gateway: Any = session.sparkContext._gateway
    session.stop()
    # Java goes on until its standard input is closed, and writes only then.
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


def main() -> int:
    """Both at the same time: each waits for the other's disk and processor."""
    with tempfile.TemporaryDirectory(prefix="bighead-archives-") as place, ThreadPoolExecutor() as pool:
        done = [pool.submit(work, Path(place) / work.__name__) for work in (infrastructure, spark)]
        for one in done:
            try:
                one.result()
            except BigheadError as error:
                print(f"error: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

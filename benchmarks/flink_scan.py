"""Flink's own scan and count of a topic, for comparison. Run by the Python of .venv-flink: KAFKA TOPIC JARS."""

import json
import sys

from pyflink.table import EnvironmentSettings, TableEnvironment  # type: ignore[import-not-found]

SOURCE = """
CREATE TABLE scanned (event BYTES) WITH (
  'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{kafka}', 'format' = 'raw',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset')
"""


def main(kafka: str, topic: str, jars: str) -> None:
    """Prints how long it took, seconds, and what was counted."""
    tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
    settings = tables.get_config()
    settings.set("pipeline.jars", ";".join(f"file://{jar}" for jar in jars.split(":")))
    settings.set("parallelism.default", "1")
    settings.set("pipeline.object-reuse", "true")
    tables.execute_sql(SOURCE.format(topic=topic, kafka=kafka))
    counted = tables.execute_sql("SELECT COUNT(*), SUM(CHAR_LENGTH(CAST(event AS STRING))) FROM scanned")
    rows = [list(row) for row in counted.collect()]
    client = counted.get_job_client()
    runtime_ms = client.get_job_execution_result().result().get_net_runtime() if client else 0
    print(json.dumps({"seconds": runtime_ms / 1000, "count": rows[0][0]}))


if __name__ == "__main__":
    main(*sys.argv[1:])

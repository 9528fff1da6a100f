"""The Spark session of every batch command: pinned jars by path, Delta, loopback; nothing is downloaded.

Knows Spark, and where the platform keeps its jars and its Java.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyspark
from pyspark.sql import SparkSession

from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.local.archives import archive_options
from bighead.local.jars import class_path, jvm_folder
from bighead.local.java import JAVA_FOR_SPARK, find_java, spark_java_home

DEFAULT_MASTER = "local[2]"

_SETTINGS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
}
# What the quick compiler makes of a long run outgrows its default of 48 MB; then Java interprets whatever comes new.
_JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"
_SETTINGS_OF_ONE_MACHINE = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "4g",
    "spark.sql.shuffle.partitions": "4",
    # There is nothing to adapt with four partitions, and planning a training set again after each stage takes longest.
    "spark.sql.adaptive.enabled": "false",
    # 50 by default: on one machine half of the time of a Delta job.
    "spark.databricks.delta.snapshotPartitions": "2",
    # 10,000 by default: so many tasks does VACUUM start to list even the smallest table.
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
    "spark.ui.showConsoleProgress": "false",
}


def spark_session(
    settings: Settings, name: str, *, master: str = DEFAULT_MASTER, conf: Mapping[str, str] | None = None
) -> SparkSession:
    """A session with Delta and Kafka. `master` and `conf` are Spark's own, so a cluster works as well."""
    missing = [str(jar) for jar in class_path("spark") if not jar.exists()]
    if missing:
        raise PlatformError(f"Spark's jars are not in place ({', '.join(missing)}); run `make jars`")
    # PySpark finds its Java and its workers' Python by these variables alone.
    os.environ["JAVA_HOME"] = str(spark_java_home(settings.home / "cache"))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(master).appName(name)
    for key, value in (_SETTINGS | _where(settings, master) | dict(conf or {})).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _where(settings: Settings, master: str) -> dict[str, str]:
    jars = [str(jar) for jar in class_path("spark")]
    if not master.startswith("local"):
        return {"spark.jars": ",".join(jars)}
    logging = f"-Dlog4j2.configurationFile=file:{Path(__file__).with_name('log4j2.properties')}"
    return _SETTINGS_OF_ONE_MACHINE | {
        "spark.driver.extraClassPath": ":".join(jars),
        "spark.driver.extraJavaOptions": f"{_JVM} {logging} {_class_archive(jars)}",
        "spark.sql.warehouse.dir": str(settings.home / "cache" / "spark-warehouse"),
    }


def _class_archive(jars: Sequence[str]) -> str:
    """Java's options for the archive of Spark's classes: half of a session's start."""
    options = archive_options("spark", find_java(JAVA_FOR_SPARK), [pyspark.__version__, *jars])
    return "" if " " in str(jvm_folder()) else " ".join(options)  # Spark splits these options at spaces

"""What the commands of `python -m batch` share: settings, one Spark session, and how results are shown."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import click
from pyspark.sql import SparkSession

from batch.session import spark_session
from bighead import config
from bighead.client.catalog import read_catalog
from bighead.commands.text import json_line
from bighead.config import Settings
from bighead.events.codec import Codec
from bighead.features.catalog import Catalog

as_json = click.option("--json", "as_json", is_flag=True, help="The result as one line of JSON.")


@dataclass
class Work:
    """What the commands of one line share."""

    master: str
    settings: Settings = field(default_factory=config.load)

    @cached_property
    def spark(self) -> SparkSession:
        """Started when a command needs it first."""
        progress("starting Spark")
        return spark_session(self.settings, "bighead", master=self.master)

    @cached_property
    def codec(self) -> Codec:
        """Shared, so that each schema is asked for once."""
        return Codec(self.settings.schema_registry)

    def catalog(self) -> Catalog:
        """As of now: an earlier command of the line may have changed it."""
        return read_catalog(self.settings, self.codec)

    def close(self) -> None:
        """Ends what was started."""
        if "codec" in vars(self):
            self.codec.close()
        if "spark" in vars(self):
            self.spark.stop()


def progress(line: str) -> None:
    """A line for whoever watches."""
    click.echo(line, err=True)


def show(result: Mapping[str, Any], as_json: bool, text: str) -> None:
    """A result, for people or for programs."""
    click.echo(json_line(result) if as_json else text)

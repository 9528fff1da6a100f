"""Runs a Flink job inside one JVM and waits for its end: for tests and measurements over what a topic holds.

Knows the class path and processes; a cluster and its restarts are in `runner`.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bighead.errors import PlatformError
from bighead.local.flink import JAVA_FOR_FLINK, class_path
from bighead.local.java import find_java
from streams.flink.job import MAIN

# Flink reaches into these packages; its own scripts open them as well.
OPENED = (
    "java.base/java.lang",
    "java.base/java.lang.reflect",
    "java.base/java.math",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
    "java.base/sun.net.util",
)


def java_command(memory_mb: int, folder: Path) -> list[str]:
    """Java with the memory, a temporary folder in `folder`, and everything that Flink loads."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    opened = [f"--add-opens={package}=ALL-UNNAMED" for package in OPENED]
    heap = [f"-Xmx{memory_mb}m", "-XX:+UseSerialGC", "-XX:-UsePerfData", f"-Djava.io.tmpdir={temporary}"]
    return [str(find_java(JAVA_FOR_FLINK)), *heap, *opened, "-cp", ":".join(map(str, class_path()))]


def run(description: Mapping[str, Any], folder: Path, *, memory_mb: int = 768, timeout_s: float = 300.0) -> None:
    """Runs a bounded job to its end; raises PlatformError with the end of its log where it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "job.json"
    told.write_text(json.dumps(description))
    command = [*java_command(memory_mb, folder), MAIN, f"@{told}"]
    log = folder / "job.log"
    with log.open("w") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, timeout=timeout_s).returncode
    if code != 0:
        raise PlatformError(f"the Flink job ended with {code}; the end of {log}:\n{log.read_text()[-4000:]}")

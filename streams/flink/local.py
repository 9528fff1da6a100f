"""Runs a Flink job inside one JVM and waits for its end: for tests and measurements over what a topic holds.

Knows the class path and processes; a cluster and its restarts are in `runner`.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bighead.errors import PlatformError
from bighead.local.flink import class_path, java_command
from streams.flink.job import MAIN


def run(description: Mapping[str, Any], folder: Path, *, memory_mb: int = 768, timeout_s: float = 300.0) -> float:
    """Runs a bounded job to its end and says how long it ran, seconds; raises PlatformError where it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / "job.json"
    told.write_text(json.dumps(description))
    command = [*java_command(memory_mb, folder, class_path()), MAIN, f"@{told}"]
    log = folder / "job.log"
    with log.open("w") as output:
        code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, timeout=timeout_s).returncode
    printed = log.read_text()
    answers = [line for line in printed.splitlines() if line.startswith('{"runtime_ms"')]
    if code != 0 or not answers:
        raise PlatformError(f"the Flink job ended with {code}; the end of {log}:\n{printed[-4000:]}")
    return float(json.loads(answers[-1])["runtime_ms"]) / 1000

"""A model's first load happens in a process that may die: what crashes it there never reaches the server.

The child loads the file, runs its golden rows and warms it up as the server would, and says how much memory it took.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from bighead.errors import ArtifactError
from bighead.events.types import ModelRecord
from bighead.inference.loading import LoadFailed, Steps, prove
from bighead.registry.records import record_from_json

TRIAL_S = 120.0
_REFUSED = 3
_ERROR_CHARACTERS = 2000


def try_out(path: Path, record: ModelRecord, timeout_s: float = TRIAL_S) -> int:
    """Bytes of memory that the model needs, as a process of its own found.

    Raises LoadFailed with the step in which it was refused there, ArtifactError where the process ended otherwise.
    """
    request = json.dumps({"path": str(path), "record": record.to_record()})
    command = [sys.executable, "-m", "bighead.inference.trial"]
    try:
        ended = subprocess.run(command, input=request, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise ArtifactError(f"its first load did not end within {timeout_s:g} s and was stopped") from error
    answer = ended.stdout.splitlines()[-1:]  # ONNX Runtime may print before
    if ended.returncode == 0 and answer:
        return int(answer[0])
    if ended.returncode == _REFUSED and answer:
        raise LoadFailed(**json.loads(answer[0]))
    said = ended.stderr.strip()[-_ERROR_CHARACTERS:]
    raise ArtifactError(f"the process that loaded it first {_end(ended.returncode)}{f': {said}' if said else ''}")


def _end(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def main() -> int:
    """Reads a request from standard input; prints bytes, or why the model is refused."""
    request = json.loads(sys.stdin.read())
    record = record_from_json(json.dumps(request["record"]))
    process, steps = psutil.Process(os.getpid()), Steps()
    before = process.memory_info().rss
    try:
        proven = prove("trial", 1, Path(request["path"]), record, steps)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is why the model is refused
        print(json.dumps({"step": steps.current, "message": f"{type(error).__name__}: {error}"}))  # noqa: T201
        return _REFUSED
    print(max(0, process.memory_info().rss - before))  # noqa: T201
    del proven
    return 0


if __name__ == "__main__":
    sys.exit(main())

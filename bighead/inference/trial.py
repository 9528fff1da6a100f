"""A model's first load happens in a process that may die: what crashes it there never reaches the server.

That process is a fork of one that has everything imported and has loaded nothing, so that each of hundreds of models is
tried alone, in milliseconds. It loads the file, runs its golden rows and warms it up as the server would, and says how
much memory it took.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

import psutil

from bighead.errors import ArtifactError
from bighead.events.types import ModelRecord
from bighead.inference.loading import LoadFailed, Steps, prove
from bighead.registry.records import record_from_json

TRIAL_S = 120.0
IDLE_S = 10.0
"""So long the process waits for the next model; then its memory is better used by others."""
_REFUSED = 3
_ERROR_CHARACTERS = 2000
_SMALL_BYTES = 64 << 20


class Trials:
    """Tries one model after the other, each in a process of its own. For one thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def try_out(self, path: Path, record: ModelRecord, timeout_s: float = TRIAL_S) -> int:
        """Bytes of memory that the model needs, as a process of its own found.

        Raises LoadFailed with the step in which it was refused there, ArtifactError where the process ended otherwise.
        """
        request = json.dumps({"path": str(path), "record": record.to_record()})
        ended = self._asked(request, timeout_s) or self._asked(request, timeout_s)  # the first may have ended, idle
        if ended is None:
            raise ArtifactError("the process that loads models first ended before it had loaded this one")
        if ended["code"] == 0:
            return int(ended["answer"])
        if ended["code"] == _REFUSED:
            raise LoadFailed(**json.loads(ended["answer"]))
        raise _died(ended["code"], ended["said"])

    def close(self) -> None:
        """Ends the process that waits, and what it has begun."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def _asked(self, request: str, timeout_s: float) -> dict[str, Any] | None:
        """How the trial ended; None where nobody tried, since the process had ended for want of work."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 - both are pipes
        try:
            process.stdin.write(f"{request}\n")
            process.stdin.flush()
            if not select.select([process.stdout], [], [], timeout_s)[0]:
                self.close()
                raise ArtifactError(f"its first load did not end within {timeout_s:g} s and was stopped")
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            ended: dict[str, Any] = json.loads(answer)
            return ended
        said = process.stderr.read() if process.stderr is not None else ""
        code = process.wait()
        self.close()
        if code:
            raise _died(code, said)
        return None

    def _started(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bighead.inference.trial"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # so that what it has begun ends with it
            )
        return self._process


def try_out(path: Path, record: ModelRecord, timeout_s: float = TRIAL_S) -> int:
    """A trial of one model alone, as in `Trials`."""
    with Trials() as trials:
        return trials.try_out(path, record, timeout_s)


def _died(code: int, said: str) -> ArtifactError:
    end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    said = said.strip()[-_ERROR_CHARACTERS:]
    return ArtifactError(f"the process that loaded it first {end}{f': {said}' if said else ''}")


def main() -> int:
    """Answers each request on standard input, a line each, with how the trial of that model ended."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what ONNX Runtime prints is no answer
    while select.select([sys.stdin], [], [], IDLE_S)[0]:
        request = sys.stdin.readline()
        if not request:
            break
        print(json.dumps(_forked(request, answers.fileno())), file=answers, flush=True)
    return 0


def _forked(request: str, answers: int) -> dict[str, Any]:
    told, tell = os.pipe()
    with tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os.close(answers)  # else nobody would see that the process which waits for this one has died
            os.dup2(errors.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            os._exit(_tried(request, tell))
        os.close(tell)
        with os.fdopen(told) as pipe:
            answer = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        errors.seek(0)
        return {"code": code, "answer": answer, "said": errors.read().decode("utf-8", "replace")}


def _tried(text: str, tell: int) -> int:
    """The trial itself: writes bytes, or why the model is refused."""
    request = json.loads(text)
    record = record_from_json(json.dumps(request["record"]))
    steps = Steps()
    try:
        needed = _weighed(Path(request["path"]), record, steps)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is why the model is refused
        os.write(tell, json.dumps({"step": steps.current, "message": f"{type(error).__name__}: {error}"}).encode())
        return _REFUSED
    os.write(tell, str(needed).encode())
    return 0


def _weighed(path: Path, record: ModelRecord, steps: Steps) -> int:
    """What one more such model takes. The first of a process takes 11 MB for ONNX Runtime itself, which hundreds of
    small ones share: so a small one is loaded once more.
    """
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    held = [prove("trial", 1, path, record, steps)]
    needed = process.memory_info().rss - before
    if needed < _SMALL_BYTES:
        before = process.memory_info().rss
        held.append(prove("trial", 1, path, record, steps))
        needed = process.memory_info().rss - before
    return max(needed, record.artifact_size)


if __name__ == "__main__":
    sys.exit(main())

"""A model server without a platform, in a process of its own, which may crash.

`python -m tests.unit.serving.elsewhere FOLDER` serves `times`, `mixed` and `every`, prints its addresses, and ends with
its input.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bighead.features.plan import FeatureRow
from bighead.inference.loading import load
from bighead.inference.signature import Row
from bighead.registry.state import Segments
from serving.answers import Answer
from serving.predictor import Predictor
from tests.unit.serving.fakes import NOW_MS, FakeReader, predictor_of
from tests.unit.serving.models import every_stored, mixed_stored, times_stored
from tests.unit.serving.running import Addresses, running

ROOT = Path(__file__).parents[3]


class Forgetful:
    """A log that keeps nothing, so that the memory of the process is the server's own."""

    def offer(self, answer: Answer) -> None:
        """Drops it."""


class ForgetfulReader(FakeReader):
    """The join `flight`, without a memory of who asked."""

    async def read(self, join: str, entities: Sequence[Row], as_of_ms: int, timeout_s: float) -> Sequence[FeatureRow]:
        found = await super().read(join, entities, as_of_ms, timeout_s)
        self.asked.clear()
        return found


def models(folder: Path) -> Predictor:
    """`times`, which is partitioned, `mixed` and `every`, ready to answer."""
    records = {"times": times_stored(folder, 2.0), "mixed": mixed_stored(folder), "every": every_stored(folder)}
    loaded = [load(name, 1, record)[0] for name, record in records.items()]
    predictor = Predictor(ForgetfulReader(), Forgetful(), lambda: NOW_MS)
    snapshot = predictor_of(*loaded).snapshot
    partitioned = replace(snapshot.models["times"], segments=Segments(("id",), {"id=a": 1}))
    predictor.snapshot = replace(snapshot, models={**snapshot.models, "times": partitioned})
    return predictor


@contextmanager
def elsewhere(folder: Path) -> Iterator[tuple[Addresses, int]]:
    """The addresses of the server and its process id; an AssertionError where it did not live to the end."""
    command = [sys.executable, "-m", "tests.unit.serving.elsewhere", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the server has no pipes")
        try:
            yield Addresses(*process.stdout.readline().split()), process.pid
            if process.poll() is not None:
                raise AssertionError(f"the server ended with {process.returncode}")
        finally:
            process.stdin.close()
            process.wait(20)


if __name__ == "__main__":
    with running(models(Path(sys.argv[1]))) as started:
        print(*started, flush=True)
        sys.stdin.read()

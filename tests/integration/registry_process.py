"""The registry's writer as a process of its own, to be killed: `python -m tests.integration.registry_process [faults]`.

With `faults`, for each step that a line of standard input names a writer is forked, which kills itself right after
that step of a decision; the signal that ended it is the answer. A fork is there at once: nothing is imported again.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, Producer

from bighead import config
from bighead.config import Settings
from bighead.events.base import Event
from bighead.events.message import Message
from streams import registry
from streams.registry import RegistryWriter, Written

FAULTS = ("read", "decided", "begun", "produced", "offsets", "committed", "changed")
"""The steps of a decision. After "produced" the first of several events has reached the log; "committed" is before the
writer's own state changes, "changed" after."""
_LONGEST_S = 60


class FaultyProducer(Producer):
    """Tells of each step of a transaction when it is done."""

    def __init__(self, done: Callable[..., None], configured: dict[str, Any], **options: Any) -> None:
        super().__init__(configured, **options)
        self._done = done

    def begin_transaction(self) -> None:
        super().begin_transaction()
        self._done("begun")

    def produce(self, *arguments: Any, **options: Any) -> None:
        super().produce(*arguments, **options)
        self._done("produced", self.flush)  # else it may have been on its way only

    def send_offsets_to_transaction(self, *arguments: Any) -> None:
        super().send_offsets_to_transaction(*arguments)
        self._done("offsets")

    def commit_transaction(self, *arguments: Any) -> None:
        super().commit_transaction(*arguments)
        self._done("committed")


class FaultyWriter(RegistryWriter):
    """Dies of SIGKILL after the step `fault` of its second decision."""

    def __init__(self, settings: Settings, fault: str) -> None:
        super().__init__(settings)
        self._fault = fault
        self._decisions = 0
        registry.Producer = self._faulty_producer  # type: ignore[assignment, attr-defined]

    def _faulty_producer(self, configured: dict[str, Any], **options: Any) -> FaultyProducer:
        return FaultyProducer(self._done, configured, **options)

    def _done(self, step: str, before: Callable[[], object] = lambda: None) -> None:
        if step == self._fault and self._decisions >= 2:
            before()
            os.kill(os.getpid(), signal.SIGKILL)

    def _answer(self, consumer: Consumer, message: Message) -> None:
        self._decisions += 1
        self._done("read")
        super()._answer(consumer, message)

    def _decide(self, event: Event, message: Message) -> list[Written]:
        decided = super()._decide(event, message)
        self._done("decided")
        return decided

    def _count(self, written: list[Written], dead: bool) -> None:
        self._done("changed")
        super()._count(written, dead)


def ending(fault: str) -> int:
    """Forks a writer that dies at a step; the signal that ended it."""
    child = os.fork()
    if not child:
        signal.alarm(_LONGEST_S)
        FaultyWriter(config.load(), fault).run(threading.Event())
        os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    if "faults" in sys.argv[1:]:
        for line in sys.stdin:
            print(ending(line.strip()), flush=True)
    else:
        RegistryWriter(config.load()).run(threading.Event())

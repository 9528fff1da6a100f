"""The steps of a run: each is told as an event, and what one made is kept: from the same it is not made again."""

import hashlib
import pickle
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from bighead.client.run_log import Outcome, RunLog, canonical
from bighead.training.workspace import Workspace

T = TypeVar("T")
Progress = Callable[[str], None]
KEPT = "kept"


class Steps:
    """One attempt at a run. Each step's key follows from what it is given and from all steps before it."""

    def __init__(self, log: RunLog, workspace: Workspace, say: Progress) -> None:
        self.log = log
        self.workspace = workspace
        self.say = say
        self._key = log.id

    def also_from(self, what: Mapping[str, Any]) -> None:
        """What the steps from here on follow from, too."""
        self._key = self._next("", what)

    def do(self, name: str, make: Callable[[Outcome], T], *, known: bool = True) -> T:
        """What the step made, now or before. known: whether the key says all that it follows from."""
        self._key = self._next(name, {})
        with self.log.step(name) as outcome:
            if known and self.workspace.has(name, self._key):
                found = self.workspace.value(name, self._key)
                if found is not None:
                    self.say(f"{name}: done before")
                    outcome.rows, outcome.outputs[KEPT] = found[1], True
                    return cast("T", found[0])
            self.say(name)
            made = make(outcome)
            self._keep(name, (made, outcome.rows))
            return made

    def _keep(self, name: str, value: Any) -> None:
        try:
            self.workspace.keep(name, self._key, value)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            self.say(f"{name}: cannot be kept, a run that is interrupted does it again ({error})")

    def _next(self, name: str, what: Mapping[str, Any]) -> str:
        return hashlib.sha256(f"{self._key}\n{name}\n{canonical(what)}".encode()).hexdigest()

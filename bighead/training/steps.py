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
        """What the step made, now or before.

        known: whether it is kept, and not made again where its key, which then says all that it follows from, is as it
        was. Other steps are made in each attempt: what they follow from is elsewhere, or they keep it in parts.
        """
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
            if known:
                self._keep(name, self._key, (made, outcome.rows))
            return made

    def part(self, name: str) -> Any | None:
        """Of the step that is being done, what an earlier attempt has kept of a part; None where there is nothing."""
        return self.workspace.value(*self._part(name))

    def keep_part(self, name: str, value: Any) -> None:
        """Keeps a part of the step that is being done."""
        self._keep(*self._part(name), value)

    def _part(self, name: str) -> tuple[str, str]:
        """A part's marker, which any text can name, and its key."""
        key = self._next(name, {})
        return f"part-{hashlib.sha256(name.encode()).hexdigest()[:32]}", key

    def _keep(self, name: str, key: str, value: Any) -> None:
        try:
            self.workspace.keep(name, key, value)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            self.say(f"{name}: cannot be kept, a run that is interrupted does it again ({error})")

    def _next(self, name: str, what: Mapping[str, Any]) -> str:
        return hashlib.sha256(f"{self._key}\n{name}\n{canonical(what)}".encode()).hexdigest()

"""The journal of a search: its specification and its finished trials in one file, so that it can go on later.

The file is a journal of Optuna (its dashboard reads it); one search holds it at a time. A trial is one line, written
when it has ended: what a killed search had begun is done again, with the same outcome.
"""

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bighead.errors import ModelError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_STUDY, _SPECIFICATION, NUMBER = "search", "specification", "number"


class Journal:
    """The finished trials of one search, in memory and, where it has a file, on disk."""

    def __init__(self, study: "Study") -> None:
        self._study = study

    @property
    def trials(self) -> "dict[int, FrozenTrial]":
        """The finished trials by their number, in order: they were written as they ended."""
        found = {int(trial.user_attrs[NUMBER]): trial for trial in self._study.get_trials(deepcopy=False)}
        return dict(sorted(found.items()))

    def add(self, trial: "FrozenTrial") -> None:
        """Writes a finished trial."""
        self._study.add_trial(trial)

    def check(self, specification: Mapping[str, Any]) -> None:
        """Raises ModelError where the journal is that of another search."""
        wanted = json.loads(json.dumps(specification))
        kept = self._study.user_attrs.get(_SPECIFICATION)
        if kept is None:
            self._study.set_user_attr(_SPECIFICATION, wanted)
        elif kept != wanted:
            others = ", ".join(sorted(name for name in {*wanted, *kept} if wanted.get(name) != kept.get(name)))
            raise ModelError(
                f"the journal holds a search with another {others}; give this one a journal of its own, or ask for the "
                "same as before"
            )


@contextmanager
def journal(path: Path | None) -> Iterator[Journal]:
    """The journal in a file, which is made where there is none; without a path one in memory.

    Raises ModelError where another process searches with it.
    """
    import optuna

    if path is None:
        yield Journal(optuna.create_study(direction="maximize", study_name=_STUDY))
        return
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelError(f"another process searches with the journal {path}; wait for it, or use another") from None
        _without_torn_line(path)
        lock: Any = _Held()  # Optuna asks for a subclass of a class that it does not publish
        storage = JournalStorage(JournalFileBackend(str(path), lock))
        yield Journal(
            optuna.create_study(storage=storage, study_name=_STUDY, direction="maximize", load_if_exists=True)
        )


class _Held:
    """Optuna's lock for each line, as one that does nothing: the file is held as a whole, until its holder dies."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None: ...


def _without_torn_line(path: Path) -> None:
    """Takes away the half of a line that a writer who was killed has left: the next one would be joined to it."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)

"""Who a worker is to Kafka's consumer groups, and that nobody else is it: a name and a lock in its state folder."""

import fcntl
import uuid
from contextlib import suppress
from pathlib import Path
from typing import IO

from bighead.errors import PlatformError


def instance_id(folder: Path, part: str) -> str:
    """The name under which a part of the worker whose state folder this is joins a group; made up once, then kept.

    So whoever comes back within the group's session gets back what it had, at once, and nobody else does.
    """
    path = folder / f"{part}-instance"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{part}-{uuid.uuid4().hex}")
    return path.read_text()


class FolderLock:
    """One process at a time runs a part on a state folder; the lock goes with the process, however it ends."""

    def __init__(self, folder: Path, part: str) -> None:
        self._path = folder / f"{part}.lock"
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Raises PlatformError where another process has it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = self._path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise PlatformError(
                f"another process holds {self._path} ({error.strerror}); each worker needs a state folder of its own: "
                "set BIGHEAD_STATE"
            ) from error
        self._file = file

    def leave(self) -> None:
        """Gives it back, where it was taken."""
        if self._file is not None:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)
            self._file.close()
            self._file = None

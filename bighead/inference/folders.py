"""Where the file of a model lies while it is loaded: a temporary folder of the process that loads it.

A process that is killed leaves its folder; the next server of the same user removes it.
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_PREFIX = "bighead-model-"
_CLOCK_S = 1.0
"""How far the start of a process and the time of a file, which different clocks tell, may lie apart."""


@contextmanager
def loading_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as folder:
        yield Path(folder)


def sweep() -> list[Path]:
    """Removes folders whose processes are gone, of this user alone; returns those that were there."""
    left = [folder for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*") if _is_left(folder)]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return left


def _is_left(folder: Path) -> bool:
    pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
    try:
        found = folder.lstat()
    except FileNotFoundError:  # another server that starts removed it
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return ours and pid.isdecimal() and not _is_writers(int(pid), found.st_mtime)


def _is_writers(pid: int, written_s: float) -> bool:
    """Whether the process lives and is the one that wrote then: numbers come again, in a container always."""
    try:
        return psutil.Process(pid).create_time() <= written_s + _CLOCK_S
    except psutil.NoSuchProcess:
        return False

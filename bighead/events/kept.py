"""A file of what was read of a topic, so that a process that starts again need not read it again from Kafka.

It is only a copy: whatever of it does not hold what was written is as if it were not there. Rows are added in chunks,
each with the checksum of itself and of all before it, so a chunk is there as a whole or not at all, whatever is killed.
Knows files; what the rows hold is its user's business.
"""

import fcntl
import hashlib
import logging
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)
_MAGIC = b"bighead rows 1\n\x00"
_HEAD = struct.Struct(f">{len(_MAGIC)}sQ32s")
_ROW = struct.Struct(">IqHI")


@dataclass(frozen=True, slots=True)
class Row:
    """What lies at an offset of a partition; `kind` says how `value` is to be read."""

    partition: int
    offset: int
    kind: int
    value: bytes


class KeptRows:
    """The rows at `path`. `fingerprint` says how they were written: those that were written otherwise do not count."""

    def __init__(self, path: Path, fingerprint: bytes) -> None:
        self._path = path
        self._first = self._chained = hashlib.sha256(fingerprint).digest()
        self._size = 0
        self._adds = True

    def load(self) -> Iterator[list[Row]]:
        """The chunks from the first to the last that is whole; later ones are forgotten."""
        self._size, self._chained = 0, self._first
        try:
            with self._path.open("rb") as file:
                left = os.fstat(file.fileno()).st_size
                while (body := _next(file.read(_HEAD.size), file.read, self._chained, left)) is not None:
                    left -= _HEAD.size + len(body)
                    self._size += _HEAD.size + len(body)
                    self._chained = _digest(self._chained, body)
                    yield list(_rows(body))
                if left:
                    _log.warning("%s holds %d bytes that are not what was written; they do not count", self._path, left)
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("%s cannot be read, and nothing is added to it: %s", self._path, error)
            self._adds = False

    def add(self, rows: Iterable[Row]) -> None:
        """Adds a chunk behind what was loaded and added. Where that fails, or another process has added one, nothing is
        added any more: a copy is no duty, and must have no gap."""
        if not self._adds:
            return
        body = b"".join(_ROW.pack(row.partition, row.offset, row.kind, len(row.value)) + row.value for row in rows)
        digest = _digest(self._chained, body)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file.fileno()).st_size != self._size:
                    if not self._is_torn():
                        self._adds = False
                        return
                    file.truncate(self._size)
                file.write(_HEAD.pack(_MAGIC, len(body), digest) + body)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            _log.warning("nothing is added to %s any more: %s", self._path, error)
            self._adds = False
            return
        self._size += _HEAD.size + len(body)
        self._chained = digest

    def forget(self) -> None:
        """Begins anew: what is there does not count any more."""
        self._size, self._chained = 0, self._first

    def _is_torn(self) -> bool:
        """Whether what lies behind our last chunk is none of this kind, or what we have forgotten."""
        with self._path.open("rb") as file:
            file.seek(self._size)
            left = os.fstat(file.fileno()).st_size - self._size
            return self._size == 0 or _next(file.read(_HEAD.size), file.read, self._chained, left) is None


def _next(head: bytes, read: Callable[[int], bytes], chained: bytes, left: int) -> bytes | None:
    """The body of the chunk that begins here, or None where it is not whole or not what was written."""
    if len(head) < _HEAD.size:
        return None
    magic, length, digest = _HEAD.unpack(head)
    if magic != _MAGIC or length > left - _HEAD.size:
        return None
    body = read(length)
    return body if _digest(chained, body) == digest else None


def _digest(chained: bytes, body: bytes) -> bytes:
    digest = hashlib.sha256(chained)
    digest.update(body)  # and not the sum of both, which would be a copy
    return digest.digest()


def _rows(body: bytes) -> Iterator[Row]:
    at = 0
    while at < len(body):
        partition, offset, kind, length = _ROW.unpack_from(body, at)
        at += _ROW.size + length
        yield Row(partition, offset, kind, body[at - length : at])

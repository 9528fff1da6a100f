"""Content-addressed files: stored under their SHA-256, moved into place whole, verified when they are fetched.

Knows fsspec and nothing of models.
"""

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from bighead.errors import ArtifactError

_SHA256 = re.compile(r"[0-9a-f]{64}")
CHUNK_BYTES = 1 << 20
_WITHOUT_FOLDERS = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs"})


@dataclass(frozen=True, slots=True)
class Artifact:
    """Where a file's bytes are, and what they are."""

    uri: str
    sha256: str
    size: int


def put(root: str, path: Path) -> Artifact:
    """Stores `path` at `{root}/sha256/ab/abcdef..`; storing the same bytes again changes nothing."""
    return _put(root, str(path), lambda: path.open("rb"))


def put_bytes(root: str, name: str, content: bytes) -> Artifact:
    """Stores bytes as `put` stores a file; `name` is for the error that says what cannot be stored."""
    return _put(root, name, lambda: BytesIO(content))


def read(root: str, sha256: str, size: int) -> bytes:
    """The bytes that were put under `root` with this SHA-256 and size; raises ArtifactError for any others."""
    with _telling(f"{_shown(root)} does not give the {size} bytes with the SHA-256 {sha256}"):
        filesystem, folder = _opened(root)
        target = BytesIO()
        with filesystem.open(_place(folder, sha256), "rb") as source:
            received = _copy(source, target.write, at_most=size)
    if received != (sha256, size):
        raise ArtifactError(f"{_shown(root)} holds other bytes: {_difference((sha256, size), received)}")
    return target.getvalue()


def stored(root: str, sha256: str) -> Artifact | None:
    """What was put under `root` with this SHA-256, checked again; None where there is nothing, or other bytes."""
    if not _SHA256.fullmatch(sha256):
        return None
    with _telling(f"{_shown(root)} does not say whether it has the SHA-256 {sha256}"):
        filesystem, folder = _opened(root)
        place = _place(folder, sha256)
        if not filesystem.exists(place):
            return None
        with filesystem.open(place, "rb") as source:
            received, size = _copy(source, None)
    return Artifact(filesystem.unstrip_protocol(place), sha256, size) if received == sha256 else None


def _put(root: str, name: str, content: Callable[[], BinaryIO]) -> Artifact:
    """The bytes are hashed while they are written under a temporary name, so what is moved is what was hashed.

    A reader never sees half a file. What lies there with other bytes is damaged, and is replaced.
    """
    with _telling(f"{name} cannot be stored under {_shown(root)}"):
        filesystem, folder = _opened(root)
        folder = folder.rstrip("/")
        temporary = f"{folder}/incoming/{uuid.uuid4().hex}"
        _make_folder(filesystem, f"{folder}/incoming")
        try:
            with content() as source, filesystem.open(temporary, "wb") as target:
                sha256, size = _copy(source, target.write)
            final = _place(folder, sha256)
            if not _holds(filesystem, final, sha256, size):
                _make_folder(filesystem, final.rpartition("/")[0])
                filesystem.mv(temporary, final)
        finally:
            if filesystem.exists(temporary):
                filesystem.rm(temporary)
    return Artifact(filesystem.unstrip_protocol(final), sha256, size)


def fetch(uri: str, sha256: str, size: int, into: Path) -> Path:
    """Copies `uri` to the folder `into` as the file `{sha256}`, after its bytes proved to be the registered ones.

    A file that is there already is verified and kept; one with other bytes is never overwritten.
    """
    final = into / sha256
    if final.exists():
        with final.open("rb") as existing:
            received = _copy(existing, None)
        if received != (sha256, size):
            raise ArtifactError(f"{final} exists with other bytes: {_difference((sha256, size), received)}; delete it")
        return final
    temporary = into / f".{uuid.uuid4().hex}"
    try:
        with _telling(f"{_shown(uri)} cannot be fetched"):
            into.mkdir(parents=True, exist_ok=True)
            filesystem, place = _opened(uri)
            with filesystem.open(place, "rb") as source, temporary.open("wb") as target:
                received = _copy(source, target.write, at_most=size)
        if received != (sha256, size):
            raise ArtifactError(f"{uri} is not what was registered: {_difference((sha256, size), received)}")
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
    return final


def _place(folder: str, sha256: str) -> str:
    return f"{folder.rstrip('/')}/sha256/{sha256[:2]}/{sha256}"


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """Each store has errors of its own (no credentials, no connection), which have no base in common."""
    try:
        yield
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(f"{what}: {str(error) or type(error).__name__}") from error


def _opened(url: str) -> tuple[AbstractFileSystem, str]:
    """The store of a URL and the place in it."""
    if "@" in urlsplit(url).netloc:
        raise ArtifactError(
            f"{_shown(url)} was given with a user or password; leave them out: stores take credentials from the "
            "environment, and the URL is kept with the model"
        )
    try:
        filesystem, place = url_to_fs(url)
    except ImportError as error:
        raise ArtifactError(
            f"{url} lies in a store whose package is not installed: {error} (for S3: pip install 'bighead[s3]')"
        ) from error
    return filesystem, place


def _make_folder(filesystem: AbstractFileSystem, folder: str) -> None:
    """Object stores need none; asked for one they would make a bucket where its name is misspelt."""
    protocols = filesystem.protocol if isinstance(filesystem.protocol, tuple) else (filesystem.protocol,)
    if _WITHOUT_FOLDERS.isdisjoint(protocols):
        filesystem.makedirs(folder, exist_ok=True)


def _shown(url: str) -> str:
    """A URL without what is secret in it."""
    return urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]).geturl() if "@" in url else url


def _copy(source: BinaryIO, write: Callable[[bytes], object] | None, at_most: int | None = None) -> tuple[str, int]:
    """SHA-256 and size of what was read; ends early once there are more bytes than expected."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if at_most is not None and size > at_most:
            break
        if write is not None:
            write(chunk)
    return digest.hexdigest(), size


def _holds(filesystem: AbstractFileSystem, path: str, sha256: str, size: int) -> bool:
    if not filesystem.exists(path):
        return False
    with filesystem.open(path, "rb") as source:
        return _copy(source, None) == (sha256, size)


def _difference(expected: tuple[str, int], received: tuple[str, int]) -> str:
    return f"expected SHA-256 {expected[0]}, {expected[1]} bytes; received SHA-256 {received[0]}, {received[1]} bytes"

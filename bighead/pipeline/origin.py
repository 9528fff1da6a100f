"""Where a model comes from: the packages that it was trained with, and the code, by git. Reads, changes nothing."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from bighead.errors import ModelError

_TIMEOUT_S = 20.0
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Code:
    """A commit, and the SHA-256 of what the working tree had beside it; empty where it had nothing."""

    version: str
    dirty_sha256: str = ""


def environment() -> str:
    """Python, the machine and the version of every installed package, as JSON."""
    packages = {one.metadata["Name"]: one.version for one in distributions() if one.metadata["Name"]}
    return json.dumps(
        {
            "python": platform.python_version(),
            "implementation": platform.python_implementation(),
            "system": platform.system(),
            "machine": platform.machine(),
            "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
        }
    )


def code_of(folder: Path) -> Code:
    """The commit that is checked out in the repository of `folder`, and a hash of the changes that are not committed.

    The changes are git's difference to the commit, and the names and bytes of files that it does not know and is not
    told to ignore. Raises ModelError where the folder lies in no repository, or git does not answer.
    """
    version = _git(folder, "rev-parse", "HEAD").decode().strip()
    top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip())
    difference = _git(top, "diff", "HEAD", "--binary", "--no-color", "--no-ext-diff")
    unknown = sorted(
        name for name in _git(top, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0") if name
    )
    if not difference and not unknown:
        return Code(version)
    digest = hashlib.sha256(difference)
    for name in unknown:
        path = top / name.decode("utf-8", "surrogateescape")
        digest.update(b"\0" + name + b"\0")
        for block in _blocks(path):
            digest.update(block)
    return Code(version, digest.hexdigest())


def _blocks(path: Path) -> Iterator[bytes]:
    """What a file holds, a part at a time: data that lies beside code may be larger than the memory."""
    if path.is_file():
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                yield block


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, check=True, timeout=_TIMEOUT_S
        ).stdout
    except FileNotFoundError:
        raise ModelError("git is not installed; give the code's version by hand") from None
    except subprocess.CalledProcessError as error:
        raise ModelError(
            f"git {arguments[0]} in {folder} says: {error.stderr.decode(errors='replace').strip()}"
        ) from None
    except subprocess.TimeoutExpired:
        raise ModelError(f"git {arguments[0]} in {folder} did not answer within {_TIMEOUT_S:g} s") from None

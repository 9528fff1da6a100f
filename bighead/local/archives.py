"""Archives of the classes that a Java program loads: read from one, it starts in half of the time.

Each lies beside the jars and belongs to one program, Java and class path; Java ignores an archive that does not fit.
"""

import hashlib
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bighead.local.jars import jvm_folder
from bighead.local.java import java_version

_CLAIM_S = 600.0
"""After so long without an archive, the process that was to write it is taken to have died."""
# Java would print what it makes of the archive among the lines of the program.
_QUIET = ("-Xlog:disable", "-Xlog:all=error:stderr")


def archive_options(program: str, java: Path, what: Sequence[str], *, write: bool = True) -> tuple[str, ...]:
    """Java's options for the archive of a program; `what` is everything that decides which classes fit.

    The first process that may `write` it does when it ends, unless it is killed; those that start until then have none.
    """
    archive = _file(program, [str(java), str(java_version(java)), *what])
    if archive.exists():
        return (f"-XX:SharedArchiveFile={archive}", *_QUIET)
    if not (write and _claimed(archive)):
        return ()
    base = _base(java)
    return (*((f"-XX:SharedArchiveFile={base}",) if base else ()), f"-XX:ArchiveClassesAtExit={archive}", *_QUIET)


def _file(name: str, what: Sequence[str]) -> Path:
    digest = hashlib.sha256("\n".join(what).encode()).hexdigest()
    return jvm_folder() / f"{name}-{digest[:12]}.jsa"


def _claimed(archive: Path) -> bool:
    """Whether this process is the one whose program writes the archive."""
    claim = archive.with_suffix(".claimed")
    try:
        if claim.exists() and time.time() - claim.stat().st_mtime > _CLAIM_S:
            claim.unlink()
        claim.touch(exist_ok=False)
    except OSError:  # another process does, or the folder cannot be written
        return False
    return True


def _base(java: Path) -> Path | None:
    """The archive of Java's own classes, which every other builds on, where this Java came without (PyPI's does)."""
    if (java.resolve().parents[1] / "lib" / "server" / "classes.jsa").exists():
        return None
    base = _file("java", [str(java), str(java_version(java))])
    if not base.exists():
        part = base.with_suffix(f".{os.getpid()}")
        subprocess.run([str(java), "-Xshare:dump", f"-XX:SharedArchiveFile={part}"], capture_output=True, check=False)
        if part.exists():
            part.rename(base)
    return base

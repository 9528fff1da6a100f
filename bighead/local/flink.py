"""What a Flink process of the platform is made of: Flink's own jars, ours, and the program compiled from streams/flink.

Knows folders and compilers; starts nothing but a compiler.
"""

import hashlib
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from bighead.errors import PlatformError
from bighead.local import jars
from bighead.local.jars import Progress
from bighead.local.java import find_java

JAVA_FOR_FLINK = 17
_SOURCES = Path(__file__).parents[2] / "streams" / "flink" / "java"
_OPTIONS = ("-source", "17", "-target", "17", "-encoding", "UTF-8")


def flink_home() -> Path | None:
    """Flink's folder in the virtual environment that `make flink` creates; None where it is not there."""
    found = sorted(jars.jvm_folder().parent.glob(".venv-flink/lib/python*/site-packages/pyflink"))
    return found[-1] if found and (found[-1] / "lib").is_dir() else None


def class_path(on_progress: Progress = lambda _: None) -> list[Path]:
    """Everything that a Flink process loads, our program last; fetched and compiled where needed.

    Raises PlatformError that says what to do.
    """
    home = flink_home()
    if home is None:
        raise PlatformError("Flink is not installed: run `make flink`, which creates .venv-flink")
    jars.ensure(["flink"], on_progress)
    libraries = [
        *sorted((home / "lib").glob("*.jar")),
        *(jar for jar in jars.class_path("flink") if "ecj" not in jar.name),
    ]
    return [*libraries, program(libraries, on_progress)]


def program(libraries: Sequence[Path], on_progress: Progress = lambda _: None) -> Path:
    """The jar of streams/flink/java, compiled when its sources, or what it is compiled against, have changed."""
    sources = sorted(_SOURCES.rglob("*.java"))
    digest = hashlib.sha256(repr([path.name for path in libraries]).encode())
    for source in sources:
        digest.update(source.read_bytes())
    target = jars.jvm_folder() / "flink-program" / f"bighead-flink-{digest.hexdigest()[:16]}.jar"
    if not target.exists():
        on_progress(f"compiling {len(sources)} Java files of {_SOURCES}")
        _compile(sources, libraries, target)
    return target


def _compile(sources: Sequence[Path], libraries: Sequence[Path], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        classes = Path(folder) / "classes"
        path = ":".join(map(str, libraries))
        command = [
            *_compiler(),
            *_OPTIONS,
            "-nowarn",
            "-proc:none",
            "-d",
            str(classes),
            "-cp",
            path,
            *map(str, sources),
        ]
        printed = subprocess.run(command, capture_output=True, text=True)
        if printed.returncode != 0:
            raise PlatformError(f"{_SOURCES} cannot be compiled: {(printed.stderr or printed.stdout)[-3000:]}")
        made = Path(folder) / "made.jar"
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for path_of in sorted(classes.rglob("*.class")):
                archive.write(path_of, path_of.relative_to(classes))
        made.replace(target)  # whole or not at all
    for old in target.parent.glob("bighead-flink-*.jar"):
        if old != target:
            old.unlink()


def _compiler() -> list[str]:
    """The JDK's, or Eclipse's where there is only a runtime."""
    java = find_java(JAVA_FOR_FLINK)
    beside = java.resolve().with_name("javac")
    javac = str(beside) if beside.exists() else shutil.which("javac")
    if javac is not None:
        return [javac]
    return [str(java), "-jar", str(_eclipse())]


def _eclipse() -> Path:
    return next(jar for jar in jars.class_path("flink") if jar.name.startswith("ecj-"))

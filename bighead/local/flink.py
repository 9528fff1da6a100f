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

from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.local import jars
from bighead.local.jars import Progress
from bighead.local.java import find_java

JAVA_FOR_FLINK = 17
# Flink reaches into these packages; its own scripts open them as well.
_OPENED = (
    "java.base/java.lang",
    "java.base/java.lang.reflect",
    "java.base/java.math",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
    "java.base/sun.net.util",
)
_MAINS = {
    "flink-jobmanager": ("org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint", 384),
    "flink-taskmanager": ("org.apache.flink.runtime.taskexecutor.TaskManagerRunner", 640),
}
"""Main class and heap in megabytes."""
# The memory of a task manager must be said in full where Flink's own scripts do not start it.
_CONFIGURATION = """\
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: {rest}
rest.bind-port: "{rest}"
jobmanager.rpc.address: 127.0.0.1
jobmanager.bind-host: 127.0.0.1
jobmanager.rpc.port: {rpc}
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.numberOfTaskSlots: 8
taskmanager.cpu.cores: 2
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 512m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.network.min: 64m
taskmanager.memory.network.max: 64m
taskmanager.memory.managed.size: 256m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
jobmanager.memory.process.size: 768m
io.tmp.dirs: {folder}/tmp
process.working-dir: {folder}/work
web.upload.dir: {folder}/tmp
# A task manager that was killed is missed after seconds; one that is slow is not given up at once.
heartbeat.interval: 1000
heartbeat.timeout: 10000
resourcemanager.taskmanager-timeout: 10000
slot.request.timeout: 60000
"""
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


def java_command(memory_mb: int, folder: Path, loaded: Sequence[Path]) -> tuple[str, ...]:
    """Java with so much heap, its temporary folder in `folder`, and what it loads."""
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    opened = (f"--add-opens={package}=ALL-UNNAMED" for package in _OPENED)
    heap = (f"-Xmx{memory_mb}m", "-XX:+UseSerialGC", "-XX:-UsePerfData", f"-Djava.io.tmpdir={temporary}")
    logging = f"-Dlog4j.configurationFile={(jars.list_folder() / 'log4j2.properties').as_uri()}"
    return (str(find_java(JAVA_FOR_FLINK)), *heap, logging, *opened, "-cp", ":".join(map(str, loaded)))


def command(part: str, settings: Settings, rest_port: int) -> tuple[str, ...]:
    """How a process of the cluster is started; writes its configuration into the home folder."""
    folder = settings.home / "flink"
    configuration = folder / "conf"
    configuration.mkdir(parents=True, exist_ok=True)
    text = _CONFIGURATION.format(rest=rest_port, rpc=rest_port + 1, folder=folder)
    (configuration / "config.yaml").write_text(text)
    main, memory_mb = _MAINS[part]
    # All but the program, which comes with each job.
    java = java_command(memory_mb, folder / part, class_path()[:-1])
    return (*java, main, "--configDir", str(configuration))


def program_file(on_progress: Progress = lambda _: None) -> Path:
    """The program that a runner submits: compiled where Flink is installed, else the one that was put in its folder.

    Raises PlatformError where there is neither.
    """
    put = sorted(_programs().glob("bighead-flink-*.jar"))
    return put[-1] if put and flink_home() is None else class_path(on_progress)[-1]


def _programs() -> Path:
    return jars.jvm_folder() / "flink-program"


def program(libraries: Sequence[Path], on_progress: Progress = lambda _: None) -> Path:
    """The jar of streams/flink/java, compiled when its sources, or what it is compiled against, have changed."""
    sources = sorted(_SOURCES.rglob("*.java"))
    digest = hashlib.sha256(repr([path.name for path in libraries]).encode())
    for source in sources:
        digest.update(source.read_bytes())
    target = _programs() / f"bighead-flink-{digest.hexdigest()[:16]}.jar"
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

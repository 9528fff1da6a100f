"""The JVM parts: fetched once by the Ivy that PySpark carries, verified by SHA-256, then only looked at.

Knows infra/jvm/jars.txt and the ignored folder beside it; no repository's address is configured or written here.
"""

import fcntl
import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from xml.sax.saxutils import quoteattr

from bighead.errors import PlatformError
from bighead.local.checks import require_free_space
from bighead.local.java import JAVA_FOR_KAFKA, find_java

DEFAULT_PARTS = ("kafka", "registry", "spark")
_FETCH_BYTES = 1_500_000_000
# Each look-up is a request for a file that is not wanted: a third of the time.
_IVY_JVM = ("-Divy.maven.lookup.sources=false", "-Divy.maven.lookup.javadoc=false", "-XX:TieredStopAtLevel=1")
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Jar:
    """One file of one part, and the hash that its bytes must have."""

    part: str
    group: str
    artifact: str
    version: str
    kind: str
    classifier: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name under which it lies in the part's folder."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{suffix}.{self.kind}"


def list_folder() -> Path:
    """Where the list and the logging configuration lie: inside the wheel, or in the checkout."""
    packaged = Path(__file__).with_name("jvm")
    return packaged if packaged.exists() else Path(__file__).parents[2] / "infra" / "jvm"


def jvm_folder() -> Path:
    """The ignored folder that receives the files: at the top of the checkout, or of the environment."""
    packaged = Path(__file__).with_name("jvm")
    return (packaged if packaged.exists() else Path(__file__).parents[2]) / ".jvm"


@lru_cache
def jars(part: str) -> tuple[Jar, ...]:
    """The rows of one part; raises PlatformError for a part that the list does not have."""
    rows = [row for row in map(_parse, (list_folder() / "jars.txt").read_text().splitlines()) if row is not None]
    found = tuple(row for row in rows if row.part == part)
    if not found:
        raise PlatformError(f"no JVM part is named {part!r}; the list has {sorted({row.part for row in rows})}")
    return found


def ensure(parts: Sequence[str], on_progress: Progress = lambda _: None) -> Path:
    """Makes sure that every file of the parts is there and unchanged; returns the folder that holds the parts."""
    folder = jvm_folder()
    if all(_untouched(folder, part) for part in parts):
        return folder
    with _only_one(folder):
        changed = [part for part in parts if not _untouched(folder, part)]
        wrong = [jar for part in changed for jar in _to_fetch(folder, part, on_progress)]
        if wrong:
            require_free_space(folder, _FETCH_BYTES, "to fetch the JVM files")
            _fetch(folder, wrong, on_progress)
        for part in changed:
            _unpack(folder, part)
            (folder / f"{part}.stamp").write_text(json.dumps(_state(folder, part)))
    return folder


def class_path(part: str) -> list[Path]:
    """The jars of a part that `ensure` has put in place."""
    return [jvm_folder() / part / jar.file_name for jar in jars(part)]


def _parse(line: str) -> Jar | None:
    if not line.strip() or line.startswith("#"):
        return None
    part, coordinate, sha256 = line.split()
    group, artifact, version, *rest = coordinate.split(":")
    kind, classifier = rest if rest else ("jar", "")
    return Jar(part, group, artifact, version, kind, classifier, sha256)


def _to_fetch(folder: Path, part: str, on_progress: Progress) -> Iterator[Jar]:
    """The files that are absent or wrong; whatever else lies in the part's folder is removed."""
    listed = {jar.file_name: jar for jar in jars(part)}
    for path in (folder / part).glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in listed:
            path.unlink()
        elif (found := _sha256(path)) != listed[path.name].sha256:
            on_progress(_wrong_hash(listed[path.name], found) + "; fetching it again")
            path.unlink()
    yield from (jar for jar in listed.values() if not (folder / part / jar.file_name).exists())


def _fetch(folder: Path, wanted: Sequence[Jar], on_progress: Progress) -> None:
    work = folder / "fetch"
    on_progress(f"fetching {len(wanted)} JVM files into {folder} (once)")
    for attempt in (1, 2):
        _run_ivy(work, wanted, on_progress)
        wrong = [(jar, found) for jar in wanted if (found := _sha256(work / jar.part / jar.file_name)) != jar.sha256]
        if not wrong:
            break
        if attempt == 2:
            raise PlatformError("; ".join(_wrong_hash(jar, found) for jar, found in wrong) + "; fetched twice")
        for jar, found in wrong:
            on_progress(_wrong_hash(jar, found) + "; fetching it again")
            (work / jar.part / jar.file_name).unlink(missing_ok=True)
            shutil.rmtree(work / "cache" / jar.group / jar.artifact, ignore_errors=True)
    for jar in wanted:
        (folder / jar.part).mkdir(exist_ok=True)
        shutil.move(work / jar.part / jar.file_name, folder / jar.part / jar.file_name)
    shutil.rmtree(work)


def _unpack(folder: Path, part: str) -> None:
    for jar in jars(part):
        if jar.kind == "tar.gz":
            with tarfile.open(folder / part / jar.file_name) as archive:
                archive.extractall(folder / part)  # its bytes are those that the list pins


def _run_ivy(work: Path, wanted: Sequence[Jar], on_progress: Progress) -> None:
    work.mkdir(parents=True, exist_ok=True)
    parts = sorted({jar.part for jar in wanted})
    (work / "ivy.xml").write_text(_ivy_xml(parts, wanted))
    command = [str(find_java(JAVA_FOR_KAFKA)), *_IVY_JVM, "-jar", str(_ivy_jar()), "-ivy", str(work / "ivy.xml")]
    command += ["-confs", *parts, "-types", "jar", "bundle", "tar.gz", "-cache", str(work / "cache"), "-retrieve"]
    command += [f"{work}/[conf]/[artifact]-[revision](-[classifier]).[ext]"]
    log = work / "ivy.log"
    done = 0
    with (
        log.open("w") as written,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ivy,
    ):
        for line in ivy.stdout or ():
            written.write(line)
            if "[SUCCESSFUL ]" in line:
                done += 1
                on_progress(f"fetched {done} of {len(wanted)}: {line.split('!')[-1].split()[0]}")
        code = ivy.wait()
    absent = [jar.file_name for jar in wanted if not (work / jar.part / jar.file_name).exists()]
    if code or absent:
        raise PlatformError(
            f"Ivy could not fetch {', '.join(absent) or 'the JVM files'} (exit code {code}); "
            f"is a Maven repository reachable from here? See {log}, then run the same command again"
        )


def _ivy_xml(parts: Sequence[str], wanted: Sequence[Jar]) -> str:
    confs = "".join(f"<conf name={quoteattr(part)}/>" for part in parts)
    rows = []
    for jar in wanted:
        artifact = ""
        if jar.classifier:
            kind = quoteattr(jar.kind)
            named = f"name={quoteattr(jar.artifact)} m:classifier={quoteattr(jar.classifier)}"
            artifact = f"<artifact {named} type={kind} ext={kind}/>"
        rows.append(
            f"<dependency org={quoteattr(jar.group)} name={quoteattr(jar.artifact)} rev={quoteattr(jar.version)} "
            f'conf="{jar.part}->master" transitive="false">{artifact}</dependency>'
        )
    return (
        '<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">'
        '<info organisation="bighead" module="jvm"/>'
        f"<configurations>{confs}</configurations><dependencies>{''.join(rows)}</dependencies></ivy-module>"
    )


def _ivy_jar() -> Path:
    pyspark = find_spec("pyspark")
    if pyspark is None or pyspark.origin is None:
        raise PlatformError("the Ivy that PySpark carries fetches the JVM files; run: pip install 'bighead[batch]'")
    found = sorted((Path(pyspark.origin).parent / "jars").glob("ivy-*.jar"))
    if not found:
        raise PlatformError(f"no ivy-*.jar in {Path(pyspark.origin).parent / 'jars'}; install PySpark again")
    return found[-1]


def _untouched(folder: Path, part: str) -> bool:
    """True when the list and every file are as they were when the hashes were checked: no file is read again."""
    stamp = folder / f"{part}.stamp"
    return stamp.exists() and json.loads(stamp.read_text()) == _state(folder, part)


def _state(folder: Path, part: str) -> dict[str, list[int] | str]:
    listed = hashlib.sha256(repr(jars(part)).encode()).hexdigest()
    state: dict[str, list[int] | str] = {"list": listed}
    for file in sorted((folder / part).rglob("*")):
        if file.is_file():
            stat = file.stat()
            state[str(file.relative_to(folder))] = [stat.st_size, stat.st_mtime_ns]
    return state


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _wrong_hash(jar: Jar, found: str) -> str:
    return f"{jar.part}/{jar.file_name} has SHA-256 {found}, expected {jar.sha256}"


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

"""The platform on this machine as one thing: `Platform(settings).up()`, `.status()`, `.down()`.

Wires parts, supervisor, probes, topics and schemas together; used by the commands, the demo and the tests.
"""

import fcntl
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import redis

from bighead import config, health
from bighead.config import Settings
from bighead.errors import ConfigError, PlatformError
from bighead.events import admin
from bighead.health import SERVER, expanded, processes
from bighead.local import jars, parts
from bighead.local.checks import require_free_port, require_free_space
from bighead.local.parts import APPLICATIONS, FLINK, INFRASTRUCTURE, SPARE, Part
from bighead.local.supervision import Supervisor

ALL = INFRASTRUCTURE + APPLICATIONS
KNOWN = ALL + FLINK
"""The parts that are started where nothing is said, and those that must be asked for."""
NOT_STARTED = "NONE"
_NOT_RUNNING = {
    "STARTING": "is starting at this moment; try again when `bighead status` shows it RUNNING",
    "STOPPING": "is stopping at this moment; try again when `bighead status` shows it RUNNING",
    "BACKOFF": "ends as soon as it is started, and is started again and again; see `bighead logs server`",
    "FATAL": "ended as soon as it was started, each time; see `bighead logs server`, then start it: bighead up",
}
"""What a process does that is known and does not run, by what its supervisor calls it."""
_FREE_BYTES = 1_000_000_000
_PROBE_S = 3.0
_PAUSE_S = 0.1
_LOG_LINES = 15
Progress = Callable[[str], None]


@dataclass(frozen=True)
class PartStatus:
    """One part: what its supervisor says of the process, and what the probe says of the service."""

    part: str
    state: str
    pid: int | None
    uptime_s: float
    memory_mb: float
    health: health.Health

    @property
    def ok(self) -> bool:
        """True when it can be used, whoever started it."""
        return self.health.ok


class Platform:
    """The parts of one home folder. Every method may be called again; nothing is started or stopped twice."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.supervisor = Supervisor(settings.home)

    def up(
        self, wanted: Sequence[str] = ALL, on_progress: Progress = lambda _: None, timeout_s: float = 180.0
    ) -> list[health.Health]:
        """Starts what is not running and waits until each part answers its probe.

        Raises PlatformError that says what to do; a platform that this call began is then stopped again.
        """
        names = expanded([name for name in KNOWN if name in wanted], self.settings)
        unknown = set(wanted) - set(KNOWN)
        if unknown:
            raise ConfigError(f"no part is named {', '.join(sorted(unknown))}; there are {', '.join(KNOWN)}")
        with self._only_one():
            was_running = bool(self.supervisor.states())
            try:
                self._begin(names, was_running, on_progress)
                return self._start(names, on_progress, time.monotonic() + timeout_s)
            except BaseException:
                if not was_running:
                    self._stop(on_progress)
                raise

    def down(self, on_progress: Progress = lambda _: None) -> bool:
        """Stops everything that runs from this home folder, and says whether anything did."""
        if not self.settings.home.exists():
            return False
        with self._only_one():
            return self._stop(on_progress)

    def status(self, names: Sequence[str] = ()) -> list[PartStatus]:
        """Every part as its supervisor and its probe see it now; by default all that belong to this platform."""
        states = self.supervisor.states()
        names = names or [name for name in KNOWN if name in ALL or name in states]
        seen = health.check_all(self.settings, expanded(names, self.settings), _PROBE_S)
        if SERVER in names and states.get(SPARE, {}).get("pid"):
            seen.append(self._check_spare())
        return [_part_status(probed, states.get(probed.part, {})) for probed in seen]

    def _check_spare(self) -> health.Health:
        probed = health.check_server(SPARE, parts.place(SPARE, self.settings), self.settings, _PROBE_S)
        return replace(probed, detail=f"{probed.detail}; it stands in until `bighead restart` succeeds")

    def restart_servers(self, on_progress: Progress = lambda _: None, timeout_s: float = 180.0) -> None:
        """Replaces the processes of the model server one after the other; no request is lost.

        They share their ports, and a spare one joins them first, so that as many as before answer all the time. Where
        one is not replaced in time, the spare one stays: it may be the only one that answers. The next call takes it.
        """
        deadline, names = time.monotonic() + timeout_s, processes(self.settings)
        with self._only_one():
            states = self.supervisor.states()
            for name in names:
                self._require_running(name, states.get(name, {}).get("statename", NOT_STARTED))
            if states.get(SPARE, {}).get("statename") != "RUNNING":
                self._start_spare()
            try:
                self._await_server(SPARE, on_progress, deadline)
            except PlatformError:
                self.supervisor.remove(SPARE)
                raise
            for name in names:
                self.supervisor.stop_parts([name])
                self.supervisor.start_part(name)
                self._await_server(name, on_progress, deadline)
            self.supervisor.remove(SPARE)

    def _require_running(self, name: str, state: str) -> None:
        """Only what runs is replaced. Raises PlatformError that says what it does instead."""
        if state == "RUNNING":
            return
        does = _NOT_RUNNING.get(state, f"does not run from {self.settings.home}; start it: bighead up")
        raise PlatformError(f"{name} {does}")

    def _start_spare(self) -> None:
        self.supervisor.remove(SPARE)  # known, but stopped, where a restart was interrupted
        self.supervisor.add(parts.prepare(SPARE, self.settings, self.settings.home))
        self.supervisor.start_part(SPARE)

    def _await_server(self, name: str, on_progress: Progress, deadline: float) -> None:
        index = parts.place(name, self.settings)
        while not (probed := health.check_server(name, index, self.settings, _PROBE_S)).ok:
            self._require_hope(probed, deadline)
            time.sleep(_PAUSE_S)
        on_progress(f"{name} is ready: {probed.detail}")

    def log_file(self, part: str) -> Path:
        """The file that a part's output goes to."""
        return self.supervisor.logs / f"{part}.log"

    def _begin(self, names: Sequence[str], was_running: bool, on_progress: Progress) -> None:
        if was_running:
            self._require_same_settings()
        else:
            self._clean_up(on_progress)
        known = self.supervisor.states()
        prepared = self._prepare([name for name in names if name not in known], on_progress)
        if not was_running:
            environment = config.variables(self.settings)
            config.settings_file(self.settings.home).write_text(json.dumps(environment, indent=2) + "\n")
            self.supervisor.start(environment)
        for part in prepared:
            self.supervisor.add(part)

    def _prepare(self, names: Sequence[str], on_progress: Progress) -> list[Part]:
        require_free_space(self.settings.home, _FREE_BYTES, "for the platform's data")
        for name in names:
            for port in parts.ports(name, self.settings):
                require_free_port(port.host, port.number, name, port.variable)
        jvm = jars.ensure([name for name in ("kafka", "registry") if name in names], on_progress)
        return [parts.prepare(name, self.settings, jvm) for name in names]

    def _clean_up(self, on_progress: Progress) -> None:
        """Removes what a supervisor that was killed, or a machine that lost power, left behind."""
        stopped = self.supervisor.stop_leftovers()
        if stopped:
            on_progress(f"stopped {len(stopped)} processes of a supervisor that is gone: {stopped}")
        for file in self.supervisor.remove_files():
            on_progress(f"removed {file}: its supervisor is gone")

    def _start(self, names: Sequence[str], on_progress: Progress, deadline: float) -> list[health.Health]:
        infrastructure = [name for name in names if name in INFRASTRUCTURE]
        ready = self._start_and_wait(infrastructure, on_progress, deadline)
        if set(INFRASTRUCTURE) <= set(names):
            admin.ensure_topics(self.settings)
            admin.register_schemas(self.settings)
            on_progress("topics and schemas are in place")
        return ready + self._start_and_wait(
            [name for name in names if name not in INFRASTRUCTURE], on_progress, deadline
        )

    def _start_and_wait(self, names: Sequence[str], on_progress: Progress, deadline: float) -> list[health.Health]:
        started = time.monotonic()
        states = self.supervisor.states()
        for name in names:
            if states[name]["statename"] in ("STOPPED", "FATAL", "EXITED"):
                self._forget_heartbeat(name)
                self.supervisor.start_part(name)
        give_up = threading.Event()
        with ThreadPoolExecutor(len(KNOWN)) as pool:
            try:
                waits = [pool.submit(self._wait, name, deadline, give_up) for name in names]
                for done in as_completed(waits):
                    probed = done.result()
                    on_progress(f"{probed.part} is ready after {time.monotonic() - started:.1f} s: {probed.detail}")
            finally:
                give_up.set()
        return [done.result() for done in waits]

    def _wait(self, name: str, deadline: float, give_up: threading.Event) -> health.Health:
        while True:
            probed = health.check(name, self.settings, _PROBE_S)
            # Supervised and alive as well: else something of someone else may have answered.
            if probed.ok and self.supervisor.states().get(name, {}).get("statename") == "RUNNING":
                return probed
            self._require_hope(probed, deadline)
            if give_up.wait(_PAUSE_S):
                raise PlatformError(f"{name} was not ready when another part failed")

    def _forget_heartbeat(self, name: str) -> None:
        # The heartbeat of a process that just ended must not pass for that of the one that starts.
        key = {
            "worker": health.HEARTBEAT_KEY,
            "materializer": health.MATERIALIZER_HEARTBEAT_KEY,
            "flink-runner": health.FLINK_HEARTBEAT_KEY,
        }.get(name)
        if key is not None:
            with redis.Redis.from_url(self.settings.redis) as client:
                client.delete(key)

    def _require_hope(self, probed: health.Health, deadline: float) -> None:
        state = self.supervisor.states().get(probed.part, {})
        if state.get("statename") == "FATAL":
            reason = f"{probed.part} ends as soon as it is started ({state.get('spawnerr') or 'see its log'})"
        elif time.monotonic() > deadline:
            reason = f"{probed.part} was not ready in time: {probed.detail}"
        else:
            return
        raise PlatformError(
            f"{reason.rstrip('.')}. The end of {self.log_file(probed.part)}:\n{self._tail(probed.part)}"
        )

    def _tail(self, part: str) -> str:
        file = self.log_file(part)
        lines = file.read_text(errors="replace").splitlines() if file.exists() else []
        return "\n".join(lines[-_LOG_LINES:])

    def _stop(self, on_progress: Progress) -> bool:
        there = self.supervisor.pid() is not None
        if there:
            for group in (APPLICATIONS + FLINK, INFRASTRUCTURE):
                self.supervisor.stop_parts([*expanded(group, self.settings), SPARE])
        left = self.supervisor.shut_down()
        if left:
            on_progress(f"stopped {len(left)} processes that had lost their supervisor: {left}")
        return there or bool(left)

    def _require_same_settings(self) -> None:
        file = config.settings_file(self.settings.home)
        before = json.loads(file.read_text())
        now = config.variables(self.settings)
        differs = [name for name in now if name != "BIGHEAD_ACTOR" and now[name] != before.get(name)]
        if differs:
            was = ", ".join(f"{name} is {before.get(name)} there and {now[name]} here" for name in differs)
            raise PlatformError(
                f"the platform in {self.settings.home} runs with other settings ({was}); `bighead down` first"
            )

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        self.settings.home.mkdir(parents=True, exist_ok=True)
        with (self.settings.home / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _part_status(probed: health.Health, state: Mapping[str, Any]) -> PartStatus:
    pid = state.get("pid") or None
    uptime = state["now"] - state["start"] if pid else 0
    return PartStatus(probed.part, state.get("statename", NOT_STARTED), pid, uptime, _memory_mb(pid), probed)


def _memory_mb(pid: int | None) -> float:
    try:
        return round(psutil.Process(pid).memory_info().rss / 1e6, 1) if pid else 0.0
    except psutil.Error:
        return 0.0

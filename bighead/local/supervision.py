"""supervisord as the keeper of the parts: its configuration, its life, and what it leaves behind when it is killed.

Knows processes and one home folder; not what the parts do.
"""

import hashlib
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from bighead.config import inherited_environment
from bighead.errors import PlatformError
from bighead.local.parts import Part

# Every process under this supervisor carries it, so that none is lost when the supervisor itself is killed.
MARK = "BIGHEAD_SUPERVISED_FROM"
# A unix socket's path may have 107 bytes; supervisord first binds a longer, temporary name.
_SOCKET_BYTES = 90
_STOP_S = 45
"""As long as `terminationGracePeriodSeconds` of the model servers: they drain, then send what they have to tell."""

_SUPERVISOR = """\
[supervisord]
nodaemon=true
identifier=bighead
logfile=logs/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile=run/supervisord.pid
childlogdir=logs

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files=parts/*.conf
"""
_PROGRAM = """\
[program:{name}]
command={command}
environment={environment}
autostart=false
autorestart=true
startsecs=1
startretries=10
stopsignal=TERM
stopwaitsecs={stop_s}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile=logs/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=2
"""


class Supervisor:
    """The supervisord of one home folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.logs = home / "logs"
        self._run = home / "run"
        self._programs = self._run / "parts"
        self._pid_file = self._run / "supervisord.pid"

    def pid(self) -> int | None:
        """The process id of the running supervisord of this home, or None."""
        try:
            process = psutil.Process(int(self._pid_file.read_text()))
        except (OSError, ValueError, psutil.Error):
            return None
        return process.pid if self._is_ours(process) and _is_supervisord(process) else None

    def start(self, environment: dict[str, str]) -> None:
        """Starts supervisord without any part. Raises PlatformError when it does not answer."""
        shutil.rmtree(self._programs, ignore_errors=True)
        for folder in (self.logs, self._run, self._programs):
            folder.mkdir(parents=True, exist_ok=True)
        configuration = self._run / "supervisord.conf"
        configuration.write_text(self._configuration())
        with (self.logs / "supervisord.out").open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
                env=inherited_environment() | environment | {MARK: str(self.home), "PYTHONUNBUFFERED": "1"},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _STOP_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                printed = (self.logs / "supervisord.out").read_text()[-2000:]
                raise PlatformError(f"supervisord did not start in {self.home}: {printed}")
            time.sleep(0.05)

    def add(self, part: Part) -> None:
        """Makes a part known to the running supervisord, stopped."""
        environment = ",".join(f'{name}="{_quoted(value)}"' for name, value in part.environment.items())
        command = _quoted(shlex.join(part.command))
        text = _PROGRAM.format(name=part.name, command=command, environment=environment, stop_s=_STOP_S)
        (self._programs / f"{part.name}.conf").write_text(text)
        self._rpc().reloadConfig()
        self._rpc().addProcessGroup(part.name)

    def remove(self, name: str) -> None:
        """Stops a part and forgets it; nothing where it is not known."""
        self.stop_parts([name])
        (self._programs / f"{name}.conf").unlink(missing_ok=True)
        if name in self.states():
            self._rpc().removeProcessGroup(name)
            self._rpc().reloadConfig()

    def start_part(self, name: str) -> None:
        """Starts one part without waiting for it."""
        self._rpc().startProcess(name, False)

    def states(self) -> dict[str, dict[str, Any]]:
        """What supervisord says of each part: statename, pid, start, now, spawnerr, ...; empty when it is not there."""
        if self.pid() is None or not self._answers():
            return {}
        return {state["name"]: state for state in self._rpc().getAllProcessInfo()}

    def stop_parts(self, names: Iterable[str]) -> None:
        """Stops parts at the same time and waits for them; after the stop time supervisord kills them."""
        known = self.states()
        running = [name for name in names if known.get(name, {}).get("pid")]
        for name in running:
            try:
                self._rpc().stopProcess(name, False)
            except Fault:
                continue  # it ended between the question and the order
        deadline = time.monotonic() + _STOP_S + 5
        while any(self.states().get(name, {}).get("pid") for name in running) and time.monotonic() < deadline:
            time.sleep(0.05)

    def shut_down(self) -> list[int]:
        """Ends supervisord, and removes its files; returns the ids of processes that were left without it."""
        pid = self.pid()
        if pid is not None:
            if self._answers():
                self._rpc().shutdown()
            else:
                os.kill(pid, signal.SIGTERM)
            _wait_or_kill([psutil.Process(pid)] if psutil.pid_exists(pid) else [], _STOP_S)
        left = self.stop_leftovers()
        self.remove_files()
        return left

    def leftovers(self) -> list[psutil.Process]:
        """Processes that were started under a supervisord of this home."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def stop_leftovers(self) -> list[int]:
        """Stops them, first politely; returns their process ids."""
        found = self.leftovers()
        for process in found:
            _signal(process, signal.SIGTERM)
        _wait_or_kill(found, _STOP_S)
        return [process.pid for process in found]

    def remove_files(self) -> list[Path]:
        """Removes the pid file and the socket; returns those that were there."""
        there = [file for file in (self._pid_file, self._socket()) if file.exists()]
        for file in there:
            file.unlink()
        if self._socket().parent != self._run:
            shutil.rmtree(self._socket().parent, ignore_errors=True)
        return there

    def _configuration(self) -> str:
        socket = self._socket()
        socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._require_private(socket.parent)
        # Every other path is relative to the home folder, where supervisord runs: it expands some paths twice.
        return _SUPERVISOR.format(socket=_quoted(str(socket)))

    def _socket(self) -> Path:
        beside = self._run / "supervisor.sock"
        if len(os.fsencode(beside)) <= _SOCKET_BYTES:
            return beside
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"bighead-{os.getuid()}-{name}" / "supervisor.sock"

    def _require_private(self, folder: Path) -> None:
        found = folder.stat()
        if found.st_uid != os.getuid() or (folder != self._run and stat.S_IMODE(found.st_mode) != 0o700):
            raise PlatformError(f"{folder} belongs to someone else or is open to others; remove it and try again")

    def _rpc(self) -> Any:
        # Its methods are those of supervisord's XML-RPC interface; the address is replaced by the socket's.
        transport = SupervisorTransport(None, None, f"unix://{self._socket()}")
        return ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def _answers(self) -> bool:
        try:
            self._rpc().getState()
        except (OSError, Fault):
            return False
        return True

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return process.environ().get(MARK) == str(self.home)
        except (psutil.Error, OSError):
            return False


def _is_supervisord(process: psutil.Process) -> bool:
    try:
        return "supervisor.supervisord" in process.cmdline()
    except psutil.Error:
        return False


def _wait_or_kill(processes: list[psutil.Process], timeout_s: float) -> None:
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # it ended by itself


def _quoted(value: str) -> str:
    # supervisord expands %(...)s in its configuration.
    return value.replace("%", "%%")

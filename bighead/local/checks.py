"""Checks before a part is started: free disk, free ports. Each failure says what to do.

Knows the operating system only.
"""

import shutil
import socket
from pathlib import Path

import psutil

from bighead.errors import PlatformError


def require_free_space(folder: Path, needed: int, purpose: str) -> None:
    """Raises PlatformError when the disk that holds `folder` has less than `needed` bytes free."""
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise PlatformError(
            f"the disk of {folder} has {free / 1e6:,.0f} MB free and {needed / 1e6:,.0f} MB are needed {purpose}; "
            "free some space or set BIGHEAD_HOME to a folder on another disk"
        )


def require_free_port(host: str, port: int, part: str, variable: str) -> None:
    """Raises PlatformError that names the port, the variable that chooses it and, where visible, who holds it."""
    if port_is_free(host, port):
        return
    holder = _holder(port)
    raise PlatformError(
        f"port {port} on {host}, which {part} needs, is in use by {holder}; "
        f"stop that, set {variable} to another one, or run: bighead up --free-ports"
    )


def port_is_free(host: str, port: int) -> bool:
    """True when a listener can be opened there now."""
    with socket.socket() as listener:
        # Without it a port of connections that closed a moment ago (TIME_WAIT) would count as in use.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return "a process that this user cannot see"
    for connection in connections:
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            try:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
            except psutil.Error:
                return f"process {connection.pid}"
    return "a process that this user cannot see"

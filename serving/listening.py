"""Ends the listening of sockets that a library opened and does not give away, while what it accepted goes on.

Linux only, as sharing a port is. Knows sockets of this process by the address that they are bound to.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

_OPEN = Path("/proc/self/fd")


def stop_listening(port: int) -> int:
    """Lets no new connection come to this process on a port; how many sockets listened there.

    The system gives connections to the other processes that share it from then on. Who was being accepted in this very
    moment is reset, unless net.ipv4.tcp_migrate_req is 1.
    """
    stopped = 0
    for found in _sockets(port):
        if _listens(found):
            found.shutdown(socket.SHUT_RD)
            stopped += 1
    return stopped


def connected(port: int) -> int:
    """How many connections that came in on a port are open."""
    return sum(not _listens(found) and _has_peer(found) for found in _sockets(port))


def _sockets(port: int) -> Iterator[socket.socket]:
    for entry in _OPEN.iterdir():
        if not entry.is_socket():
            continue
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as found:  # it may be closed
            inet = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
            if inet and found.getsockname()[1] == port:
                yield found


def _listens(found: socket.socket) -> bool:
    return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _has_peer(found: socket.socket) -> bool:
    try:
        found.getpeername()
    except OSError:
        return False
    return True

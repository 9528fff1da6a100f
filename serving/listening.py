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
    for listener in _listeners(port):
        listener.shutdown(socket.SHUT_RD)
        stopped += 1
    return stopped


def _listeners(port: int) -> Iterator[socket.socket]:
    for entry in _OPEN.iterdir():
        if not entry.is_socket():
            continue
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as found:  # it may be closed
            if _listens(found, port):
                yield found


def _listens(found: socket.socket, port: int) -> bool:
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
        return False
    return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)) and found.getsockname()[1] == port

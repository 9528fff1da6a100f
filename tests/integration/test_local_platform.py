"""The embedded platform as its users meet it: started, used, killed, restarted, stopped."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from bighead import config
from bighead.errors import PlatformError
from bighead.events import admin
from bighead.local import checks
from bighead.local.parts import INFRASTRUCTURE, ports
from bighead.local.platform import Platform
from bighead.local.ports import free_settings
from bighead.testing import eventually

TOPIC = "orders.v1"
SCHEMA = '{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}]}'


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of this module alone, since it is killed and restarted here; it holds one record of each store."""
    running = Platform(free_settings(tmp_path_factory.mktemp("own")))
    try:
        running.up(INFRASTRUCTURE)
        admin.create_topic(running.settings, TOPIC, 1)
        _write_one_of_each(running)
        yield running
    finally:
        running.down()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Platform]:
    """A platform on free ports that is not running; tests start only Redis in it, which takes no time."""
    platform = Platform(free_settings(tmp_path / "home"))
    yield platform
    platform.down()


def test_every_part_is_ready_when_up_returns(own: Platform) -> None:
    found = own.status(INFRASTRUCTURE)

    assert [(part.part, part.state, part.ok) for part in found] == [(name, "RUNNING", True) for name in INFRASTRUCTURE]
    assert all(part.pid and part.memory_mb > 1 for part in found)


def test_other_commands_find_its_settings_by_the_home_folder(own: Platform) -> None:
    loaded = config.load({"BIGHEAD_HOME": str(own.settings.home)})

    assert loaded == own.settings


def test_listeners_are_on_loopback_only(own: Platform) -> None:
    pids = [part.pid for part in own.status(INFRASTRUCTURE)]

    listening = [
        connection.laddr.ip.removeprefix("::ffff:")
        for pid in pids
        for connection in psutil.Process(pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]

    assert listening and set(listening) == {"127.0.0.1"}


def test_up_twice_leaves_the_running_parts_alone(own: Platform) -> None:
    before = _pids(own)

    own.up(INFRASTRUCTURE)

    assert _pids(own) == before


def test_up_refuses_other_settings_while_it_runs(own: Platform) -> None:
    other = config.load(config.variables(own.settings) | {"BIGHEAD_PARTITIONS": "9"})

    with pytest.raises(PlatformError, match=r"BIGHEAD_PARTITIONS is 4 there and 9 here.*bighead down"):
        Platform(other).up(INFRASTRUCTURE)


@pytest.mark.parametrize("name", INFRASTRUCTURE)
def test_a_killed_part_comes_back_with_its_data(own: Platform, name: str) -> None:
    killed = _pids(own)[name]

    os.kill(killed, signal.SIGKILL)

    eventually(lambda: _pids(own).get(name, killed) != killed and own.status([name])[0].ok, timeout_s=60)
    _require_one_of_each(own)


def test_a_killed_supervisor_is_replaced_and_its_orphans_stopped(own: Platform) -> None:
    supervisor, orphans = own.supervisor.pid(), _pids(own)
    said: list[str] = []
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: own.supervisor.pid() is None)

    own.up(INFRASTRUCTURE, said.append)

    assert any(f"stopped {len(orphans)} processes of a supervisor that is gone" in line for line in said)
    assert any("supervisord.pid: its supervisor is gone" in line for line in said)
    assert set(_pids(own).values()).isdisjoint(orphans.values())
    _require_one_of_each(own)


def test_down_leaves_no_process_and_no_listener_and_up_finds_all_data(own: Platform) -> None:
    pids = [*_pids(own).values(), own.supervisor.pid()]

    assert own.down()

    assert [pid for pid in pids if _alive(pid)] == []
    assert own.supervisor.leftovers() == []
    taken = [port for name in INFRASTRUCTURE for port in ports(name, own.settings)]
    assert all(checks.port_is_free(port.host, port.number) for port in taken)
    assert not own.down(), "a second down finds nothing to stop"

    own.up(INFRASTRUCTURE)
    _require_one_of_each(own)


def test_two_platforms_run_at_once(own: Platform, platform: Platform) -> None:
    with redis.Redis.from_url(platform.settings.redis) as other:
        assert other.get("order") is None

    assert set(_pids(own).values()).isdisjoint(_pids(platform).values())
    assert all(part.ok for part in own.status(INFRASTRUCTURE) + platform.status(INFRASTRUCTURE))


def test_parts_can_be_added_to_a_running_platform(small: Platform, own: Platform) -> None:
    small.up(["redis"])
    before = _pids(small)

    small.up(["redis", "registry"])

    assert _pids(small)["redis"] == before["redis"]
    assert all(part.ok for part in small.status(["redis", "registry"]))


def test_a_port_in_use_is_named_with_its_variable_and_its_holder(small: Platform) -> None:
    (port,) = ports("redis", small.settings)
    with socket.socket() as holder:
        holder.bind((port.host, port.number))
        holder.listen()

        with pytest.raises(PlatformError) as raised:
            small.up(["redis"])

    message = str(raised.value)
    assert f"port {port.number}" in message and "BIGHEAD_REDIS" in message and f"process {os.getpid()}" in message
    assert small.supervisor.pid() is None


def test_a_stale_pid_file_is_removed_even_if_the_number_is_in_use_again(small: Platform) -> None:
    stale = small.settings.home / "run" / "supervisord.pid"
    stale.parent.mkdir(parents=True)
    stale.write_text(f"{os.getpid()}\n")
    said: list[str] = []

    small.up(["redis"], said.append)

    assert f"removed {stale}: its supervisor is gone" in said
    assert small.status(["redis"])[0].ok


def test_a_full_disk_is_said_before_anything_starts(small: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bighead.local.platform._FREE_BYTES", 10**18)

    with pytest.raises(
        PlatformError, match=f"the disk of {small.settings.home} has .* free some space or set BIGHEAD_HOME"
    ):
        small.up(["redis"])

    assert small.supervisor.pid() is None


def test_a_part_that_cannot_start_is_an_error_with_the_end_of_its_log(small: Platform) -> None:
    small.up(["redis"])
    small.down()
    (small.settings.home / "redis" / "data" / "appendonly.aof").write_text("*not a command\n")

    with pytest.raises(
        PlatformError, match=r"(?s)redis .*The end of .*redis\.log.*Bad file format reading the append only"
    ):
        small.up(["redis"], timeout_s=5)

    assert small.supervisor.leftovers() == []


def test_a_long_home_folder_does_not_break_the_supervisors_socket(tmp_path: Path) -> None:
    home = tmp_path / ("a-long-name-" * 8) / "with % and blank"
    platform = Platform(free_settings(home))
    try:
        platform.up(["redis"])
        assert platform.status(["redis"])[0].state == "RUNNING"
    finally:
        platform.down()


def _pids(platform: Platform) -> dict[str, int]:
    return {name: state["pid"] for name, state in platform.supervisor.states().items() if state["pid"]}


def _alive(pid: int | None) -> bool:
    return pid is not None and psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _write_one_of_each(platform: Platform) -> None:
    producer = Producer({"bootstrap.servers": platform.settings.kafka, "acks": "all"})
    producer.produce(TOPIC, b"one", key=b"k")
    assert producer.flush(10) == 0
    subject = f"{platform.settings.schema_registry}/subjects/orders/versions"
    httpx.post(subject, json={"schema": SCHEMA}).raise_for_status()
    with redis.Redis.from_url(platform.settings.redis) as client:
        client.set("order", "one")


def _require_one_of_each(platform: Platform) -> None:
    consumer = Consumer({"bootstrap.servers": platform.settings.kafka, "group.id": "reader"})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    record = eventually(lambda: consumer.poll(1), timeout_s=30)
    consumer.close()
    assert record is not None and (record.error(), record.key(), record.value()) == (None, b"k", b"one")
    latest = httpx.get(f"{platform.settings.schema_registry}/subjects/orders/versions/latest").raise_for_status().json()
    assert '"Order"' in latest["schema"] and latest["version"] == 1
    with redis.Redis.from_url(platform.settings.redis) as client:
        assert client.get("order") == b"one"

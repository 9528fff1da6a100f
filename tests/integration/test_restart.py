"""Model servers that share their ports: all of them answer, and they are replaced without a lost request."""

import asyncio
import json
from dataclasses import replace

import httpx
import pytest

from bighead import health
from bighead.config import Settings
from bighead.errors import PlatformError
from bighead.events.topics import SERVING_EVENTS
from bighead.events.types import ServerStarted
from bighead.local.parts import SPARE
from bighead.local.platform import NOT_STARTED, Platform
from bighead.testing import eventually
from tests.integration.serving_process import Registry, folder_of
from tests.integration.steady_load import SteadyLoad
from tests.unit.serving.models import times_stored

ANSWERED = 'bighead_requests_total{model="times",outcome="answered",version="1"}'


def counted(settings: Settings, index: int) -> float:
    """What one process has answered by its own page."""
    page = httpx.get(f"http://{settings.probe_of(index)}/metrics").text
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(ANSWERED))


def pids(platform: Platform) -> dict[str, int | None]:
    return {one.part: one.pid for one in platform.status(["server"])}


async def ask_while_restarted(platform: Platform) -> SteadyLoad:
    load = SteadyLoad(platform.settings, lambda version: 2.0)
    async with load.running():
        await load.more(30)
        counts = [await asyncio.to_thread(counted, platform.settings, index) for index in (0, 1)]
        assert min(counts) > 0, "both processes answer on the port that they share"
        await asyncio.to_thread(platform.restart_servers)
        await load.more(30)
    return load


def test_processes_of_one_port_are_replaced_under_load_without_a_lost_request(ready_settings: Settings) -> None:
    settings = replace(ready_settings, server_processes=2, log_format="json", log_requests=True)
    registry, platform = Registry(settings), Platform(settings)
    registry.register("times", 1, times_stored(folder_of(settings), 2.0))
    registry.deploy("times", 1)
    try:
        platform.up(["server"])
        before = pids(platform)
        load = asyncio.run(ask_while_restarted(platform))
        after = pids(platform)
        assert [one.part for one in health.check_all(settings, ["server-2", "server"])] == ["server", "server-2"]
        assert platform.supervisor.states().keys() == {"server", "server-2"}, "the spare one is gone"
    finally:
        platform.down()
    assert load.wrong == []
    lines = [json.loads(line) for line in platform.log_file("server").read_text().splitlines() if line[:1] == "{"]
    asked = [line for line in lines if line["logger"] == "serving.requests"]
    over_grpc = [line for line in asked if "Predict" in line["request"]]
    over_http = [line for line in asked if line["request"] == "POST /predict"]
    assert over_grpc and {line["code"] for line in over_grpc} <= {"OK", "CANCELLED"}
    assert over_http and all(line["request_id"] for line in over_http)
    assert set(before) == {"server", "server-2"}
    assert not {*before.values()} & {*after.values()}
    started = {event.server for event in registry.told(SERVING_EVENTS, ServerStarted)}
    assert started == {"server-1", "server-1.2", "server-1.spare"}


def test_the_spare_one_answers_until_a_restart_succeeds(
    ready_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, platform = Registry(ready_settings), Platform(ready_settings)
    registry.register("times", 1, times_stored(folder_of(ready_settings), 2.0))
    registry.deploy("times", 1)
    check_server = health.check_server

    def never(part: str, index: int, settings: Settings, timeout_s: float) -> health.Health:
        """The replacement is never seen to be ready; the spare one is, as it was."""
        seen = check_server(part, index, settings, timeout_s)
        return replace(seen, ok=False, detail="still loading") if part == "server" else seen

    def interrupted(line: str) -> None:
        if line.startswith("server is ready"):
            raise KeyboardInterrupt

    def spare() -> int | None:
        state = platform.supervisor.states().get(SPARE, {})
        return state["pid"] if state.get("statename") == "RUNNING" else None

    try:
        platform.up(["server"])
        with pytest.raises(KeyboardInterrupt):
            platform.restart_servers(interrupted)
        stayed = spare()
        assert stayed is not None
        monkeypatch.setattr(health, "check_server", never)
        with pytest.raises(PlatformError, match="server was not ready in time: still loading"):
            platform.restart_servers(timeout_s=5)
        assert spare() == stayed, "the next try takes the spare one that is there, and leaves it"
        assert shown(platform) == {"server", SPARE}
        assert check_server(SPARE, 1, ready_settings).ok
        monkeypatch.undo()
        eventually(lambda: platform.supervisor.states()["server"]["statename"] == "RUNNING")
        said: list[str] = []
        platform.restart_servers(said.append)
        assert [line.split(" is ready")[0] for line in said] == [SPARE, "server"]
        assert platform.supervisor.states().keys() == {"server"}
        assert shown(platform) == {"server"}
    finally:
        platform.down()


def shown(platform: Platform) -> set[str]:
    """What `bighead status` says can be used, of the parts that are there."""
    return {one.part for one in platform.status() if one.ok and one.state != NOT_STARTED}


@pytest.mark.parametrize(
    ("state", "said"), [("STARTING", "is starting at this moment"), ("BACKOFF", "see `bighead logs")]
)
def test_a_restart_says_what_a_process_does_that_does_not_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, state: str, said: str
) -> None:
    platform = Platform(settings)
    monkeypatch.setattr(platform.supervisor, "states", lambda: {"server": {"statename": state}})
    with pytest.raises(PlatformError, match=said):
        platform.restart_servers()


def test_a_restart_of_what_does_not_run_is_refused(settings: Settings) -> None:
    with pytest.raises(PlatformError, match=r"server does not run from .*; start it: bighead up"):
        Platform(settings).restart_servers()

"""Which parts are probed where nobody says which."""

import pytest

from bighead import config, health
from bighead.config import Settings
from bighead.health import Health


def test_every_model_server_is_probed_where_no_part_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(part: str, settings: Settings, timeout_s: float) -> Health:
        return Health(part, True, 1.0, "answered", 1)

    monkeypatch.setattr(health, "check", check)
    settings = config.load({"BIGHEAD_SERVER_PROCESSES": "3"})
    servers = ["server", "server-2", "server-3"]
    probed = [one.part for one in health.check_all(settings)]
    assert probed == ["kafka", "registry", "redis", "worker", "materializer", *servers, "console"]
    assert [one.part for one in health.check_all(settings, ["console", "server"])] == ["server", "console"]

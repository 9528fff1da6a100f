"""Free ports for a platform: every port that its parts will listen on is tried, and none is chosen twice."""

from pathlib import Path

import pytest

from bighead.local.parts import INFRASTRUCTURE, ports
from bighead.local.ports import free_settings


@pytest.mark.parametrize("processes", [1, 20])
def test_every_port_of_a_part_is_tried_and_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    tried: set[int] = set()

    def port_is_free(host: str, port: int) -> bool:
        tried.add(port)
        return True

    monkeypatch.setattr("bighead.local.ports.port_is_free", port_is_free)
    settings = free_settings(tmp_path, {"BIGHEAD_SERVER_PROCESSES": str(processes)})
    parts = (*INFRASTRUCTURE, "server", "console", "flink-jobmanager")
    listened = [port.number for part in parts for port in ports(part, settings)]
    assert len(listened) == len(set(listened)), "none twice"
    assert set(listened) <= tried

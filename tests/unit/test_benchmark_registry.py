"""What the benchmark of the registry fills both sides with is what a writer would have written."""

import sqlite3
from pathlib import Path

from benchmarks.registry import peer
from benchmarks.registry.asks import ASKS
from benchmarks.registry.content import Size, events, model_names
from bighead.events.message import Position
from bighead.events.types import CommandRejected, ModelRegistered
from bighead.registry.timeline import Timelines

SIZE = Size(models=9, versions=4, events=9 * 20)
MLFLOW = """
CREATE TABLE registered_models (name, creation_time, last_updated_time, description, workspace);
CREATE TABLE registered_model_aliases (alias, version, name, workspace);
CREATE TABLE runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, end_time,
  source_version, lifecycle_stage, artifact_uri, experiment_id);
CREATE TABLE model_versions (name, version, creation_time, last_updated_time, description, user_id, current_stage,
  source, run_id, status, storage_location, workspace);
CREATE TABLE metrics (key, value, timestamp, run_uuid, step, is_nan);
CREATE TABLE latest_metrics (key, value, timestamp, run_uuid, step, is_nan);
CREATE TABLE params (key, value, run_uuid);
CREATE TABLE model_version_tags (key, value, name, version, workspace);
"""


def test_the_events_are_a_log() -> None:
    told = list(events(SIZE))
    lines = Timelines()
    for offset, event in enumerate(told):
        lines.apply(event, Position("m", 0, offset))
    assert [event.at_ms for event in told] == sorted(event.at_ms for event in told)
    assert len({event.command_id for event in told}) == len(told) == SIZE.events
    found = lines.models()
    assert list(found) == sorted(model_names(SIZE))
    assert {len(view.state.versions) for view in found.values()} == {SIZE.versions}
    assert {len(view.history) for view in found.values()} == {SIZE.per_model}
    assert any(isinstance(event, CommandRejected) for event in told)
    assert all(view.state.live for view in found.values())


def test_both_sides_hold_the_same_versions_and_are_asked_the_same(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "db") as tables:
        tables.executescript(MLFLOW)
    peer.fill(tmp_path / "db", SIZE)
    registered = [event for event in events(SIZE) if isinstance(event, ModelRegistered)]
    with sqlite3.connect(tmp_path / "db") as tables:
        versions = set(tables.execute("SELECT name, version, run_id FROM model_versions"))
        (metrics,) = tables.execute("SELECT count(*) FROM latest_metrics").fetchone()
    assert versions == {(one.model, one.version, peer.run_id(one.model, one.version)) for one in registered}
    assert metrics == sum(len(one.record.metrics) for one in registered)
    assert all("ours" in paths for paths in ASKS.values())
    assert "as_of" in str(ASKS["show as of half of the log"]["ours"]("delay", SIZE))

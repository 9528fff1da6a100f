"""Models from their training to their answers on a real platform: partitioned ones, and one by the commands alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline

from bighead import config
from bighead.client.models import ModelsClient
from bighead.client.outcomes import Outcomes
from bighead.client.predict import PredictionClient
from bighead.client.publish import Publisher
from bighead.client.run_sinks import TopicSink
from bighead.client.segments import SegmentsClient
from bighead.clock import wall_clock_ms
from bighead.errors import CommandRefused
from bighead.local.platform import Platform
from bighead.pipeline import request
from bighead.pipeline.record import About, Origin
from bighead.pipeline.segments import Segmented, train_segments
from bighead.pipeline.segments.publish import publish_segments
from bighead.pipeline.splits import Split, by_time
from bighead.pipeline.training_set import TrainingSet
from bighead.registry.keys import new_secret_key, public_key, secret_key
from bighead.registry.manifest import check_trusted
from bighead.testing import eventually
from bighead.training import running
from bighead.training.specification import load_specification
from tests.unit.training.kit import PARTITIONED, SPECIFICATION, Project, rows

COLUMNS, LEVELS = ("a", "b"), ("city", "country")
CITIES = 12
ORIGIN = Origin(None, None, None, {"name": "cities"}, {}, "test", "", 0, 1)


def split_of() -> Split:
    """Twelve cities in three countries, the last city with few rows; what late means is turned in every other one."""
    source = np.random.default_rng(2)
    count = 1_000
    city = np.minimum(source.integers(0, 12 * CITIES, count) // 11, CITIES - 1)
    city[city == CITIES - 1] = np.where(np.arange((city == CITIES - 1).sum()) % 8 == 0, CITIES - 1, 0)
    numbers = source.normal(size=(count, 2))
    late = np.where(city % 2, 1, -1) * numbers[:, 0] + source.normal(scale=0.5, size=count) > 0
    frame = pd.DataFrame(numbers, columns=list(COLUMNS))
    frame["city"], frame["country"] = [f"c{one}" for one in city], [f"n{one % 3}" for one in city]
    frame["late"], frame["asked_ms"] = late, np.arange(count)
    inputs = tuple(request(name) for name in COLUMNS)
    return by_time(TrainingSet(name="cities", rows=frame, inputs=inputs, label="late", time="asked_ms"), 700)


def boosted(seed: int) -> Pipeline:
    trees = HistGradientBoostingClassifier(max_iter=5, max_features=0.5, early_stopping=False, random_state=seed)
    return Pipeline([("columns", ColumnTransformer([("numbers", "passthrough", list(COLUMNS))])), ("trees", trees)])


@pytest.fixture(scope="module")
def trained() -> Segmented:
    return train_segments(split_of(), boosted, levels=LEVELS, min_rows=25, metrics=("roc_auc",), seed=5)


def test_a_partitioned_model_answers_over_grpc_as_its_models_do_here(
    applications: Platform, trained: Segmented
) -> None:
    client, secret = SegmentsClient(applications.settings, "test"), secret_key(new_secret_key())
    published = publish_segments(client, "cities", trained, ORIGIN, "trained by city", About(), secret=secret)

    assert len(published.versions) == len(trained.models) == CITIES - 1 + 3
    assert [len(one.refused) for one in published.servers] == [0]
    test = split_of().test.rows.iloc[:60]
    unknown = pd.DataFrame([{"city": "c11", "country": "n2"}, {"city": "c11", "country": "?"}]).assign(a=0.5, b=0.1)
    rows = pd.concat([test, unknown], ignore_index=True)
    by = trained.answered_by(rows)
    assert list(by[-2:]) == ["country=n2", ""], "a thin city falls back to its country, what is unknown to all rows"
    with PredictionClient(applications.settings.grpc) as predictions:
        answer = predictions.predict(
            "cities", rows[list(LEVELS)].to_dict("records"), rows[list(COLUMNS)].to_dict("records"), timeout_s=60
        )
    for place, (segment, found) in enumerate(zip(by, answer.predictions, strict=True)):
        model = trained.models.get(segment, trained.whole)
        expected = model.estimator.predict_proba(rows.loc[[place], list(COLUMNS)])[0, 1]
        assert (found.arm, found.version) == (segment or "live", published.versions.get(segment, published.live))
        assert found.outputs["probability"] == pytest.approx(expected, abs=1e-12)
    assert f"{published.versions['city=c3']}" in str(published.trained.grid)
    state = client.show("cities").state
    assert {one.record.tags["segment"] for one in state.versions} == {*trained.models, "all rows"}
    for version in state.versions:
        check_trusted("cities", version.record, [public_key(secret)])


def test_a_version_that_the_registry_refuses_is_an_error_with_its_reason(
    applications: Platform, trained: Segmented
) -> None:
    client = SegmentsClient(applications.settings, "test")
    with pytest.raises(CommandRefused, match="has no reason"):
        publish_segments(client, "cities_refused", trained, ORIGIN, " ", About())


def test_a_training_registers_and_deploys_its_segments_once(applications: Platform, tmp_path: Path) -> None:
    project, settings, secret = Project.made(tmp_path), applications.settings, secret_key(new_secret_key())
    project.write(PARTITIONED.replace('model="late"', 'model="late_by_c"'))

    def run(wanted: running.Wanted) -> running.Trained:
        sink = TopicSink(settings, "test")
        try:
            return running.train(load_specification(project.specification), settings, sink, wanted, print)
        finally:
            sink.close()

    registered = run(running.Wanted(reason="by c", register=True, secret=secret))
    (Path(registered.folder) / "steps" / "register.json").unlink()  # as if it had died before it kept the numbers
    deployed = run(running.Wanted(reason="by c", register=True, deploy=True, secret=secret))

    assert deployed.deployed
    assert (deployed.version, sorted(deployed.segments)) == (4, ["c=a", "c=b", "c=c"])
    assert (deployed.version, deployed.segments) == (registered.version, registered.segments)
    state = ModelsClient(settings, "test").show("late_by_c").state
    assert {one.record.tags["segment"]: one.number for one in state.versions} == {
        "all rows": deployed.version,
        **deployed.segments,
    }
    assert len(state.versions) == 4
    for version in state.versions:
        check_trusted("late_by_c", version.record, [public_key(secret)])
    with PredictionClient(settings.grpc) as predictions:
        asked = [{"x": 0.3, "c": c} for c in ("a", "b", "c", "d")]
        answers = predictions.predict("late_by_c", [{}] * 4, asked, timeout_s=60).predictions
    assert [one.arm for one in answers] == ["c=a", "c=b", "c=c", "live"]
    assert [one.version for one in answers] == [*(deployed.segments[f"c={c}"] for c in "abc"), deployed.version]


def bighead(platform: Platform, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, as a person or a script runs it."""
    environment = config.inherited_environment() | config.variables(platform.settings)
    command = [str(Path(sys.executable).with_name("bighead")), *arguments, "--json"]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)


def said(platform: Platform, folder: Path, *arguments: str) -> dict[str, Any]:
    done = bighead(platform, folder, *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def serve_and_observe(platform: Platform, count: int) -> None:
    """Requests that the live version answers, and what became of each."""
    asked = rows(count)
    keys = [{"plane": str(at)} for at in range(count)]
    with PredictionClient(platform.settings.grpc) as predictions:
        answer = predictions.predict("late", keys, asked[["x", "c"]].to_dict("records"), timeout_s=60)
    assert {one.version for one in answer.predictions} == {1}
    publisher = Publisher(platform.settings, "test")
    outcomes = Outcomes(platform.settings, publisher, "late")
    for entity, late, found in zip(keys, asked.late, answer.predictions, strict=True):
        outcomes.observe(entity, float(late), wall_clock_ms(), found.prediction_id)
    publisher.flush()
    publisher.codec.close()


def test_a_model_is_trained_deployed_and_looked_back_on_by_commands(
    applications: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, pem = Project.made(tmp_path), new_secret_key()
    monkeypatch.setenv("BIGHEAD_SIGNING_KEY", pem)
    train = ("train", "spec.py", "--register", "--deploy", "--reason", "first")
    first = said(applications, tmp_path, *train)
    assert (first["model"], first["version"], first["deployed"]) == ("late", 1, True)
    (Path(first["folder"]) / "steps" / "register.json").unlink()
    assert said(applications, tmp_path, *train) == first, "the same run, which died before it kept its version's number"
    client = ModelsClient(applications.settings, "test")
    [only] = client.show("late").state.versions
    assert (only.record.tags["run"], only.record.artifact_sha256) == (first["run_id"], first["sha256"])
    check_trusted("late", only.record, [public_key(secret_key(pem))])

    serve_and_observe(applications, 40)
    project.write(SPECIFICATION.replace('"learning_rate": 0.5', '"learning_rate": 0.9'))
    second = said(applications, tmp_path, "train", "spec.py", "--register", "--reason", "faster")
    assert (second["version"], second["deployed"]) == (2, False)
    assert client.show("late").state.versions[1].record.parent_version == 1

    def looked_back() -> dict[str, Any]:
        return said(applications, tmp_path, "models", "retrospect", "late", "2", "--since", "10m")

    def all_logged() -> bool:
        found = looked_back()
        return (found["compared"], found["answered_by"]) == (40, {"1": 40})

    eventually(all_logged, 20)
    refused = bighead(applications, tmp_path, "models", "retrospect", "late", "9")
    assert (refused.returncode, "has no version 9" in refused.stderr) == (4, True)
    unasked = bighead(applications, tmp_path, "train", "spec.py", "--deploy")
    assert (unasked.returncode, "need --reason" in unasked.stderr) == (2, True)

"""A training run from its specification to a registered, deployed model: told as events, resumable, with evidence."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bighead import artifacts
from bighead.client.attachments import store_documents
from bighead.client.run_log import Outcome, RunLog
from bighead.client.run_sinks import RunSink, read_run
from bighead.client.run_state import RUNNING
from bighead.clock import wall_clock_ms
from bighead.config import Settings
from bighead.errors import Conflict, DefinitionError
from bighead.events.types import ModelRecord
from bighead.pipeline.parallel import Workers
from bighead.pipeline.record import About, Origin, model_record, save
from bighead.pipeline.segments.hierarchy import WHOLE
from bighead.pipeline.segments.publish import segment_records
from bighead.pipeline.training_set import Task, TrainingSet
from bighead.training.fingerprint import EVIDENCE, ROWS
from bighead.training.judging import Judged, judge
from bighead.training.making import Made, make
from bighead.training.partitioned import segments_document
from bighead.training.registering import RUN_TAG, Registrar
from bighead.training.specification import Specification
from bighead.training.steps import Progress, Steps
from bighead.training.workspace import Workspace

KIND = "train"
MODEL, SEGMENTS = "model.onnx", "segments.json"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to become of the model beyond its record. secret: the key that signs the version, where there is one."""

    reason: str
    register: bool = False
    deploy: bool = False
    secret: Ed25519PrivateKey | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The outcome of a run.

    version: None where it was not registered; folder: model.onnx and record.json. Of a partitioned model these are of
    all rows; segments: the versions of the others, where they were registered; sha256: of all models at once, and
    segments.json in the folder says each.
    """

    run_id: str
    model: str
    sha256: str
    metrics: Mapping[str, float]
    folder: str
    version: int | None = None
    deployed: bool = False
    segments: Mapping[str, int] = field(default_factory=dict)


def train(
    specification: Specification,
    settings: Settings,
    sink: RunSink,
    wanted: Wanted,
    say: Progress,
    workers: Workers | None = None,
) -> Trained:
    """Runs the specification, or goes on with it where an earlier attempt was interrupted.

    workers: where the models of segments are fitted, None: in processes of this machine. It is no part of the run: the
    bytes are the same. Raises Conflict where another process is at it, DefinitionError where there is nothing for them.
    """
    if workers is not None and specification.training.segments is None:
        raise DefinitionError(
            f"{specification.name} names no segments, and one fit is not distributed: `bighead train` makes it in a "
            "process; expected Training(segments=Partition(...)) for executors"
        )
    log = RunLog(
        settings,
        specification.training.model,
        KIND,
        specification.document,
        wanted.reason,
        sink=sink,
        environment=f"Python {platform.python_version()}, scikit-learn {package_version('scikit-learn')}",
    )
    _check_alone(log.id, sink)
    say(f"run {log.id[:12]}: {specification.training.model}")
    workspace = Workspace(settings.home / "runs" / log.id)
    began_ms = wall_clock_ms()
    with log.running() as outcome:
        steps = Steps(log, workspace, say)
        made = make(specification, settings, steps, {}, workers=workers)
        _evidence(settings, log, made)
        judged = steps.do("evaluate", lambda step: _judged(specification, made, log, step))
        records = steps.do("record", lambda step: _records(specification, settings, made, judged, log.id, began_ms))
        found = Trained(
            run_id=log.id,
            model=specification.training.model,
            sha256=made.evidence.artifact,
            metrics=judged.metrics,
            folder=str(workspace.folder),
        )
        _write(workspace.folder, made, records[WHOLE])
        if wanted.register:
            found = _registered(settings, made, records, steps, wanted, found)
        outcome.outputs |= {
            "sha256": found.sha256,
            "metrics": dict(found.metrics),
            **({"version": found.version} if found.version else {}),
            **({"segments": dict(found.segments)} if found.segments else {}),
        }
    return found


def _registered(
    settings: Settings, made: Made, records: Mapping[str, ModelRecord], steps: Steps, wanted: Wanted, found: Trained
) -> Trained:
    """The same with its version, and those of its segments; deployed where that is wanted."""
    registrar = Registrar(settings, found.model, made.segmented, wanted.reason, wanted.secret)
    artifact = Path(found.folder) / MODEL
    versions = steps.do("register", lambda step: registrar.register(records, artifact, step))
    own = {segment: number for segment, number in versions.items() if segment != WHOLE}
    steps.say(
        f"{found.model} version {versions[WHOLE]} is registered" + (f", and {len(own)} of segments" if own else "")
    )
    found = replace(found, version=versions[WHOLE], segments=own)
    if not wanted.deploy:
        return found
    steps.do("deploy", lambda step: registrar.deploy(versions, step), known=False)
    return replace(found, deployed=True)


def _check_alone(run_id: str, sink: RunSink) -> None:
    """One process at a time: what another has kept is read when it is done, or dead."""
    run = read_run(sink, run_id)
    attempt = run.newest if run else None
    if attempt is None or attempt.status != RUNNING or attempt.started is None:
        return
    begun = attempt.started
    if begun.host == platform.node() and not psutil.pid_exists(begun.pid):
        return  # it has died on this machine, which need not wait until it has been silent for long enough
    raise Conflict(
        f"run {run_id[:12]} is under way in process {begun.pid} on {begun.host}; wait for its end, or, if that process "
        f"is dead, for {begun.silence_s} s after its last sign of life"
    )


def _evidence(settings: Settings, log: RunLog, made: Made) -> None:
    """What the model came from and its bytes, in the artifact store: `bighead runs reproduce` compares with it."""
    documents = {
        MODEL: made.proven.content,
        EVIDENCE: json.dumps(made.evidence.document(), sort_keys=True).encode(),
        ROWS: made.rows.astype("<u8").tobytes(),
    }
    if made.segmented:
        documents[SEGMENTS] = segments_document(made.segmented)
        for one in made.segmented.every:
            artifacts.put_bytes(settings.artifacts, f"the model of {one.segment or 'all rows'}", one.proven.content)
    for name, content in documents.items():
        log.artifact(name, artifacts.put_bytes(settings.artifacts, name, content))


def _judged(specification: Specification, made: Made, log: RunLog, step: Outcome) -> Judged:
    judged = judge(specification.training, made)
    for name, value in judged.metrics.items():
        log.metric(name, value)
    step.rows = len(made.split.test)
    step.outputs["documents"] = [one.name for one in judged.documents]
    return judged


def _records(
    specification: Specification, settings: Settings, made: Made, judged: Judged, run_id: str, began_ms: int
) -> dict[str, ModelRecord]:
    """The record of the model, by WHOLE, and of a partitioned one those of its segments, which come first."""
    origin = _origin(specification, settings, made, began_ms)
    about = About(
        model_type=str(made.fitted.task),
        family=type(made.fitted.model).__name__,
        positive_label=str(made.fitted.classes[1]) if made.fitted.task is Task.BINARY else None,
        decision_threshold=0.5 if made.fitted.task is Task.BINARY else None,
        tags={**specification.training.tags, RUN_TAG: run_id},
        attachments=store_documents(settings, judged.documents),
    )
    artifact = artifacts.put_bytes(settings.artifacts, MODEL, made.proven.content)
    if made.segmented is None:
        return {WHOLE: model_record(made.proven, artifact, judged.metrics, origin, about)}
    each = replace(about, attachments=store_documents(settings, judged.each))
    records = segment_records(made.segmented, origin, each)
    whole = records[WHOLE]
    own = {**whole.metrics, **judged.whole}
    records[WHOLE] = replace(whole, artifact_uri=artifact.uri, metrics=own, attachments=tuple(about.attachments))
    return records


def _origin(specification: Specification, settings: Settings, made: Made, began_ms: int) -> Origin:
    training, split = specification.training, made.split
    code = made.evidence.code["the specification"]
    version = code["version"] or made.evidence.code["bighead"]["version"]
    return Origin(
        join=split.train.join or None,
        join_epoch=split.train.join_epoch,
        join_hash=split.train.join_hash,
        training_data={"train": _data(split.train), "test": _data(split.test)},
        config={**made.evidence.parameters, "seed": training.seed, "specification": training.document()},
        code_version=version,
        environment=f"Python {platform.python_version()}, scikit-learn {package_version('scikit-learn')}",
        started_ms=began_ms,
        finished_ms=wall_clock_ms(),
        code_dirty_sha256=code["dirty_sha256"],
        trained_by=settings.actor,
    )


def _data(rows: TrainingSet) -> dict[str, Any]:
    """Where rows lie, as a record says it."""
    table = {name: value for name, value in rows.origin.items() if name in ("table", "version", "sources", "positions")}
    asked = rows.rows[rows.time].to_numpy() if rows.time else np.array([], np.int64)
    span = {"from_ms": int(asked.min()), "to_ms": int(asked.max()) + 1} if len(asked) and asked.min() >= 0 else {}
    return {"table": rows.name, **table, "rows": len(rows), **span}


def _write(folder: Path, made: Made, record: ModelRecord) -> None:
    """What `bighead models register` takes, too."""
    save(made.proven, folder / MODEL)
    if made.segmented:
        (folder / SEGMENTS).write_bytes(segments_document(made.segmented))
    (folder / "record.json").write_text(json.dumps(record.to_record(), indent=1, sort_keys=True))

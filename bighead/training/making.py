"""From a specification to a proven model and what it came from: read, check, search, fit, prove. Registers nothing.

Or to a proven model for each segment of its rows, where it names segments.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

import bighead
from bighead.client.catalog import read_served
from bighead.client.run_log import Outcome
from bighead.config import Settings
from bighead.errors import ModelError
from bighead.pipeline.checks import Finding, check, raise_for
from bighead.pipeline.origin import Code, code_of, environment
from bighead.pipeline.parallel import Workers
from bighead.pipeline.parity import ProvenModel
from bighead.pipeline.search import Search, Trial, search
from bighead.pipeline.segments import Segmented
from bighead.pipeline.segments.training import check_partition
from bighead.pipeline.splits import Split
from bighead.pipeline.training_set import TrainingSet
from bighead.pipeline.wrapped import FittedPipeline, Pipeline, steps_of
from bighead.training.fingerprint import Evidence, Hashes, column_hashes, row_hashes
from bighead.training.partitioned import fit_segments, hashes_of, sha256_of
from bighead.training.reading import Read, read_rows
from bighead.training.seeding import seeded
from bighead.training.specification import DeltaRows, ParquetRows, Specification, Training
from bighead.training.steps import Steps

PARITY_ROWS = 2_000


@dataclass(frozen=True, eq=False, kw_only=True)
class Made:
    """A proven model with all that it was made from; of a partitioned one `fitted` and `proven` are of all rows.

    segmented: the models of the segments as well, None where the model is not partitioned.
    """

    read: Read
    split: Split
    tuned: Search | None
    fitted: FittedPipeline
    proven: ProvenModel
    evidence: Evidence
    rows: Hashes
    segmented: Segmented | None = None


class _Model(NamedTuple):
    """What was fitted: the model, or that of all rows with those of the segments."""

    fitted: FittedPipeline
    proven: ProvenModel
    segmented: Segmented | None


def make(
    specification: Specification,
    settings: Settings,
    steps: Steps,
    pinned: Mapping[str, Any],
    checked: bool = True,
    workers: Workers | None = None,
) -> Made:
    """Makes the model. pinned: which rows an earlier run has read, empty: those that the specification names.

    checked: whether the checks may refuse it; what is made again was let pass then, and definitions may have changed.
    workers: where the models of segments are fitted, None: in processes, as the specification says.
    """
    training = specification.training
    read = steps.do(
        "read",
        lambda outcome: _read(specification, settings, steps, pinned, outcome),
        known=False,
    )
    columns, rows = column_hashes(read.rows.rows), row_hashes(read.rows.rows)
    code, packages = code_of_run(specification), environment_document()
    steps.also_from({"columns": columns, "code": code, "environment": packages})
    split = training.split.split(read.rows, training.seed)
    steps.say(f"{len(split.train):,} rows to train on, {len(split.test):,} to test on: {split.how}")
    _check_named(training, read.rows)
    if training.segments:
        check_partition(split, training.segments.levels, training.segments.min_rows, training.segments.metrics)
    if checked:
        steps.do("check", lambda outcome: _check(specification, settings, split, steps, outcome))
    tuned = (
        steps.do("search", lambda outcome: _search(specification, split, steps, outcome)) if training.search else None
    )
    model = _model(specification, split, tuned, workers, steps)
    evidence = Evidence(
        artifact=sha256_of(model.segmented) if model.segmented else model.proven.sha256,
        segments=hashes_of(model.segmented) if model.segmented else {},
        seed=training.seed,
        specification={name: value for name, value in specification.document.items() if name != "source"},
        data={"name": read.rows.name, "rows": len(read.rows), "columns": columns},
        parameters=parameters_of(model.fitted),
        code=code,
        environment=packages,
        folder=str(specification.folder),
        read=dict(read.identity),
    )
    return Made(
        read=read,
        split=split,
        tuned=tuned,
        fitted=model.fitted,
        proven=model.proven,
        segmented=model.segmented,
        evidence=evidence,
        rows=rows,
    )


def _check_named(training: Training, rows: TrainingSet) -> None:
    """Raises ModelError for columns that only the evaluation, at the end, would look for."""
    named = {"slices": training.slices or (), "baselines": training.baselines.values()}
    absent = [f"{what} {name!r}" for what, names in named.items() for name in names if name not in rows.rows.columns]
    if absent:
        raise ModelError(f"{rows.name!r} has no column for {', '.join(absent)}; it has {', '.join(rows.rows.columns)}")


def code_of_run(specification: Specification) -> dict[str, dict[str, str]]:
    """Of the specification's folder and of bighead: the commit and what was changed beside it, or the version."""
    found = {"the specification": _code(specification.folder, "")}
    found["bighead"] = _code(Path(bighead.__file__).parent, package_version("bighead"))
    return {what: {"version": one.version, "dirty_sha256": one.dirty_sha256} for what, one in found.items()}


def environment_document() -> dict[str, Any]:
    """Python, the machine and the packages; bighead's own code is told apart."""
    found: dict[str, Any] = json.loads(environment())
    found["packages"] = {name: version for name, version in found["packages"].items() if name != "bighead"}
    return found


def parameters_of(fitted: FittedPipeline) -> dict[str, str]:
    """Every parameter of every step; of what is no plain value the kind."""
    return {
        name: repr(value) if value is None or isinstance(value, bool | int | float | str) else type(value).__qualname__
        for name, value in sorted(fitted.estimator.get_params(deep=True).items())
    }


def _code(folder: Path, otherwise: str) -> Code:
    try:
        return code_of(folder)
    except ModelError:  # it lies in no repository
        return Code(otherwise)


def _read(
    specification: Specification, settings: Settings, steps: Steps, pinned: Mapping[str, Any], outcome: Outcome
) -> Read:
    read = read_rows(specification, settings, steps.say, pinned)
    outcome.rows = len(read.rows)
    outcome.outputs |= dict(read.identity)
    if isinstance(specification.training.data, ParquetRows) and pinned and read.identity != pinned:
        steps.say(f"{specification.training.data.path} is another file than it was")
    return read


def _check(
    specification: Specification, settings: Settings, split: Split, steps: Steps, outcome: Outcome
) -> tuple[Finding, ...]:
    """What the checks find; raises ChecksFailed where an error is not silenced. A search has yet to choose."""
    training = specification.training
    estimator = None if training.search else specification.estimator(training.parameters, training.seed)
    served = read_served(settings) if isinstance(training.data, DeltaRows) else None
    found = check(split, estimator, served=served, silence=training.silence)
    outcome.outputs["findings"] = [one.to_json() for one in found]
    for one in found:
        if not one.stops:  # the error that follows tells those
            steps.say(one.text)
    raise_for(found)
    return found


def _search(specification: Specification, split: Split, steps: Steps, outcome: Outcome) -> Search:
    training = specification.training
    tuning = training.search
    if tuning is None:
        raise ModelError("the training names no search")

    def tell(trial: Trial) -> None:
        if trial.scores:
            steps.log.metric(tuning.metric, trial.score, trial.number)
        steps.say(f"search: trial {trial.number} of {tuning.trials} {trial.ended}")

    seeded(training.seed)
    found = search(
        # The specification itself, so that trials in other processes are made by its text, too.
        lambda chosen, seed: specification.estimator({**specification.training.parameters, **chosen}, seed),
        tuning.space,
        split,
        metric=tuning.metric,
        trials=tuning.trials,
        seconds=tuning.seconds,
        seed=training.seed,
        folds=tuning.folds,
        jobs=tuning.jobs,
        journal_path=steps.workspace.folder / "search.journal",
        tell=tell,
    )
    outcome.outputs |= {"chosen": dict(found.parameters), "score": found.best.score, "on_test": found.outer}
    return found


def _model(
    specification: Specification, split: Split, tuned: Search | None, workers: Workers | None, steps: Steps
) -> _Model:
    training = specification.training
    chosen = {**training.parameters, **(tuned.parameters if tuned else {})}
    if training.segments is None:
        fitted = steps.do("fit", lambda outcome: _fit(specification, split, chosen, outcome))
        proven = steps.do("prove", lambda outcome: _prove(specification, split, fitted, outcome))
        return _Model(fitted, proven, None)

    def fit(outcome: Outcome) -> Segmented:
        return fit_segments(specification, chosen, split, workers, steps, outcome)

    segmented = steps.do("segments", fit, known=False)
    whole = FittedPipeline.of(steps_of(segmented.whole.estimator), training.task, split.train)
    return _Model(whole, segmented.whole.proven, segmented)


def _fit(specification: Specification, split: Split, chosen: Mapping[str, Any], outcome: Outcome) -> FittedPipeline:
    training = specification.training
    seeded(training.seed)
    with threadpool_limits(training.threads):
        fitted = Pipeline(specification.estimator(chosen, training.seed), training.task).fit(split.train)
    outcome.rows = len(split.train)
    return fitted


def _prove(specification: Specification, split: Split, fitted: FittedPipeline, outcome: Outcome) -> ProvenModel:
    given = {} if specification.training.tolerance is None else {"tolerance": specification.training.tolerance}
    sample = split.test.rows.iloc[:: max(1, len(split.test) // PARITY_ROWS)]
    seeded(specification.training.seed)
    proven = fitted.prove(sample, **given)
    outcome.rows = proven.parity.rows
    outcome.outputs |= {"sha256": proven.sha256, "max_abs_diff": proven.parity.max_abs_diff}
    return proven

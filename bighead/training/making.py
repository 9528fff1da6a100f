"""From a specification to a proven model and what it came from: read, check, search, fit, prove. Registers nothing."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import bighead
from bighead.client.catalog import read_served
from bighead.client.run_log import Outcome
from bighead.config import Settings
from bighead.errors import ModelError
from bighead.pipeline.checks import Finding, check, raise_for
from bighead.pipeline.origin import Code, code_of, environment
from bighead.pipeline.parity import ProvenModel
from bighead.pipeline.search import Search, Trial, search
from bighead.pipeline.splits import Split
from bighead.pipeline.wrapped import FittedPipeline, Pipeline
from bighead.training.fingerprint import Evidence, Hashes, column_hashes, row_hashes
from bighead.training.reading import Read, read_rows
from bighead.training.specification import DeltaRows, ParquetRows, Specification
from bighead.training.steps import Steps

PARITY_ROWS = 2_000
_LARGEST_SEED = 2**32


@dataclass(frozen=True, eq=False, kw_only=True)
class Made:
    """A proven model with all that it was made from."""

    read: Read
    split: Split
    tuned: Search | None
    fitted: FittedPipeline
    proven: ProvenModel
    evidence: Evidence
    rows: Hashes


def make(
    specification: Specification, settings: Settings, steps: Steps, pinned: Mapping[str, Any], checked: bool = True
) -> Made:
    """Makes the model. pinned: which rows an earlier run has read, empty: those that the specification names.

    checked: whether the checks may refuse it; what is made again was let pass then, and definitions may have changed.
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
    if checked:
        steps.do("check", lambda outcome: _check(specification, settings, split, steps, outcome))
    tuned = (
        steps.do("search", lambda outcome: _search(specification, split, steps, outcome)) if training.search else None
    )
    fitted = steps.do("fit", lambda outcome: _fit(specification, split, tuned, outcome))
    proven = steps.do("prove", lambda outcome: _prove(specification, split, fitted, outcome))
    evidence = Evidence(
        artifact=proven.sha256,
        seed=training.seed,
        specification={name: value for name, value in specification.document.items() if name != "source"},
        data={"name": read.rows.name, "rows": len(read.rows), "columns": columns},
        parameters=parameters_of(fitted),
        code=code,
        environment=packages,
        folder=str(specification.folder),
        read=dict(read.identity),
    )
    return Made(read=read, split=split, tuned=tuned, fitted=fitted, proven=proven, evidence=evidence, rows=rows)


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
    estimator = None if training.search else training.make(training.parameters, training.seed)
    served = read_served(settings) if isinstance(training.data, DeltaRows) else None
    found = check(split, estimator, served=served, silence=training.silence)
    outcome.outputs["findings"] = [one.to_json() for one in found]
    for one in found:
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

    _seeded(training.seed)
    found = search(
        lambda chosen, seed: training.make({**training.parameters, **chosen}, seed),
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


def _fit(specification: Specification, split: Split, tuned: Search | None, outcome: Outcome) -> FittedPipeline:
    training = specification.training
    chosen = {**training.parameters, **(tuned.parameters if tuned else {})}
    _seeded(training.seed)
    with threadpool_limits(training.threads):
        fitted = Pipeline(training.make(chosen, training.seed), training.task).fit(split.train)
    outcome.rows = len(split.train)
    return fitted


def _prove(specification: Specification, split: Split, fitted: FittedPipeline, outcome: Outcome) -> ProvenModel:
    given = {} if specification.training.tolerance is None else {"tolerance": specification.training.tolerance}
    sample = split.test.rows.iloc[:: max(1, len(split.test) // PARITY_ROWS)]
    _seeded(specification.training.seed)
    proven = fitted.prove(sample, **given)
    outcome.rows = proven.parity.rows
    outcome.outputs |= {"sha256": proven.sha256, "max_abs_diff": proven.parity.max_abs_diff}
    return proven


def _seeded(seed: int) -> None:
    """What draws without a seed of its own draws the same numbers in every attempt."""
    random.seed(seed)
    np.random.seed(seed % _LARGEST_SEED)

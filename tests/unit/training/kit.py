"""A small training in a folder of its own, run by the command as a user does."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bighead import config
from bighead.client.run_sinks import FileSink, local_sink
from bighead.config import Settings

START_MS = 1_700_000_000_000
SPECIFICATION = """
import os
import signal
from pathlib import Path

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from bighead.training import ByTime, ParquetRows, Training


def make(parameters, seed):
    killed = Path(__file__).with_name("kill")
    if killed.exists() and killed.read_text() == "now":
        killed.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    elif killed.exists():  # the checks have asked for it; who fits asks next
        killed.write_text("now")
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("text", encode, ["c"])], remainder="passthrough")
    trees = HistGradientBoostingClassifier(max_iter=3, random_state=seed, early_stopping=False, **parameters)
    return Pipeline([("columns", columns), ("trees", trees)])


training = Training(
    model="late",
    data=ParquetRows(path="rows.parquet", inputs={"x": "FP64", "c": "BYTES"}, label="late", time="asked_ms"),
    split=ByTime(test_from="1700000009000"),
    make=make,
    parameters={"learning_rate": 0.5},
    seed=7,
)
"""

_COUNTED = """
def make(parameters, seed):
    calls, interrupt = (Path(__file__).with_name(name) for name in ("calls", "interrupt"))
    with calls.open("a") as file:
        file.write(f"made in {os.getpid()}\\n")
    if interrupt.exists() and calls.read_text().count("made") == int(interrupt.read_text()):
        raise KeyboardInterrupt
    return made(parameters, seed)


training = """
PARTITIONED = (
    SPECIFICATION.replace("def make(", "def made(")
    .replace("ParquetRows, Training", "ParquetRows, Partition, Training")
    .replace("\ntraining = ", _COUNTED)
    .replace("seed=7,", 'seed=7,\n    segments=Partition(levels=("c",), min_rows=10, metrics=("roc_auc",), jobs=1),')
)
"""The same with a model for each c. Each call of make is a line in `calls`; that of `interrupt` is interrupted."""


def rows(count: int = 120) -> pd.DataFrame:
    """Examples, a second after each other; the last quarter is the test."""
    random = np.random.default_rng(3)
    x, c = random.normal(size=count), random.choice(["a", "b", "c"], count)
    late = (x + (c == "a") + random.normal(size=count) > 0.3).astype(np.int64)
    times = START_MS + np.arange(count) * 100
    return pd.DataFrame({"x": x, "c": c, "late": late, "asked_ms": times})


@dataclass(frozen=True)
class Project:
    """A folder with spec.py and rows.parquet, and the home of its runs."""

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> "Project":
        """A new one."""
        found = cls(folder)
        found.write(SPECIFICATION)
        rows().to_parquet(folder / "rows.parquet")
        return found

    @property
    def settings(self) -> Settings:
        """Its own."""
        return config.load({"BIGHEAD_HOME": str(self.folder / "home")})

    @property
    def sink(self) -> FileSink:
        """Where its runs are told."""
        return local_sink(self.settings)

    @property
    def specification(self) -> Path:
        """Its file."""
        return self.folder / "spec.py"

    def write(self, text: str) -> None:
        """Another specification."""
        self.specification.write_text(text)

    def bighead(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The command in a process of its own."""
        environment = config.inherited_environment() | config.variables(self.settings)
        command = [str(Path(sys.executable).with_name("bighead")), *arguments, "--local", "--json"]
        return subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False)

    def said(self, *arguments: str) -> dict[str, Any]:
        """What the command answers."""
        done = self.bighead(*arguments)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

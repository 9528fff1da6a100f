"""The process that makes the model of a run again: `python -m bighead.training.again FOLDER`, its request on stdin."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from bighead import config
from bighead.client.run_log import RunLog
from bighead.client.run_sinks import FileSink
from bighead.training.fingerprint import EVIDENCE, ROWS
from bighead.training.making import make
from bighead.training.running import KIND
from bighead.training.specification import run_specification
from bighead.training.steps import Steps
from bighead.training.workspace import Workspace


def main(folder: Path) -> None:
    """Reads a request from standard input, makes the model, and leaves what it came from in `folder`."""
    request = json.loads(sys.stdin.read())
    settings = replace(config.load(), home=folder, artifacts=str(folder / "artifacts"))
    specification = run_specification(request["source"], request["name"], Path(request["folder"]))
    sink = FileSink(folder / "events.jsonl")
    log = RunLog(settings, specification.training.model, KIND, specification.document, "made again", sink=sink)
    steps = Steps(log, Workspace(folder / "run"), lambda line: None)
    made = make(specification, settings, steps, request["pinned"], checked=False)
    (folder / EVIDENCE).write_text(json.dumps(made.evidence.document()))
    made.rows.astype("<u8").tofile(folder / ROWS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""What the steps of a run have made, kept so that a run which was interrupted goes on where it was.

Values lie under their SHA-256 as pickles in the home of who trains, and are read by nobody else: no server is given
any. A step's marker is written when its value is there, so half a step is none.
"""

import json
import pickle
from pathlib import Path
from typing import Any

from bighead import artifacts
from bighead.errors import ArtifactError


class Workspace:
    """The folder of one run. A step is done if it was done from the same: its key says from what."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._values = str(folder / "values")

    def has(self, step: str, key: str) -> bool:
        """Whether `value` would find one."""
        return self._marker(step).get("key") == key

    def value(self, step: str, key: str) -> Any | None:
        """What the step made from the same, checked; None where there is nothing of it."""
        marker = self._marker(step)
        if marker.get("key") != key:
            return None
        try:
            return pickle.loads(artifacts.read(self._values, marker["sha256"], marker["size"]))
        except (ArtifactError, AttributeError, ImportError):  # damaged, or made by code that is gone: done again
            return None

    def keep(self, step: str, key: str, value: Any) -> None:
        """Keeps what a step made; raises pickle.PicklingError, TypeError or AttributeError where it cannot be."""
        stored = artifacts.put_bytes(self._values, f"step {step}", pickle.dumps(value))
        path = self._path(step)
        path.parent.mkdir(exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({"key": key, "sha256": stored.sha256, "size": stored.size}))
        temporary.replace(path)

    def _marker(self, step: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._path(step).read_text())
        except (OSError, ValueError):
            return {}
        return found

    def _path(self, step: str) -> Path:
        return self.folder / "steps" / f"{step}.json"

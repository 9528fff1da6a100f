"""A Flink cluster by its REST interface: its jobs, and how one is submitted and cancelled.

Knows HTTP; raises PlatformError where the cluster does not answer or refuses.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bighead.errors import PlatformError
from streams.flink.job import MAIN

_TIMEOUT_S = 60.0
_LIVE = frozenset({"CREATED", "INITIALIZING", "RUNNING", "RESTARTING", "FAILING", "RECONCILING", "SUSPENDED"})


@dataclass(frozen=True)
class Job:
    """A job as the cluster knows it. `live`: it runs or comes back by itself."""

    id: str
    name: str
    state: str

    @property
    def live(self) -> bool:
        """Whether nobody needs to submit it again."""
        return self.state in _LIVE


class Cluster:
    """One session cluster."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._client = httpx.Client(base_url=f"http://{address}", timeout=_TIMEOUT_S)

    def close(self) -> None:
        """Disconnects."""
        self._client.close()

    def jobs(self) -> list[Job]:
        """All jobs that the cluster knows, ended ones among them."""
        return [Job(one["jid"], one["name"], one["state"]) for one in self._ask("GET", "/jobs/overview")["jobs"]]

    def submit(self, program: Path, description: Mapping[str, Any], checkpoint: Path | None) -> str:
        """Starts a job, from a checkpoint where there is one; its id."""
        with program.open("rb") as opened:
            files = {"jarfile": (program.name, opened, "application/x-java-archive")}
            uploaded = self._ask("POST", "/jars/upload", files=files)["filename"]
        jar = Path(uploaded).name
        body: dict[str, Any] = {"entryClass": MAIN, "programArgsList": [json.dumps(description)]}
        if checkpoint is not None:
            body |= {"savepointPath": checkpoint.as_uri(), "claimMode": "CLAIM", "allowNonRestoredState": True}
        try:
            return str(self._ask("POST", f"/jars/{jar}/run", json=body)["jobid"])
        finally:
            self._ask("DELETE", f"/jars/{jar}")

    def cancel(self, job: Job) -> None:
        """Ends a job."""
        self._ask("PATCH", f"/jobs/{job.id}", params={"mode": "cancel"})

    def wait_for_slots(self, timeout_s: float) -> None:
        """Returns when a task manager is there; raises PlatformError otherwise."""
        deadline_s = time.monotonic() + timeout_s
        while not self._ask("GET", "/overview")["taskmanagers"]:
            if time.monotonic() > deadline_s:
                raise PlatformError(f"no task manager is registered at {self._address} after {timeout_s:g} s")
            time.sleep(0.2)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._client.request(method, path, **more)
        except httpx.TransportError as error:
            raise PlatformError(
                f"the Flink cluster at {self._address} does not answer {method} {path}: {error}"
            ) from error
        if not answer.is_success:
            raise PlatformError(
                f"the Flink cluster refused {method} {path} with HTTP {answer.status_code}: {_why(answer)}"
            )
        return answer.json() if answer.content else {}


def _why(answer: httpx.Response) -> str:
    try:
        text = "\n".join(answer.json()["errors"])
    except (ValueError, KeyError, TypeError):
        text = answer.text
    causes = [line for line in text.splitlines() if line.startswith("Caused by")]
    return (causes[-1] if causes else text)[:1000]

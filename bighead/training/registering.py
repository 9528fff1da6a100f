"""What a run registers and deploys: its model, or those of its segments; not twice where it was killed in between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bighead.client.models import ModelsClient
from bighead.client.run_log import Outcome
from bighead.client.segments import SegmentsClient
from bighead.config import Settings
from bighead.errors import UnknownModel
from bighead.events.types import ModelRecord
from bighead.pipeline.segments import Segmented
from bighead.pipeline.segments.hierarchy import WHOLE
from bighead.pipeline.segments.publish import deploy_segments, register_segments
from bighead.registry.segments import SEGMENT_TAG
from bighead.registry.state import Version

RUN_TAG = "run"
"""The tag that says of a version which run it is of."""


@dataclass(frozen=True)
class Registrar:
    """Registers and deploys under one name. segmented: None where the model is not partitioned; secret: signs."""

    settings: Settings
    name: str
    segmented: Segmented | None
    reason: str
    secret: Ed25519PrivateKey | None = field(repr=False)

    def register(self, records: Mapping[str, ModelRecord], artifact: Path, step: Outcome) -> dict[str, int]:
        """The version of each record by its segment, of the model of all rows, or the only one, by WHOLE.

        artifact: of the only one. One that this very run has registered already, where it died before it could keep the
        number, is not registered again.
        """
        client = SegmentsClient(self.settings)
        there = _versions(client, self.name)
        known = {segment: number for segment, record in records.items() if (number := _registered(there, record))}
        missing = {
            segment: replace(record, parent_version=_parent(there, record))
            for segment, record in records.items()
            if segment not in known
        }
        step.outputs |= {"parent": _parent(there, records[WHOLE]), "known": len(known)}
        versions = known | (self._made(client, missing, artifact) if missing else {})
        return {segment: versions[segment] for segment in records}

    def deploy(self, versions: Mapping[str, int], step: Outcome) -> None:
        """Makes the version live, with those of the segments; waits until the servers have them, and tells which."""
        client = SegmentsClient(self.settings)
        if self.segmented is None:
            outcome = client.deploy(self.name, versions[WHOLE], self.reason)
            step.outputs["servers"] = [answer.server for answer in outcome.servers]
        else:
            loading = deploy_segments(client, self.name, self.segmented.levels, versions, self.reason)
            step.outputs["servers"] = [one.server for one in loading]

    def _made(self, client: SegmentsClient, missing: Mapping[str, ModelRecord], artifact: Path) -> dict[str, int]:
        if self.segmented is None:
            return {WHOLE: client.register(self.name, missing[WHOLE], artifact, self.reason, secret=self.secret)}
        return register_segments(client, self.name, self.segmented, missing, self.reason, secret=self.secret)


def _versions(client: ModelsClient, name: str) -> Sequence[Version]:
    try:
        return client.show(name).state.versions
    except UnknownModel:
        return ()


def _registered(there: Sequence[Version], record: ModelRecord) -> int | None:
    """The version that has this record, of this run."""
    named = (RUN_TAG, SEGMENT_TAG)
    for version in there:
        same = all(version.record.tags.get(tag) == record.tags.get(tag) for tag in named)
        if same and version.record.artifact_sha256 == record.artifact_sha256:
            return version.number
    return None


def _parent(there: Sequence[Version], record: ModelRecord) -> int | None:
    """The newest version of the same segment that is not retired."""
    alike = [
        version.number
        for version in there
        if version.retired is None and version.record.tags.get(SEGMENT_TAG) == record.tags.get(SEGMENT_TAG)
    ]
    return alike[-1] if alike else None

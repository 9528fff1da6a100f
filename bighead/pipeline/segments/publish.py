"""A partitioned model in the registry: one name, a version for each segment, and one deployment of all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bighead.artifacts import Artifact
from bighead.client.segments import Loading, SegmentsClient
from bighead.events.types import ModelRecord
from bighead.pipeline.record import About, Origin, model_record
from bighead.pipeline.segments.hierarchy import WHOLE
from bighead.pipeline.segments.result import Segmented, SegmentModel, metrics_of
from bighead.registry.segments import ALL_ROWS, SEGMENT_TAG


@dataclass(frozen=True, eq=False)
class Published:
    """What the registry made of a partitioned model: its versions by segment, and the one for what is in none.

    trained: with these versions in its grid. servers: how many models each server holds of it.
    """

    model: str
    live: int
    versions: Mapping[str, int]
    trained: Segmented
    servers: tuple[Loading, ...]


def publish_segments(
    client: SegmentsClient,
    name: str,
    trained: Segmented,
    origin: Origin,
    reason: str,
    about: About,
    *,
    secret: Ed25519PrivateKey | None = None,
) -> Published:
    """Registers the models of the segments, then that of all rows, deploys them and waits until the servers have them.

    origin and about: what is the same for all; each version says its segment in its tags and its configuration.
    secret: signs each version where it is given.
    Raises CommandRefused where the registry refuses a version, ModelError where a server cannot load one.
    """
    versions = register_segments(client, name, trained, segment_records(trained, origin, about), reason, secret=secret)
    servers = deploy_segments(client, name, trained.levels, versions, reason)
    own = {segment: number for segment, number in versions.items() if segment != WHOLE}
    return Published(name, versions[WHOLE], own, trained.with_versions(versions), servers)


def segment_records(trained: Segmented, origin: Origin, about: About) -> dict[str, ModelRecord]:
    """The record of each model by its segment, that of all rows last; where its artifact lies is not in it."""
    return {one.segment: _record(trained, one, origin, about) for one in (*trained.models.values(), trained.whole)}


def register_segments(
    client: SegmentsClient,
    name: str,
    trained: Segmented,
    records: Mapping[str, ModelRecord],
    reason: str,
    *,
    secret: Ed25519PrivateKey | None = None,
) -> dict[str, int]:
    """Registers these models, in their order, signed where there is a secret; the number of each by its segment."""
    models = {one.segment: one for one in trained.every}
    given = [(record, models[segment].proven.content) for segment, record in records.items()]
    return dict(zip(records, client.register_all(name, given, reason, secret=secret), strict=True))


def deploy_segments(
    client: SegmentsClient, name: str, levels: tuple[str, ...], versions: Mapping[str, int], reason: str
) -> tuple[Loading, ...]:
    """Makes the version of WHOLE live and those of the segments answer for these; waits until the servers have them."""
    own = {segment: number for segment, number in versions.items() if segment != WHOLE}
    used = {segment.partition("=")[0] for segment in own}
    return client.partition(name, versions[WHOLE], own, [level for level in levels if level in used], reason)


def _record(trained: Segmented, model: SegmentModel, origin: Origin, about: About) -> ModelRecord:
    segment = model.segment or ALL_ROWS
    chosen = {"segment": segment, "levels": list(trained.levels), "min_rows": trained.min_rows, "seed": model.seed}
    return model_record(
        model.proven,
        Artifact("", model.proven.sha256, len(model.proven.content)),
        metrics_of(trained, model.segment),
        replace(origin, config={**origin.config, **chosen, "rows": model.rows}),
        replace(about, tags={**about.tags, SEGMENT_TAG: segment}),
    )

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
    models = [*trained.models.values(), trained.whole]
    records = [(_record(trained, model, origin, about), model.proven.content) for model in models]
    numbers = client.register_all(name, records, reason, secret=secret)
    versions = dict(zip(trained.models, numbers, strict=False))
    live = numbers[-1]
    used = {name.partition("=")[0] for name in versions}
    keys = [level for level in trained.levels if level in used]
    servers = client.partition(name, live, versions, keys, reason)
    return Published(name, live, versions, trained.with_versions(versions | {WHOLE: live}), servers)


def _record(trained: Segmented, model: SegmentModel, origin: Origin, about: About) -> ModelRecord:
    segment = model.segment or "all rows"
    chosen = {"segment": segment, "levels": list(trained.levels), "min_rows": trained.min_rows, "seed": model.seed}
    return model_record(
        model.proven,
        Artifact("", model.proven.sha256, len(model.proven.content)),
        metrics_of(trained, model.segment),
        replace(origin, config={**origin.config, **chosen, "rows": model.rows}),
        replace(about, tags={**about.tags, "segment": segment}),
    )

"""Online reads by Feast, in an environment of its own: `python feast_reads.py REDIS SECONDS`, answers one JSON object.

The same shape as the benchmark `online`: 30 features in 3 feature views, zipfian entities, 1 and 100 a request, from
Redis, in the library. Feast reads features that are computed already; ours are merged from tiles when they are read.
"""

import json
import random
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from time import perf_counter

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType  # type: ignore[import-not-found]
from feast.types import Float64  # type: ignore[import-not-found]

KEYS = {"account": 20_000, "merchant": 2_000, "device": 20_000}
FEATURES = 10
SIZES = (1, 100)


def store_of(folder: Path, redis: str) -> FeatureStore:
    """A store with three views, of which every entity has values."""
    config = RepoConfig(
        project="online",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "redis", "connection_string": redis},
        offline_store={"type": "file"},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    now = datetime.now(UTC)
    for name, size in KEYS.items():
        columns = {f"{name}_{number}": [float(number)] * size for number in range(FEATURES)}
        frame = pd.DataFrame({name: [f"{name}-{one}" for one in range(size)], "at": [now] * size} | columns)
        path = folder / f"{name}.parquet"
        frame.to_parquet(path)
        entity = Entity(name=name, join_keys=[name], value_type=ValueType.STRING)
        source = FileSource(path=str(path), timestamp_field="at")
        schema = [Field(name=column, dtype=Float64) for column in columns]
        view = FeatureView(name=name, entities=[entity], schema=schema, source=source, ttl=timedelta(days=7))
        store.apply([entity, view])
        store.write_to_online_store(name, frame)
    return store


def measured(store: FeatureStore, size: int, seconds: float) -> list[float]:
    """Latencies in ms."""
    chosen = random.Random(3)
    weights = {name: list(accumulate(1 / rank for rank in range(1, count + 1))) for name, count in KEYS.items()}
    names = [f"{name}:{name}_{number}" for name in KEYS for number in range(FEATURES)]
    latencies_ms: list[float] = []
    end = perf_counter() + seconds
    while perf_counter() < end:
        picked = {
            name: [f"{name}-{one}" for one in chosen.choices(range(count), cum_weights=weights[name], k=size)]
            for name, count in KEYS.items()
        }
        rows = [{name: picked[name][index] for name in KEYS} for index in range(size)]
        started = perf_counter()
        store.get_online_features(features=names, entity_rows=rows)
        latencies_ms.append((perf_counter() - started) * 1e3)
    return latencies_ms


def main() -> None:
    """Fills and measures."""
    redis, seconds = sys.argv[1], float(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        store = store_of(Path(folder), redis)
        print(json.dumps({str(size): measured(store, size, seconds) for size in SIZES}))


if __name__ == "__main__":
    main()

"""The name of a Flink job, which is also the consumer group that its progress is committed under.

Pure. Who reads the name knows which groups the job computes: the Python lane counts them when it says what is visible.
"""

from collections.abc import Iterable
from typing import TypeAlias

Place: TypeAlias = tuple[str, int]
"""Name and epoch of a group."""


def job_name(prefix: str, topic: str, places: Iterable[Place]) -> str:
    """`{prefix}.flink:{topic}:{group}.{epoch},...`; neither topics nor groups have colons or commas."""
    return f"{prefix}.flink:{topic}:{','.join(f'{name}.{epoch}' for name, epoch in sorted(places))}"


def places_of(prefix: str, name: str) -> tuple[Place, ...]:
    """The groups of a job by its name; none for another's name."""
    parts = name.split(":")
    if len(parts) != 3 or parts[0] != f"{prefix}.flink":
        return ()
    pairs = (one.rpartition(".") for one in parts[2].split(","))
    return tuple((group, int(epoch)) for group, _, epoch in pairs)

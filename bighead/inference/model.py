"""A model in memory that answered its golden rows: what may be run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bighead.inference.datatypes import Array
from bighead.inference.signature import Signature


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A proven version in memory. Up to `inline_rows` it is run on the event loop: a thread hop would cost more.

    golden: the inputs of the rows that it was proven by; explanations have them as their background. memory_bytes: what
    its trial took; 0 where it had none. batch_rows: up to so many rows of several requests may be run together, and it
    pays; 1 where they may not, or it does not.
    """

    name: str
    version: int
    signature: Signature
    join: str | None
    run: Callable[[Mapping[str, Array]], list[Array]]
    inline_rows: int
    golden: Mapping[str, Array]
    memory_bytes: int = 0
    batch_rows: int = 1

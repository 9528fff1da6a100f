"""Training runs: a specification in a Python file, done step by step, resumable, and made again to the same bytes."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bighead.training.specification import AtRandom, ByTime, DeltaRows, ParquetRows, Partition, Training, Tuning

__all__ = ["AtRandom", "ByTime", "DeltaRows", "ParquetRows", "Partition", "Training", "Tuning"]


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: who compares two trainings needs no scikit-learn."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bighead.training import specification

    return getattr(specification, name)

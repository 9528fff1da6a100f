"""Registered models as functions of rows: fetched, verified, proven and run, in whatever process asks for it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bighead.inference.predictor import Predictor

__all__ = ["Predictor"]


def __getattr__(name: str) -> Any:
    """Predictor when it is asked for: trial processes import this package too, and have no use for Kafka's client."""
    if name == "Predictor":
        from bighead.inference.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Search for parameters: seeded, resumable, over processes, and honest: the outer test is seen once, at the end."""

from bighead.pipeline.search.result import Search
from bighead.pipeline.search.run import search
from bighead.pipeline.search.space import Choice, Real, Whole
from bighead.pipeline.search.trials import Trial

__all__ = ["Choice", "Real", "Search", "Trial", "Whole", "search"]

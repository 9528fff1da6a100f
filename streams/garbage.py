"""The garbage collector of a worker, which must not stop the stream: what was loaded at the start is never garbage.

A look at all modules takes 0.3 s on a busy machine, and by default there is one every few seconds.
"""

import gc

THRESHOLDS = (10_000, 20, 20)
"""Objects made before the young are looked at, and so on; ten times the default, as a step makes thousands."""


def spare_what_is_loaded() -> None:
    """Leaves all that there is now out of later collections; may be called again when more was loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)

"""For tests that ask for it: batches handled as arrays, then row by row. Both must equal the reference."""

from collections.abc import Iterator

import pytest

from bighead.features import fold
from streams import evaluate


@pytest.fixture(scope="module", params=[0, 1_000], ids=["as arrays", "row by row"])
def few_rows(request: pytest.FixtureRequest) -> Iterator[None]:
    """Up to how many rows are handled one by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold, "FEW_ROWS", request.param)
        patch.setattr(evaluate, "FEW_ROWS", request.param)
        yield

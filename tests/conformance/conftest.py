"""For tests that ask for it: batches handled as arrays, then row by row. Both must equal the reference."""

from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings

from bighead.features import fold
from streams import step

# A counterexample of this size takes minutes to shrink, and is read as well as it is.
settings.register_profile("conformance", phases=[Phase.explicit, Phase.reuse, Phase.generate])
settings.load_profile("conformance")


@pytest.fixture(scope="module", params=[0, 1_000], ids=["as arrays", "row by row"])
def few_rows(request: pytest.FixtureRequest) -> Iterator[None]:
    """Up to how many rows are handled one by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold, "FEW_ROWS", request.param)
        patch.setattr(step, "FEW_ROWS", request.param)
        yield

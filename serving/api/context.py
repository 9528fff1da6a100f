"""What the routes of the API have in common: where they read, who may ask, which time and environment is meant."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request

from bighead.config import Settings
from bighead.errors import NotReady
from bighead.events.codec import Codec
from bighead.times import time_ms
from serving.api.security import Access, Caller, Role
from serving.console.log_state import LogState


@dataclass(frozen=True)
class Context:
    """state, problem: what the log says, and why it says nothing. access: who may ask."""

    settings: Settings
    codec: Codec
    access: Access
    state: Callable[[], LogState]
    problem: Callable[[], str | None]

    def log(self) -> LogState:
        """What the log says; raises NotReady where it cannot be read: less than all would be told as all."""
        if (why := self.problem()) is not None:
            raise NotReady(f"the log is not read: {why}")
        return self.state()

    def requires(self, role: Role) -> Callable[[Request], Caller]:
        """A dependency that lets only callers with the role in."""

        def caller(request: Request) -> Caller:
            return self.access.require(request, role)

        return caller


def as_of_ms(
    as_of: Annotated[
        str | None,
        Query(
            description="As it was then (inclusive): ISO 8601, UTC where no zone is given, or milliseconds.",
            examples=["2026-11-01T12:00Z"],
        ),
    ] = None,
) -> int | None:
    """The time that is asked for; None: now."""
    return None if as_of is None else time_ms(as_of, "as_of")


AsOf = Annotated[int | None, Depends(as_of_ms)]
Limit = Annotated[int, Query(ge=1, le=500, description="The most that a page has.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")]
Environment = Annotated[
    str | None, Query(max_length=63, description="Whose deployments are meant; BIGHEAD_ENVIRONMENT by default.")
]

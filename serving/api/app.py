"""The REST API as an application that the console mounts: wires its routes, its errors and its bounds."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.types import Scope

from bighead.config import Settings
from bighead.events.codec import Codec
from serving.api import events, problems, reads, uploads, writes
from serving.api.commands import Commands, Registry
from serving.api.context import Context
from serving.api.headers import DATA_HEADERS, SecureHeaders
from serving.api.security import Access
from serving.api.streams import Streams
from serving.console.log_state import LogState
from serving.http_body import Bounded

PREFIX = "/api/v1"
MOST_COMMAND_BYTES = 5 << 20
"""Of a command's body: the log takes no record larger than 4 MB."""
_ABOUT = """Everything that `bighead models` can ask and command, as of any time.

Send `authorization: Bearer TOKEN`. Reads take `as_of`; each answer has an ETag. Commands need a reason; the actor is
the token's. `If-Match` with a model's ETag refuses a command where somebody has changed the model since; under the
same `Idempotency-Key` a command is done once. Errors are problem+json (RFC 9457). Times are milliseconds since the
epoch, UTC.
"""


@dataclass(frozen=True)
class Api:
    """The application, and what is to be closed when the console stops."""

    app: FastAPI
    streams: Streams
    commands: Commands

    def close(self) -> None:
        """Tells clients of streams where to go on, and takes no commands any more."""
        self.streams.close()
        self.commands.close()


def build(
    settings: Settings,
    codec: Codec,
    access: Access,
    client: Registry,
    state: Callable[[], LogState],
    problem: Callable[[], str | None],
) -> Api:
    """The API over a log state; commands are sent by `client`, in the name of whoever asks."""
    app = FastAPI(
        title="bighead registry",
        version="1",
        description=_ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        root_path_in_servers=True,
    )
    context = Context(settings, codec, access, state, problem)
    streams, commands = Streams(), Commands(client, state)
    app.include_router(reads.routes(context))
    app.include_router(uploads.routes(context, commands))
    app.include_router(writes.routes(context, commands))
    app.include_router(events.routes(context, streams))
    problems.add(app)
    app.add_middleware(Bounded, limit=_limit)
    app.add_middleware(SecureHeaders, headers=DATA_HEADERS)
    return Api(app, streams, commands)


def _limit(scope: Scope) -> int:
    uploaded = str(scope["path"]).endswith(uploads.PATH)
    return uploads.MOST_BYTES if uploaded else MOST_COMMAND_BYTES

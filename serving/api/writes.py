"""Commands to the registry over HTTP: the same as those of `bighead models`, in the name of the token's actor."""

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from bighead.client.models import new_id
from bighead.client.registry_documents import Outcome
from bighead.clock import wall_clock_ms
from bighead.errors import InvalidInput
from bighead.registry import Command
from bighead.registry.state import ModelState
from serving.api import bodies, documents
from serving.api.commands import Answered, Commands
from serving.api.conditional import answer, expected_revision, revision_tag
from serving.api.context import Context, Environment
from serving.api.problems import answers
from serving.api.security import Caller, Role

_KEY = re.compile(r"[!-~]{1,128}")
_ERRORS = (400, 404, 409, 412, 413, 429, 504)
Name = Annotated[str, Path(description="The model's name.", examples=["delay"])]


class Commanding(Protocol):
    """A body that becomes a command."""

    def command(self, signed: bodies.Signed) -> Command: ...


B = TypeVar("B", bound=Commanding)


class Asked:
    """What a request that commands says beside its body."""

    def __init__(
        self,
        environment: Environment = None,
        wait: Annotated[
            bool, Query(description="Answer when every live model server has answered to the change of what is live.")
        ] = False,
        if_match: Annotated[
            str | None,
            Header(description="The ETag of the model as the caller knows it; refused with 412 where it changed."),
        ] = None,
        idempotency_key: Annotated[
            str | None, Header(description="The command's identity: sent again under the same key it is done once.")
        ] = None,
    ) -> None:
        if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
            raise InvalidInput("Idempotency-Key: expected 1 to 128 characters of ASCII without spaces")
        self.environment = environment
        self.wait = wait
        self.expected = expected_revision(if_match)
        self.command_id = idempotency_key or new_id()

    def text(self, request: Request, body: BaseModel) -> str:
        """What the caller asked for, the same for the same request: another one needs another Idempotency-Key."""
        said = (request.url.path, self.environment, self.expected, body.model_dump())
        return hashlib.sha256(repr(said).encode("utf-8", "backslashreplace")).hexdigest()


async def told(request: Request, answered: Answered, status: int = 200, **headers: str) -> Response:
    """The event that answers a command, and the model's new ETag."""
    complete = all(one.serves for one in answered.servers) if answered.waited and answered.servers else None
    outcome = Outcome(
        type=type(answered.event).__name__,
        event=documents.fields_of(answered.event),
        command_id=answered.event.command_id,
        revision=answered.revision,
        servers=answered.servers,
        complete=False if answered.waited and complete is None else complete,
        replayed=answered.replayed,
    )
    response = answer(request, outcome, etag=revision_tag(answered.revision), headers=headers)
    response.status_code = status
    return response


def signed(context: Context, asked: Asked, name: str, caller: Caller, state: ModelState | None) -> bodies.Signed:
    """What a command says beside its body."""
    usable = [version.number for version in state.versions if version.retired is None] if state else []
    return bodies.Signed(
        command_id=asked.command_id,
        model=name,
        actor=caller.actor,
        at_ms=wall_clock_ms(),
        environment=asked.environment or context.settings.environment,
        expected_revision=asked.expected,
        newest=usable[-1] if usable else max(1, len(state.versions) if state else 1),
    )


def routes(context: Context, commands: Commands) -> APIRouter:
    """Every command about a model that is there."""
    router = APIRouter(tags=["commands"])
    for path, body, role, about in _ROUTES:
        router.add_api_route(
            f"/models/{{name}}/{path}",
            _route(context, commands, body, role),
            methods=["POST"],
            response_model=Outcome,
            responses=answers(*_ERRORS),
            name=path.replace("/", "_"),
            operation_id=path.replace("/", "_"),
            summary=about,
            description=f"{body.__doc__}\n\nNeeds the role {role}. The answer's ETag is the model's new revision.",
        )
    return router


_ROUTES: tuple[tuple[str, Any, Role, str], ...] = (
    ("deploy", bodies.DeployBody, Role.DEPLOYER, "Deploy a version"),
    ("rollback", bodies.RollbackBody, Role.DEPLOYER, "Roll back"),
    ("traffic", bodies.TrafficBody, Role.DEPLOYER, "Divide the traffic"),
    ("segments", bodies.SegmentsBody, Role.DEPLOYER, "Partition the model"),
    ("rollout", bodies.RolloutBody, Role.DEPLOYER, "Start a staged roll-out"),
    ("rollout/stop", bodies.StopBody, Role.DEPLOYER, "Stop a roll-out"),
    ("retire", bodies.RetireBody, Role.DEPLOYER, "Retire a version, or the model"),
    ("labels", bodies.LabelBody, Role.DEPLOYER, "Promote a label"),
    ("approvals", bodies.ApproveBody, Role.DEPLOYER, "Approve a version"),
    ("policies", bodies.PolicyBody, Role.ADMIN, "Set the rules of an environment"),
)


def _route(context: Context, commands: Commands, body_type: type[B], role: Role) -> Callable[..., Any]:
    requires = context.requires(role)

    async def command(
        request: Request,
        name: Name,
        body: body_type,  # type: ignore[valid-type]
        caller: Annotated[Caller, Depends(requires)],
        asked: Annotated[Asked, Depends()],
    ) -> Response:
        state = context.log().model(name).state  # an unknown model is 404 and no command
        answered = await commands.carry_out(
            body.command(signed(context, asked, name, caller, state)),  # type: ignore[attr-defined]
            asked.text(request, body),
            wait=asked.wait,
        )
        return await told(request, answered)

    return command

"""What the registry knows, now and as of any time: models, versions, history, blame, differences, attachments.

Every answer is what the console's own view of the log says, in the form of `bighead.client.registry_documents`.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response

from bighead import artifacts
from bighead.client.model_reads import version_of
from bighead.client.registry_documents import (
    HistoryPage,
    Me,
    ModelDocument,
    ModelPage,
    ServerDocument,
    VersionDocument,
    VersionPage,
)
from bighead.errors import UnknownModel
from bighead.events.types import Attachment
from bighead.registry.blame import Blamed, blame
from bighead.registry.diff import Difference, differences
from bighead.registry.policies import told
from bighead.registry.views import ModelView
from serving.api import documents
from serving.api.conditional import answer, links, page, revision_tag
from serving.api.context import AsOf, Context, Cursor, Environment, Limit
from serving.api.headers import DATA_POLICY
from serving.api.problems import answers
from serving.api.security import Caller, Role

Name = Annotated[str, Path(description="The model's name.", examples=["delay"])]
Number = Annotated[int, Path(ge=1, description="The version's number.")]
Sort = Annotated[Literal["name", "-changed"], Query(description="By name, or the one that was changed last first.")]


def routes(context: Context) -> APIRouter:
    """Everything that a viewer may read of models."""
    router = APIRouter(dependencies=[Depends(context.requires(Role.VIEWER))], tags=["models"])
    _add_lists(router, context)
    _add_lists_of_one(router, context)
    _add_model(router, context)
    _add_story(router, context)
    _add_attachments(router, context)
    return router


def _add_lists(router: APIRouter, context: Context) -> None:
    searched = documents.SearchTexts()

    @router.get("/models", response_model=ModelPage, responses=answers(304, 400))
    def list_models(
        request: Request,
        as_of: AsOf,
        environment: Environment = None,
        q: Annotated[
            str | None, Query(max_length=200, description="A part of name, tag, label, actor or reason.")
        ] = None,
        tag: Annotated[
            str | None, Query(max_length=200, description="NAME or NAME=VALUE.", examples=["team=ops"])
        ] = None,
        live: Annotated[
            bool | None, Query(description="Only those that have a live version there, or have none.")
        ] = None,
        sort: Sort = "name",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        """The models that have a version, a page at a time; the header Link leads to the next one."""
        there = environment or context.settings.environment
        found = [
            view
            for view in context.log().models(as_of).values()
            if (q is None or searched.has(view, q))
            and (tag is None or documents.has_tag(view, tag))
            and (live is None or (view.state.slot(there).live is not None) == live)
        ]
        keyed = sorted(((_key(view, sort), view) for view in found), key=lambda pair: pair[0])
        rows, after = page([view for _, view in keyed], [key for key, _ in keyed], limit, cursor)
        items = tuple(documents.summary(view, there) for view in rows)
        return answer(request, ModelPage(items, after, len(found)), headers=links(request, cursor=after))


def _add_lists_of_one(router: APIRouter, context: Context) -> None:
    @router.get("/models/{name}/versions", response_model=VersionPage, responses=answers(304, 400, 404))
    def list_versions(request: Request, name: Name, as_of: AsOf, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """A model's versions, the newest first."""
        versions = context.log().model(name, as_of).state.versions[::-1]
        rows, after = page(versions, [(-version.number,) for version in versions], limit, cursor)
        items = tuple(map(documents.version_summary, rows))
        return answer(request, VersionPage(items, after, len(versions)), headers=links(request, cursor=after))

    @router.get("/models/{name}/history", response_model=HistoryPage, responses=answers(304, 400, 404))
    def history(request: Request, name: Name, as_of: AsOf, limit: Limit = 50, cursor: Cursor = None) -> Response:
        """Everything that was asked of a model, by whom and why, the oldest first; refused commands included."""
        lines = context.log().model(name, as_of).history
        rows, after = page(lines, [(number,) for number in range(len(lines))], limit, cursor)
        return answer(request, HistoryPage(rows, after, len(lines)), headers=links(request, cursor=after))


def _add_model(router: APIRouter, context: Context) -> None:
    @router.get("/me", response_model=Me, responses=answers(304), tags=["callers"])
    def me(request: Request, caller: Annotated[Caller, Depends(context.requires(Role.VIEWER))]) -> Response:
        """Who the caller is taken for, what it may do, and which environment is meant where none is named."""
        return answer(request, Me(caller.actor, str(caller.role), context.settings.environment))

    @router.get("/models/{name}", response_model=ModelDocument, responses=answers(304, 400, 404))
    def show_model(request: Request, name: Name, as_of: AsOf, environment: Environment = None) -> Response:
        """What was decided of a model in an environment. The ETag is its revision: send it back as If-Match."""
        view = context.log().model(name, as_of)
        document = documents.model(view, environment or context.settings.environment)
        return answer(request, document, etag=revision_tag(document.revision))

    @router.get("/models/{name}/servers", response_model=list[ServerDocument], responses=answers(304, 400, 404))
    def show_servers(request: Request, name: Name, as_of: AsOf) -> Response:
        """What each model server makes of the model: the version that answers there, or why one was not loaded."""
        return answer(request, documents.servers(context.log().model(name, as_of)))

    @router.get("/models/{name}/policies", response_model=dict[str, list[str]], responses=answers(304, 400, 404))
    def show_policies(request: Request, name: Name, as_of: AsOf) -> Response:
        """What must hold of a version before it answers, by environment."""
        slots = context.log().model(name, as_of).state.slots
        return answer(request, {place: list(map(told, slot.policy)) for place, slot in slots.items() if slot.policy})

    @router.get("/models/{name}/versions/{number}", response_model=VersionDocument, responses=answers(304, 400, 404))
    def show_version(
        request: Request,
        name: Name,
        number: Number,
        as_of: AsOf,
        golden: Annotated[bool, Query(description="With the rows that the version must reproduce.")] = False,
    ) -> Response:
        """One version with its record, and the list of its attachments."""
        found = version_of(context.log().model(name, as_of), number)
        return answer(request, documents.version(name, found, golden=golden))


def _add_story(router: APIRouter, context: Context) -> None:
    @router.get("/models/{name}/blame", response_model=list[Blamed], responses=answers(304, 400, 404))
    def show_blame(request: Request, name: Name, as_of: AsOf) -> Response:
        """Of each thing that is so (live version, arms, labels, segments), the event that made it so."""
        log = context.log()
        log.model(name, as_of)
        return answer(request, list(blame(name, log.events_of(name, as_of))))

    @router.get("/models/{name}/diff", response_model=list[Difference], responses=answers(304, 400, 404))
    def show_diff(
        request: Request,
        name: Name,
        as_of: AsOf,
        a: Annotated[int, Query(ge=1, description="The version before.")],
        b: Annotated[int, Query(ge=1, description="The version after.")],
    ) -> Response:
        """Every field in which the records of two versions differ; numbers with their difference."""
        view = context.log().model(name, as_of)
        found = differences(version_of(view, a), version_of(view, b))
        return answer(request, list(found))


def _add_attachments(router: APIRouter, context: Context) -> None:
    known: dict[str, Attachment] = {}

    @router.get(
        "/attachments/{sha256}",
        response_class=Response,
        responses=answers(304, 404, 409)
        | {200: {"content": {"application/json": {}, "text/markdown": {}}, "description": "Its bytes."}},
        tags=["attachments"],
    )
    async def attachment(
        request: Request, sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="Its SHA-256.")]
    ) -> Response:
        """A large part of a version's record, checked against its hash. Never shown as a page: browsers save it."""
        if sha256 not in known:
            models = await asyncio.to_thread(context.log().models)
            known.update((one.sha256, one) for one in _attachments(models.values()))
        if sha256 not in known:
            raise UnknownModel(f"no version has an attachment with the SHA-256 {sha256}")
        one, tag = known[sha256], f'"{sha256}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"etag": tag})
        content = await asyncio.to_thread(artifacts.read, context.settings.artifacts, one.sha256, one.size)
        headers = {
            "etag": tag,
            "content-disposition": f'attachment; filename="{one.name}"',
            "content-security-policy": DATA_POLICY,
            "x-content-type-options": "nosniff",
            "cache-control": "private, max-age=31536000, immutable",
        }
        return Response(content, headers=headers, media_type=one.media_type)


def _attachments(views: Iterable[ModelView]) -> Iterator[Attachment]:
    return (one for view in views for version in view.state.versions for one in version.record.attachments)


def _key(view: ModelView, sort: str) -> tuple[Any, ...]:
    changed = view.state.changed
    return (view.state.name,) if sort == "name" else (-(changed.at_ms if changed else 0), view.state.name)

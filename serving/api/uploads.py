"""Bytes of models and attachments on their way into the store, and the registration that names them. Knows HTTP."""

import asyncio
import os
import tempfile
from pathlib import Path as File
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from bighead import artifacts
from bighead.client.attachments import check_document
from bighead.client.registry_documents import Outcome, StoredArtifact
from bighead.errors import ArtifactError, InvalidInput, Overloaded, UnknownModel
from bighead.events.types import ModelRecord, RegisterModel
from bighead.registry.attachments import MOST, Document, check_size
from bighead.registry.records import record_from_json
from serving.api import bodies
from serving.api.commands import Commands
from serving.api.conditional import answer
from serving.api.context import Context
from serving.api.problems import answers
from serving.api.security import Caller, Role
from serving.api.writes import Asked, Name, signed, told
from serving.http_body import as_json

MOST_BYTES = 2 << 30
"""Of an artifact: protobuf, and so ONNX in one file, allows no more."""
MOST_RECEIVED = 4
"""Files at once: each lies on this machine's disk until it is stored."""
PATH = "/artifacts"


def routes(context: Context, commands: Commands) -> APIRouter:
    """Storing bytes and registering what they are."""
    router = APIRouter(tags=["registration"])
    _add_store(router, context)
    _add_register(router, context, commands)
    return router


def _add_store(router: APIRouter, context: Context) -> None:
    deployer, receiving = context.requires(Role.DEPLOYER), asyncio.Semaphore(MOST_RECEIVED)

    @router.post(
        PATH,
        status_code=201,
        response_model=StoredArtifact,
        responses=answers(400, 409, 413, 429),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def store(request: Request, caller: Annotated[Caller, Depends(deployer)]) -> Response:
        """Stores bytes under their SHA-256: an ONNX file, or an attachment. Storing them again changes nothing."""
        if receiving.locked():
            raise Overloaded(f"{MOST_RECEIVED} files are received already; try again later")
        async with receiving:
            received = await _received(request)
            try:
                stored = await asyncio.to_thread(artifacts.put, context.settings.artifacts, received)
            finally:
                received.unlink(missing_ok=True)
        response = answer(request, StoredArtifact(stored.uri, stored.sha256, stored.size))
        response.status_code = 201
        return response


def _add_register(router: APIRouter, context: Context, commands: Commands) -> None:
    deployer = context.requires(Role.DEPLOYER)

    @router.post(
        "/models/{name}/versions",
        status_code=201,
        response_model=Outcome,
        responses=answers(400, 409, 412, 413, 429, 504),
    )
    async def register(
        request: Request,
        name: Name,
        body: bodies.RegisterBody,
        caller: Annotated[Caller, Depends(deployer)],
        asked: Annotated[Asked, Depends()],
    ) -> Response:
        """Registers the next version of a model, or the first one of a new model. Needs the role deployer."""
        if asked.expected is not None:
            raise InvalidInput("If-Match: a registration only adds a version; expected no revision")
        record = await asyncio.to_thread(complete, context.settings.artifacts, body.record)
        try:
            state = context.log().model(name).state
        except UnknownModel:
            state = None
        by = body.by(signed(context, asked, name, caller, state))
        answered = await commands.carry_out(RegisterModel(record=record, **by), asked.text(request, body), wait=False)
        location = f"{request.url.path}/{getattr(answered.event, 'version', '')}"
        return await told(request, answered, 201, location=location)


def complete(root: str, given: dict[str, Any]) -> ModelRecord:
    """The record with the places and sizes of what lies in the store; raises InvalidInput or ArtifactError.

    Only what was stored here can be named: a server would fetch any other address for whoever asks.
    """
    artifact = _stored(root, given.get("artifact_sha256"), "artifact_sha256")
    attachments = given.get("attachments", [])
    if not isinstance(attachments, list) or not all(isinstance(one, dict) for one in attachments):
        raise InvalidInput("the record's attachments are no list of {name, kind, media_type, sha256}")
    if len(attachments) > MOST:
        raise InvalidInput(f"the record has {len(attachments)} attachments; at most {MOST} are kept")
    placed = [_attachment(root, one) for one in attachments]
    own = {"artifact_uri": artifact.uri, "artifact_sha256": artifact.sha256, "artifact_size": artifact.size}
    return record_from_json(as_json(given | own | {"attachments": placed}).decode())


def _attachment(root: str, given: dict[str, Any]) -> dict[str, Any]:
    name, kind = str(given.get("name", "")), str(given.get("kind", ""))
    stored = _stored(root, given.get("sha256"), f"attachment {name[:60]!r}: sha256")
    check_size(name, kind, stored.size)  # before it is read: what was stored may be a model of gigabytes
    check_document(Document(name, kind, artifacts.read(root, stored.sha256, stored.size)))
    return given | {"sha256": stored.sha256, "size": stored.size, "uri": stored.uri}


def _stored(root: str, sha256: object, what: str) -> artifacts.Artifact:
    if not isinstance(sha256, str):
        raise InvalidInput(f"{what} is {sha256!r}; expected the SHA-256 of bytes that POST {PATH} stored")
    found = artifacts.stored(root, sha256)
    if found is None:
        raise ArtifactError(f"{what}: no bytes with the SHA-256 {sha256[:80]} are stored; POST them to {PATH} first")
    return found


async def _received(request: Request) -> File:
    """The body as a file of its own, written as it comes."""
    descriptor, path = tempfile.mkstemp(prefix="bighead-upload-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > MOST_BYTES:
                    raise HTTPException(413, f"received more than {MOST_BYTES} bytes")
                await asyncio.to_thread(file.write, chunk)
        if not size:
            raise InvalidInput("body: received nothing; expected the bytes of a file")
    except BaseException:
        File(path).unlink(missing_ok=True)
        raise
    return File(path)

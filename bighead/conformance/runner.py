"""Runs the cases against a server, over gRPC and, where it is given, HTTP. Knows the wire, not the cases."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import grpc
import httpx
from google.protobuf.message import DecodeError

from bighead.client.proto import inference_pb2 as pb
from bighead.conformance import grpc_cases, http_cases
from bighead.conformance.cases import OTHER_MESSAGE, Answer, Case, Result, Verdict, judged, skipped
from bighead.conformance.subject import Subject, subject_of
from bighead.conformance.tensors import DATATYPES, received
from bighead.errors import InvalidInput, NotReady, UnknownModel

SERVICE = "inference.GRPCInferenceService"
_HTTP_LENGTH = "inference-header-content-length"


@dataclass(frozen=True)
class Report:
    """What came of every case, and the model that was asked."""

    model: str
    results: tuple[Result, ...]

    def count(self, verdict: Verdict) -> int:
        """How many cases ended so."""
        return sum(result.verdict is verdict for result in self.results)


def run(target: str, http: str | None = None, model: str | None = None, timeout_s: float = 20.0) -> Report:
    """All cases against a server. target, http: host:port. model: the first of the server's index where None.

    Raises NotReady where nobody answers, UnknownModel where the model is not there, and InvalidInput where no model
    is named and the server has no index.
    """
    with grpc.insecure_channel(target) as channel:
        over_grpc = _Grpc(channel, timeout_s)
        over_grpc.reach(target)
        subject = _subject(over_grpc, model)
        results = list(_all(over_grpc, grpc_cases.server_cases()))
        first = grpc_cases.baseline(subject)
        answer = over_grpc.ask(first)
        results.append(judged("gRPC", first, answer))
        if answer.code == "OK":
            subject = replace(subject, answer=tuple(received(answer.body)))
        results += _all(over_grpc, grpc_cases.model_cases(subject))
    if http is not None:
        # A connection for each request: some servers close theirs after an error.
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=f"http://{http}", timeout=timeout_s, limits=limits) as client:
            over_http = _Http(client)
            results += _all(over_http, http_cases.server_cases())
            results += _all(over_http, http_cases.model_cases(subject, over_http.extensions()))
    return Report(subject.name, tuple(results))


def _all(transport: "_Grpc | _Http", cases: Iterable[Case]) -> Iterator[Result]:
    for case in cases:
        yield skipped(transport.name, case) if case.skip else judged(transport.name, case, transport.ask(case))


def _subject(transport: "_Grpc", model: str | None) -> Subject:
    if model is None:
        index = transport.call("RepositoryIndex", b"")
        if index.code != "OK" or not index.body.models:
            raise InvalidInput(
                f"the server has no index of models ({index.code} {index.message}); name one with --model"
            )
        model = str(index.body.models[0].name)
    found = transport.call("ModelMetadata", pb.ModelMetadataRequest(name=model).SerializeToString())
    if found.code != "OK":
        raise UnknownModel(f"the metadata of model {model!r}: received {found.code} {found.message}")
    subject = subject_of(found.body)
    tensors = [*subject.inputs, *subject.outputs]
    foreign = [f"{one.name} {one.datatype}" for one in tensors if one.datatype not in DATATYPES]
    if foreign or not subject.inputs or not subject.outputs:
        raise InvalidInput(f"model {model!r} has {foreign or 'no inputs or outputs'}; expected {', '.join(DATATYPES)}")
    return subject


class _Grpc:
    """Bytes in, decoded messages out."""

    name = "gRPC"

    def __init__(self, channel: grpc.Channel, timeout_s: float) -> None:
        self._channel = channel
        self._timeout_s = timeout_s

    def reach(self, target: str) -> None:
        """Waits until somebody listens."""
        try:
            grpc.channel_ready_future(self._channel).result(self._timeout_s)
        except grpc.FutureTimeoutError as error:
            raise NotReady(f"nobody answers at {target} within {self._timeout_s:g} s; is it the gRPC port?") from error

    def ask(self, case: Case) -> Answer:
        """The answer to a case, or to each of the requests of a stream."""
        if case.call not in grpc_cases.STREAMS:
            return self.call(case.call, case.requests[0])
        parse = grpc_cases.ANSWERS[case.call].FromString
        stream: Any = self._channel.stream_stream(f"/{SERVICE}/{case.call}")
        try:
            return Answer("OK", "", [parse(raw) for raw in stream(iter(case.requests), timeout=self._timeout_s)])
        except grpc.RpcError as error:
            return _refusal(error)
        except DecodeError as error:
            return _undecodable(error)

    def call(self, method: str, request: bytes) -> Answer:
        """The answer to one request."""
        unary: Any = self._channel.unary_unary(f"/{SERVICE}/{method}")
        try:
            raw = unary(request, timeout=self._timeout_s)
            return Answer("OK", "", grpc_cases.ANSWERS[method].FromString(raw))
        except grpc.RpcError as error:
            return _refusal(error)
        except DecodeError as error:
            return _undecodable(error)


class _Http:
    """One request after the other over one client."""

    name = "HTTP"

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self, case: Case) -> Answer:
        """The answer to a case, its JSON decoded."""
        method, _, path = case.call.partition(" ")
        content = case.requests[0] if method == "POST" else None
        try:
            response = self._client.request(method, path, content=content, headers=dict(case.headers))
        except httpx.HTTPError as error:
            return Answer("no answer", f"{type(error).__name__}: {error}")
        end = int(response.headers.get(_HTTP_LENGTH, len(response.content)))
        body = _json(response.content[:end])
        # The protocol calls it error; servers that answer otherwise are shown in their own words.
        message = str(body["error"]) if isinstance(body, dict) and "error" in body else response.text[:200]
        return Answer(str(response.status_code), "" if response.is_success else message, body, response.content[end:])

    def extensions(self) -> frozenset[str]:
        """The extensions that the server says it has."""
        body = self.ask(http_cases.metadata()).body
        return frozenset(map(str, body.get("extensions") or ())) if isinstance(body, dict) else frozenset()


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:  # the case decides whether there had to be JSON
        return {}


def _undecodable(error: DecodeError) -> Answer:
    return Answer(OTHER_MESSAGE, str(error))


def _refusal(error: Any) -> Answer:
    return Answer(error.code().name, error.details() or "")

"""The conformance suite: our server passes it for every datatype, and a server that lies is found out."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner

from bighead.cli import main
from bighead.client.proto import inference_pb2 as pb
from bighead.conformance.cases import Verdict
from bighead.conformance.runner import Report, run
from bighead.errors import InvalidInput, NotReady, UnknownModel
from tests.unit.serving.elsewhere import models
from tests.unit.serving.running import Addresses, running

GUIDE = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    with running(models(tmp_path_factory.mktemp("models"))) as addresses:
        yield addresses


def counts(report: Report, transport: str) -> str:
    found = [result.verdict for result in report.results if result.transport == transport]
    return " | ".join(str(found.count(verdict)) for verdict in Verdict)


@pytest.mark.parametrize("model", ["times", "mixed", "every"])
def test_our_server_passes_as_the_guide_says(server: Addresses, model: str) -> None:
    report = run(server.grpc, server.http, model)
    failed = [result for result in report.results if result.verdict is Verdict.FAILED]
    assert not failed, failed[0]
    assert all(result.seen for result in report.results if result.verdict is Verdict.SKIPPED)
    row = f"| bighead | `{model}` | {counts(report, 'gRPC')} | {counts(report, 'HTTP')} |"
    assert row in GUIDE.read_text(), row


def test_the_command_says_what_it_saw_and_ends_with_0(server: Addresses) -> None:
    told = CliRunner().invoke(main, ["conformance", "--target", server.grpc, "--http", server.http])
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert lines[0].split() == ["OVER", "CALL", "CASE", "AS", "IT", "MUST", "SEEN"]
    assert lines[-1].startswith("model every: ")
    assert any("FP32 raw" in line and " yes " in line for line in lines)


def test_a_model_that_is_not_there_and_a_server_that_is_not(server: Addresses) -> None:
    with pytest.raises(UnknownModel, match="model 'none': received NOT_FOUND"):
        run(server.grpc, model="none")
    with pytest.raises(NotReady, match="nobody answers"):
        run("127.0.0.1:1", timeout_s=0.3)


Change = Callable[[str, bytes, bytes], bytes]


class _Lying(grpc.GenericRpcHandler):
    """Passes requests on to a server and changes the answers; what is refused is refused."""

    def __init__(self, target: str, change: Change) -> None:
        self._channel = grpc.insecure_channel(target)
        self._change = change

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        ask: Any = self._channel.unary_unary(method)

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                return self._change(method, request, ask(request, timeout=10))
            except grpc.RpcError as error:
                return self._refused(method, request, error, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    def _refused(self, method: str, request: bytes, error: Any, context: grpc.ServicerContext) -> bytes:
        context.abort(error.code(), error.details())
        return b""


class _Careless(_Lying):
    """A server whose mistakes are all INTERNAL."""

    def _refused(self, method: str, request: bytes, error: Any, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.INTERNAL, error.details())
        return b""


@contextmanager
def lying(server: Addresses, change: Change, kind: type[_Lying] = _Lying) -> Iterator[str]:
    proxy = grpc.server(ThreadPoolExecutor(4), handlers=[kind(server.grpc, change)])
    port = proxy.add_insecure_port("127.0.0.1:0")
    proxy.start()
    yield f"127.0.0.1:{port}"
    proxy.stop(None).wait()


def truth(method: str, request: bytes, answer: bytes) -> bytes:
    return answer


def of_infer(spoil: Callable[[pb.ModelInferResponse], object]) -> Change:
    def change(method: str, request: bytes, answer: bytes) -> bytes:
        if not method.endswith("/ModelInfer"):
            return answer
        response = pb.ModelInferResponse.FromString(answer)
        spoil(response)
        return response.SerializeToString()

    return change


def without_id(response: pb.ModelInferResponse) -> None:
    response.id = ""


def another_type(response: pb.ModelInferResponse) -> None:
    response.outputs[0].datatype = "INT32"


def typed_doubled(response: pb.ModelInferResponse) -> None:
    for output in response.outputs:
        output.contents.fp32_contents[:] = [2 * value for value in output.contents.fp32_contents]


def one_output_too_many(response: pb.ModelInferResponse) -> None:
    response.outputs.add().CopyFrom(response.outputs[0])
    response.raw_output_contents.extend(response.raw_output_contents[:1])


@pytest.mark.parametrize(
    ("spoil", "case"),
    [
        (without_id, "raw contents"),
        (another_type, "typed contents"),
        (typed_doubled, "typed contents"),
        (one_output_too_many, "one requested output"),
    ],
)
def test_a_wrong_answer_is_found(
    server: Addresses, spoil: Callable[[pb.ModelInferResponse], object], case: str
) -> None:
    with lying(server, of_infer(spoil)) as address:
        report = run(address, model="times")
    assert case in {result.case.name for result in report.results if result.verdict is Verdict.FAILED}


def test_a_server_whose_refusals_are_internal_errors_fails_and_the_command_ends_with_1(server: Addresses) -> None:
    with lying(server, truth, _Careless) as address:
        told = CliRunner().invoke(main, ["conformance", "--target", address, "--model", "times", "--json"])
    assert told.exit_code == 1
    found = json.loads(told.output)
    failed = {result["case"] for result in found["results"] if result["verdict"] == "failed"}
    assert {"an unknown model", "raw contents that are cut off", "INT8 in place of another"} <= failed
    assert "raw contents" not in failed
    assert found["failed"] == len([one for one in found["results"] if one["verdict"] == "failed"])


def test_a_server_without_an_index_is_told_to_be_given_a_model(server: Addresses) -> None:
    def no_index(method: str, request: bytes, answer: bytes) -> bytes:
        return b"" if method.endswith("RepositoryIndex") else answer

    with lying(server, no_index) as address, pytest.raises(InvalidInput, match="name one with --model"):
        run(address)

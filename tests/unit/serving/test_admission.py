"""Too much for one model is refused at once, what is late is not run, and a slow model leaves the others alone."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest

from bighead.client.proto import inference_pb2
from bighead.errors import DeadlineExceeded, Overloaded
from bighead.inference.datatypes import Array
from bighead.inference.loading import load
from bighead.inference.model import LoadedModel
from bighead.testing import eventually
from serving.admission import Gates
from serving.predictor import Predictor
from tests.unit.serving.fakes import predictor_of
from tests.unit.serving.models import times_stored
from tests.unit.serving.running import running

ONE: Mapping[str, Array] = {"x": np.array([[1.0]], np.float32)}


class Slow:
    """A model that answers when it is let."""

    def __init__(self, folder: Path) -> None:
        self.started = 0
        self.go_on = threading.Event()
        quick = load("slow", 1, times_stored(folder, 2.0))[0]
        self.model: LoadedModel = replace(quick, inline_rows=0, run=self._run)
        self._answer = quick.run

    def _run(self, tensors: Mapping[str, Array]) -> list[Array]:
        self.started += 1
        self.go_on.wait(30)
        return self._answer(tensors)


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    return Slow(tmp_path)


@pytest.fixture
def predictor(slow: Slow, tmp_path: Path) -> Predictor:
    predictor = predictor_of(slow.model, load("quick", 1, times_stored(tmp_path, 3.0))[0])
    predictor.gates = Gates(most=4)
    return predictor


async def begun(predictor: Predictor, count: int) -> "list[asyncio.Task[object]]":
    tasks = [asyncio.create_task(predictor.infer("slow", None, ONE)) for _ in range(count)]
    await asyncio.sleep(0)
    return list(tasks)


async def test_what_is_too_much_is_refused_at_once_and_the_rest_is_answered(predictor: Predictor, slow: Slow) -> None:
    tasks = await begun(predictor, 4)
    with pytest.raises(Overloaded, match="model 'slow' has 4 requests in flight, as many as it may; try again"):
        await predictor.infer("slow", None, ONE)
    slow.go_on.set()
    assert len(await asyncio.gather(*tasks)) == 4
    assert (await predictor.infer("slow", None, ONE)).outputs[0].tolist() == [[2.0]]
    assert (predictor.gates.of("slow").in_flight, predictor.gates.of("slow").refused) == (0, 1)


async def test_a_slow_model_does_not_hold_up_another(predictor: Predictor, slow: Slow) -> None:
    tasks = await begun(predictor, 4)
    assert (await predictor.infer("quick", None, {"x": np.ones((2_000, 1), np.float32)})).outputs[0][0, 0] == 3.0
    slow.go_on.set()
    await asyncio.gather(*tasks)


async def test_what_became_late_while_it_waited_for_a_thread_is_not_run(predictor: Predictor, slow: Slow) -> None:
    busy = await begun(predictor, 2)
    passed_s = time.perf_counter() + 0.05
    late = asyncio.create_task(predictor.infer("slow", None, ONE, deadline_s=0.05))
    while time.perf_counter() <= passed_s + 0.05:
        await asyncio.sleep(0)
    slow.go_on.set()
    with pytest.raises(DeadlineExceeded, match="deadline passed before model 'slow' version 1 was run"):
        await late
    await asyncio.gather(*busy)
    assert slow.started == 2


async def test_a_call_that_is_cancelled_while_it_waits_is_not_run(predictor: Predictor, slow: Slow) -> None:
    busy = await begun(predictor, 2)
    (given_up,) = await begun(predictor, 1)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    slow.go_on.set()
    await asyncio.gather(*busy)
    assert (slow.started, predictor.gates.of("slow").in_flight) == (2, 0)


def test_calls_that_would_wait_too_long_for_the_event_loop_are_refused_while_it_is_busy(slow: Slow) -> None:
    predictor = predictor_of(replace(slow.model, inline_rows=1))
    request = inference_pb2.ModelInferRequest(model_name="slow", raw_input_contents=[np.float32(1).tobytes()])
    request.inputs.add(name="x", datatype="FP32", shape=[1, 1])
    with running(predictor) as addresses, grpc.insecure_channel(addresses.grpc) as channel:
        infer = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=inference_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=inference_pb2.ModelInferResponse.FromString,
        )
        calls = [infer.future(request, timeout=60)]
        eventually(lambda: slow.started == 1, 10)
        calls += [infer.future(request, timeout=60) for _ in range(300)]
        eventually(lambda: sum(call.done() for call in calls) >= 171, 10)
        assert {call.code() for call in calls if call.done()} == {grpc.StatusCode.CANCELLED}
        slow.go_on.set()
        codes = Counter(call.code() for call in calls)
    assert codes.keys() == {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}
    assert 100 < codes[grpc.StatusCode.OK] <= 130, "the first, one that was handed on, and those that may wait"
    assert slow.started == codes[grpc.StatusCode.OK]

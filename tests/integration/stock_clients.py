"""Stock clients of the Open Inference Protocol, unmodified: `python stock_clients.py GRPC HTTP`, result as JSON.

A process of its own, because tritonclient and the platform bring the same message types under other file names, and
one process can hold them once. The model `every` gives back each input; `times` multiplies by two.
"""

import asyncio
import json
import queue
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import tritonclient.grpc as grpc_client
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_client
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

ARRAYS = {
    "bool": np.array([[True, False], [False, False]]),
    **{name: np.array([[0, 1], [2, np.iinfo(name).max]], name) for name in ("uint8", "uint16", "uint32", "uint64")},
    **{name: np.array([[np.iinfo(name).min, 1], [2, 3]], name) for name in ("int8", "int16", "int32", "int64")},
    "fp16": np.array([[0.5, -1], [2, 65504]], np.float16),
    "fp32": np.array([[0.25, np.nan], [np.inf, -1e30]], np.float32),
    "fp64": np.array([[0.1, np.nan], [-np.inf, 1e300]], np.float64),
    "bytes": np.array([["", "a"], ["Z\u00fcrich", "\u65e5\u672c"]], np.object_),
}
# JSON has no NaN and no infinities.
FINITE = {
    name: np.nan_to_num(array, posinf=7, neginf=-7) if array.dtype.kind == "f" else array
    for name, array in ARRAYS.items()
}
CHOSEN = ("bool", "int64", "fp32", "bytes")


def inputs(module: Any, arrays: Any = ARRAYS, **form: Any) -> list[Any]:
    """Every datatype as an input of the client's own."""
    made = []
    for name, array in arrays.items():
        tensor = module.InferInput(f"in_{name}", list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array, **form)
        made.append(tensor)
    return made


def equal(answer: Any, names: Any = ARRAYS, arrays: Any = ARRAYS) -> bool:
    """Whether an answer holds what was sent."""
    return all(same(arrays[name], answer.as_numpy(f"out_{name}")) for name in names)


def same(sent: Any, received: Any) -> bool:
    if sent.dtype == np.object_:
        texts = [value.decode() if isinstance(value, bytes) else value for value in received.ravel()]
        return bool(texts == sent.ravel().tolist() and received.shape == sent.shape)
    return bool(received.dtype == sent.dtype and np.array_equal(sent, received, equal_nan=sent.dtype.kind == "f"))


def refusal(call: Callable[[], Any]) -> str:
    """The status of a call that fails."""
    try:
        call()
    except InferenceServerException as error:
        return str(error.status())
    return "none"


def about(client: Any) -> dict[str, Any]:
    """What both blocking clients can ask; `as_json` differs between them, so only plain answers."""
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready("every"),
        "version_ready": client.is_model_ready("times", "1"),
        "other_ready": client.is_model_ready("other"),
        "other_version": client.is_model_ready("times", "7"),
    }


def grpc_sync(address: str) -> dict[str, Any]:
    with grpc_client.InferenceServerClient(address) as client:
        answer = client.infer("every", inputs(grpc_client), request_id="7")
        wanted = [grpc_client.InferRequestedOutput(f"out_{name}") for name in CHOSEN]
        some = client.infer(
            "every", inputs(grpc_client), outputs=wanted, client_timeout=20, compression_algorithm="gzip"
        )
        (short,) = [one for one in inputs(grpc_client) if one.name() == "in_int8"]
        return about(client) | {
            "all": equal(answer),
            "id": answer.get_response().id,
            "some": equal(some, CHOSEN),
            "outputs": [output.name for output in some.get_response().outputs],
            "unknown": refusal(lambda: client.infer("other", inputs(grpc_client))),
            "wrong": refusal(lambda: client.infer("every", [short])),
            "server": client.get_server_metadata(as_json=True),
            "metadata": client.get_model_metadata("every", as_json=True)["inputs"][0],
            "config": client.get_model_config("every", as_json=True)["config"]["input"][-1],
            "index": client.get_model_repository_index(as_json=True)["models"],
            "stream": grpc_stream(client),
            "stats": client.get_inference_statistics("every", as_json=True)["model_stats"][0],
        }


def grpc_stream(client: Any) -> list[Any]:
    """Three requests over one stream, of which the second is wrong."""
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number, model in enumerate(("every", "other", "every")):
        client.async_stream_infer(model, inputs(grpc_client), request_id=str(number))
    found = []
    for _ in range(3):
        result, error = answers.get(timeout=20)
        found.append(error.message()[:20] if error else [result.get_response().id, equal(result)])
    client.stop_stream()
    return found


def http_sync(address: str) -> dict[str, Any]:
    client = http_client.InferenceServerClient(address)
    wanted = [http_client.InferRequestedOutput(f"out_{name}", binary_data=name != "bool") for name in CHOSEN]
    (half,) = [one for one in inputs(http_client) if one.name() == "in_fp16"]
    in_words = [http_client.InferRequestedOutput(f"out_{name}", binary_data=False) for name in ARRAYS]
    words = client.infer("every", inputs(http_client, FINITE, binary_data=False), outputs=in_words)
    packed = client.infer(
        "every", inputs(http_client), outputs=wanted, request_compression_algorithm="gzip", request_id="8"
    )
    as_text = client.infer(
        "times",
        [two(http_client, binary_data=False)],
        model_version="1",
        outputs=[http_client.InferRequestedOutput("y", binary_data=False)],
    )
    found = about(client) | {
        "all": equal(client.infer("every", inputs(http_client))),
        "some": equal(packed, CHOSEN),
        "id": packed.get_response()["id"],
        "json": equal(words, arrays=FINITE),
        "y": as_text.as_numpy("y").tolist(),
        "later": client.async_infer("times", [two(http_client)]).get_result().as_numpy("y").tolist(),
        "unknown": refusal(lambda: client.infer("other", inputs(http_client))),
        "wrong": refusal(lambda: client.infer("every", [half])),
        "server": client.get_server_metadata(),
        "metadata": client.get_model_metadata("every")["inputs"][0],
        "config": client.get_model_config("every")["input"][-1],
        "index": client.get_model_repository_index(),
        "stats": client.get_inference_statistics("every")["model_stats"][0],
        "all_stats": [one["name"] for one in client.get_inference_statistics()["model_stats"]],
    }
    client.close()
    return found


def two(module: Any, **form: Any) -> Any:
    tensor = module.InferInput("x", [2, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[1], [2]], np.float32), **form)
    return tensor


async def asynchronous(grpc_address: str, http_address: str) -> dict[str, Any]:
    async def one_by_one() -> Any:
        for number in range(2):
            yield {"model_name": "every", "inputs": inputs(grpc_aio), "request_id": str(number)}

    async with grpc_aio.InferenceServerClient(grpc_address) as client:
        found: dict[str, Any] = {"grpc": equal(await client.infer("every", inputs(grpc_aio)))}
        found["stream"] = [
            [result.get_response().id, equal(result)] async for result, _ in client.stream_infer(one_by_one())
        ]
        found["ready"] = await client.is_model_ready("every")
    async with http_aio.InferenceServerClient(http_address) as client:
        found["http"] = equal(await client.infer("every", inputs(http_aio)))
        found["http_ready"] = await client.is_model_ready("every")
    return found


def main(grpc_address: str, http_address: str) -> None:
    result = {
        "grpc": grpc_sync(grpc_address),
        "http": http_sync(http_address),
        "aio": asyncio.run(asynchronous(grpc_address, http_address)),
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A stock client of the Open Inference Protocol, unmodified: `python triton_client.py ADDRESS MODEL`, result as JSON.

A process of its own, because tritonclient and the platform bring the same message types under other file names, and
one process can hold them once.
"""

import json
import sys

import numpy as np
import tritonclient.grpc as triton


def main(address: str, model: str) -> None:
    client = triton.InferenceServerClient(address)
    metadata = client.get_model_metadata(model, as_json=True)
    tensor = triton.InferInput("x", [3, 1], "FP32")
    tensor.set_data_from_numpy(np.array([[1.0], [2.0], [3.0]], np.float32))
    answer = client.infer(model, [tensor], request_id="7", outputs=[triton.InferRequestedOutput("y")])
    pinned = client.infer(model, [tensor], model_version="1")
    wrong = triton.InferInput("x", [3], "FP32")
    wrong.set_data_from_numpy(np.array([1.0, 2.0, 3.0], np.float32))
    result = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model_ready": client.is_model_ready(model),
        "other_ready": client.is_model_ready("other"),
        "server": client.get_server_metadata(as_json=True)["name"],
        "metadata": metadata,
        "y": answer.as_numpy("y").tolist(),
        "version": answer.get_response().model_version,
        "id": answer.get_response().id,
        "pinned": pinned.as_numpy("y").tolist(),
        "unknown": refusal(client, "other", tensor),
        "wrong": refusal(client, model, wrong),
    }
    json.dump(result, sys.stdout)


def refusal(client: triton.InferenceServerClient, model: str, tensor: triton.InferInput) -> str:
    try:
        client.infer(model, [tensor])
    except triton.InferenceServerException as error:
        return f"{error.status()}: {error.message()}"
    return "none"


if __name__ == "__main__":
    main(*sys.argv[1:])

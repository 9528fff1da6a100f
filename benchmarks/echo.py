"""The floor: a bare grpc.aio server that answers any call with the same bytes.

`python -m benchmarks.echo ADDRESS FILE`: FILE holds an answer of the size that the model server gives.
"""

import asyncio
import sys
from pathlib import Path

import grpc


class Echo(grpc.GenericRpcHandler):
    """Answers every method."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """The same handler whatever is called."""
        return grpc.unary_unary_rpc_method_handler(self._reply)

    async def _reply(self, request: bytes, context: object) -> bytes:
        return self._answer


async def serve(address: str, answer: bytes) -> None:
    """Serves until it is ended."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(answer),))
    server.add_insecure_port(address)
    await server.start()
    print("{}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2]).read_bytes()))

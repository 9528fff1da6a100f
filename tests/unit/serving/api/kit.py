"""The API over a log that lies in memory: commands are decided by the registry's own rules, and applied at once."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from bighead import config
from bighead.client.fleet import ServerAnswer
from bighead.errors import CommandRefused
from bighead.events.codec import Codec
from bighead.events.message import Message
from bighead.events.types import CommandRejected
from bighead.registry import Command, ModelState, RegistryEvent, decide, evolve
from serving.api.app import PREFIX, Api, build
from serving.api.security import Access, ConsoleTokens
from serving.console.log_state import LogState

ADA, BOB, EVE = "ada-has-a-token-of-many-characters", "bob-has-a-token-of-many-characters", "eve-has-one-of-many-more"
MAX = "max-has-a-token-of-many-characters"
TOKENS = f"deployer:ada:{ADA},deployer:bob:{BOB},viewer:eve:{EVE},admin:max:{MAX}"
TOPIC = "bighead.models.events.v1"


class Memory(Codec):
    """A log in memory, and the registry that decides over it. Each command is decided a second after the last."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forgets everything."""
        self.state = LogState()
        self.problem: str | None = None
        self.commands: list[Command] = []
        self._events: list[Any] = []
        self._models: dict[str, ModelState] = {}
        self._now_ms = itertools.count(1_700_000_000_000, 1000)

    def decode(self, value: bytes | None) -> Any:
        return self._events[int(value or b"0")]

    def append(self, event: Any) -> None:
        """Writes an event to the log."""
        number = len(self._events)
        self._events.append(event)
        self.state.apply(Message(TOPIC, 0, number, b"k", str(number).encode()), self)

    def carry_out(self, command: Command, wait: bool = False) -> tuple[RegistryEvent, tuple[ServerAnswer, ...]]:
        """As ModelsClient does."""
        self.commands.append(command)
        state = self._models.get(command.model, ModelState(command.model))
        events = decide(state, command, next(self._now_ms), self._models)
        for event in events:
            state = evolve(state, event)
            self.append(event)
        self._models[command.model] = state
        if isinstance(events[0], CommandRejected):
            raise CommandRefused(events[0].reason_rejected)
        return events[0], (ServerAnswer("server-1", serves=True, swap_us=7),) if wait else ()


class Client:
    """Asks the application as one person does."""

    def __init__(self, api: Api, token: str | None = ADA) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(api.app, raise_app_exceptions=False, root_path=PREFIX)
        self._client = httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1{PREFIX}", headers=headers)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self._client.get(path, headers=_named(headers))

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self._client.post(path, json=body, headers=_named(headers))

    async def send(self, path: str, content: bytes | AsyncIterator[bytes], **headers: str) -> httpx.Response:
        return await self._client.post(path, content=content, headers=_named(headers))


def api_of(memory: Memory, folder: Path, tokens: str = TOKENS) -> Api:
    """The application over a log in memory, with artifacts in a folder."""
    settings = replace(config.load({"BIGHEAD_HOME": str(folder)}), actor="owner")
    access = Access(ConsoleTokens(tokens), "owner")
    return build(settings, memory, access, memory, lambda: memory.state, lambda: memory.problem)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}

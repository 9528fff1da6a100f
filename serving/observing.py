"""What can be seen of a request from outside: its line in the log and its spans. Where neither is asked for, nothing.

The predictor says what it does to an `Observer`; transports open and close requests. Knows OpenTelemetry by its tracer.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Protocol

_log = logging.getLogger("serving.requests")
REQUEST_ID = "x-request-id"
_MAX_ID = 200
HTTP_FAULT = 500
_NOTHING = nullcontext()


@dataclass(slots=True)
class Seen:
    """One request. code: how it ended, as its transport says it; is_fault: by the server's or the model's fault."""

    name: str
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    request_id: str = ""
    model: str = ""
    version: int | None = None
    arm: str = ""
    code: str = "OK"
    is_fault: bool = False

    def identify(self, request_id: object) -> None:
        """Gives it the caller's identity, or that of its first prediction; the first one given stays."""
        if not self.request_id and isinstance(request_id, str) and request_id:
            self.request_id = shown(request_id)


class Tracer(Protocol):
    """What is needed of `serving.tracing.Tracing`."""

    def request(self, seen: Seen, carrier: Mapping[str, str]) -> AbstractContextManager[object]: ...
    def stage(self, name: str, about: Mapping[str, str | int]) -> AbstractContextManager[object]: ...
    def traceparent(self) -> str | None: ...
    def trace_id(self) -> str | None: ...


_current: ContextVar[Seen | None] = ContextVar("request", default=None)


class Observer:
    """Without a tracer and without lines it is false and does nothing; transports then leave it out altogether."""

    def __init__(self, tracer: Tracer | None = None, *, lines: bool = False) -> None:
        self._tracer = tracer
        self._lines = lines

    def __bool__(self) -> bool:
        return self._lines or self._tracer is not None

    @contextmanager
    def request(self, name: str, carrier: Mapping[str, str]) -> Iterator[Seen]:
        """One request from its arrival to its answer. carrier: what came with it, by lower-case names."""
        seen, started = Seen(name), perf_counter_ns()
        seen.identify(carrier.get(REQUEST_ID))
        token = _current.set(seen)
        try:
            with self._tracer.request(seen, carrier) if self._tracer is not None else _NOTHING:
                try:
                    yield seen
                except asyncio.CancelledError:
                    seen.code = "CANCELLED"
                    raise
                finally:
                    if self._lines:
                        self._write(seen, (perf_counter_ns() - started) // 1000)
        finally:
            _current.reset(token)

    def chosen(self, model: str, version: int, arm: str, request_id: str | None = None) -> None:
        """Which version answers the request that is worked on, and the identity it has where the caller gave none."""
        seen = _current.get()
        if seen is not None:
            seen.model, seen.version, seen.arm = model, version, arm
            seen.identify(request_id)

    def stage(self, name: str, **about: str | int) -> AbstractContextManager[object]:
        """A part of the work, timed where there are traces."""
        return _NOTHING if self._tracer is None else self._tracer.stage(name, about)

    def traceparent(self) -> str | None:
        """The span that is worked on, as W3C Trace Context writes it; None without traces."""
        return None if self._tracer is None else self._tracer.traceparent()

    def _write(self, seen: Seen, took_us: int) -> None:
        given = {
            "request_id": seen.request_id or None,
            "trace_id": self._tracer.trace_id() if self._tracer is not None else None,
            "request": seen.name,
            "code": seen.code,
            "took_us": took_us,
            "model": seen.model or None,
            "version": seen.version,
            "arm": seen.arm or None,
        }
        text = " ".join(f"{name}={value}" for name, value in given.items() if value is not None)
        _log.info("%s", text, extra=given)


def identify(request_id: object) -> None:
    """Gives the request that is worked on its caller's identity, where requests are observed."""
    seen = _current.get()
    if seen is not None:
        seen.identify(request_id)


def ended(code: str, http: int) -> None:
    """How the request that is worked on ends, where requests are observed. http: from 500 on it is our fault."""
    seen = _current.get()
    if seen is not None:
        seen.code, seen.is_fault = code, http >= HTTP_FAULT


def shown(request_id: str) -> str:
    """An identity as a line of the log can hold it: callers choose it."""
    short = request_id[:_MAX_ID]
    return short if short.isprintable() and " " not in short else ascii(short)

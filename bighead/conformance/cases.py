"""What a case is and what came of it. Pure."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Check = Callable[[Any], str]
"""What is wrong with an answer, in words; empty for nothing."""


class Verdict(StrEnum):
    """What came of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Case:
    """A request and the codes that a server may answer it with: names of gRPC statuses, or HTTP codes.

    call: the RPC, or the HTTP method and path. check: sees the answer where the code is of success. skip: why the case
    says nothing about this model. optional: whether a server may go without the whole call.
    """

    call: str
    name: str
    expected: tuple[str, ...]
    requests: tuple[bytes, ...] = (b"",)
    headers: tuple[tuple[str, str], ...] = ()
    check: Check = lambda answer: ""
    skip: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Answer:
    """How a server answered. body: decoded. rest: the bytes of tensors behind the JSON of an HTTP body."""

    code: str
    message: str
    body: Any = None
    rest: bytes = b""


@dataclass(frozen=True)
class Result:
    """What came of a case. `seen` says what was received, or why the case was skipped."""

    transport: str
    case: Case
    verdict: Verdict
    seen: str


# What reading an answer raises that has another shape than it must have.
_MISSHAPEN = (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error)
OTHER_MESSAGE = "another message"
"""The code of an answer over gRPC that is not the message of this protocol."""
ABSENT = ("UNIMPLEMENTED", OTHER_MESSAGE, "404", "405", "501")


def judged(transport: str, case: Case, answer: Answer) -> Result:
    """The verdict on an answer."""
    seen = f"{answer.code}: {answer.message}" if answer.message else answer.code
    if case.optional and answer.code in ABSENT and answer.code not in case.expected:
        return Result(transport, case, Verdict.SKIPPED, f"the server does not have it ({answer.code})")
    if answer.code not in case.expected:
        return Result(transport, case, Verdict.FAILED, seen)
    wrong = _checked(case, answer) if answer.code in ("OK", "200") else _unexplained(answer)
    return Result(transport, case, Verdict.FAILED if wrong else Verdict.PASSED, wrong or seen)


def skipped(transport: str, case: Case) -> Result:
    """A case that says nothing about this model."""
    return Result(transport, case, Verdict.SKIPPED, case.skip)


def _checked(case: Case, answer: Answer) -> str:
    try:
        return case.check(answer)
    except _MISSHAPEN as error:
        return f"the answer is not what the protocol says ({type(error).__name__}: {error})"


def _unexplained(answer: Answer) -> str:
    return "" if answer.message else f"{answer.code} without a message"

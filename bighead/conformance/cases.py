"""What a case is and what came of it. Pure."""

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


ABSENT = ("UNIMPLEMENTED", "404", "405", "501")


def judged(transport: str, case: Case, answer: Answer) -> Result:
    """The verdict on an answer."""
    seen = f"{answer.code}: {answer.message}" if answer.message else answer.code
    if case.optional and answer.code in ABSENT and answer.code not in case.expected:
        return Result(transport, case, Verdict.SKIPPED, f"the server does not have it ({answer.code})")
    if answer.code not in case.expected:
        return Result(transport, case, Verdict.FAILED, seen)
    wrong = case.check(answer) if answer.code in ("OK", "200") else _unexplained(answer)
    return Result(transport, case, Verdict.FAILED if wrong else Verdict.PASSED, wrong or seen)


def skipped(transport: str, case: Case) -> Result:
    """A case that says nothing about this model."""
    return Result(transport, case, Verdict.SKIPPED, case.skip)


def _unexplained(answer: Answer) -> str:
    return "" if answer.message else f"{answer.code} without a message"

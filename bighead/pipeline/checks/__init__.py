"""Checks before training, each with a stable code: `check` looks, `raise_for` stops. docs/checks.md lists them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from bighead.errors import ChecksFailed, ModelError, near
from bighead.features.served import ServedDefinitions
from bighead.notebook.progress import progress
from bighead.pipeline.checks import columns, labels, leakage, overlap, seeds, served, windows
from bighead.pipeline.checks.finding import Check, Finding, Seen, Severity, as_html, as_text
from bighead.pipeline.checks.inspected import Inspected
from bighead.pipeline.splits import Split, check_split

__all__ = ["CHECKS", "Check", "Finding", "Severity", "as_html", "as_text", "check", "raise_for"]

_MODULES: tuple[ModuleType, ...] = (leakage, windows, overlap, columns, labels, seeds, served)
CHECKS: tuple[Check, ...] = tuple(
    sorted(
        (one for module in _MODULES for one in vars(module).values() if isinstance(one, Check)),
        key=lambda one: one.code,
    )
)
"""All checks, by code."""


@progress("checks before training")
def check(
    split: Split,
    estimator: Any = None,
    *,
    served: ServedDefinitions | None = None,
    silence: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """What is wrong or doubtful about training `estimator` on `split`, the worst first.

    served: what is served now (`bighead.client.catalog.read_served`), to compare with what the rows were made from.
    silence: a reason by code ("BH002") or by code and column ("BH002:price"); what is silenced is kept, with its
    reason. Raises ModelError for a code that does not exist or a reason that is empty.
    """
    check_split(split)
    silenced = dict(silence or {})
    _check_silence(silenced)
    seen = Inspected(split, estimator, served)
    found = [_finding(one, saw, silenced) for one in CHECKS for saw in one.look(seen)]
    order = list(Severity)
    return tuple(sorted(found, key=lambda one: (bool(one.silenced), order.index(one.severity), one.code)))


def raise_for(findings: Sequence[Finding]) -> None:
    """Raises ChecksFailed where an error stands that is not silenced; the message lists each with what to do."""
    stopping = [one for one in findings if one.stops]
    if stopping:
        count = f"{len(stopping)} error{'s' if len(stopping) > 1 else ''}"
        raise ChecksFailed(f"the checks before training found {count}; nothing was trained\n\n{as_text(stopping)}")


def _finding(one: Check, saw: Seen, silenced: Mapping[str, str]) -> Finding:
    found = Finding(one.code, saw.severity or one.severity, saw.columns, saw.what, one.why, one.fix)
    return replace(found, silenced=next(_reasons(found, silenced), ""))


def _reasons(found: Finding, silenced: Mapping[str, str]) -> Iterator[str]:
    for key in (found.code, *(f"{found.code}:{column}" for column in found.columns)):
        if key in silenced:
            yield silenced[key]


def _check_silence(silenced: Mapping[str, str]) -> None:
    codes = [one.code for one in CHECKS]
    for key, reason in silenced.items():
        code = key.partition(":")[0]
        if code not in codes:
            raise ModelError(f"silence names {key!r}, and there is no check {code!r}{near(code, codes)}")
        if not reason.strip():
            raise ModelError(f"silence gives no reason for {key!r}; say why it may be let pass")

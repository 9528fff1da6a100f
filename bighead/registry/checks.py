"""What several commands are refused for. Pure."""

import re

from bighead.errors import CommandRefused
from bighead.registry.state import PRODUCTION, ModelState, Version
from bighead.times import utc

_ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def usable_version(state: ModelState, number: int, purpose: str) -> Version:
    """The version, which exists and is not retired. `purpose` is what it cannot be otherwise, for example deployed."""
    version = state.version(number)
    if version is None:
        last = len(state.versions)
        known = "version 1" if last == 1 else f"versions 1 to {last}"
        raise CommandRefused(f"{state.name!r} has no version {number}; it has {known}")
    if version.retired is not None:
        raise CommandRefused(
            f"version {number} of {state.name!r} was retired by {version.retired.actor} "
            f"({version.retired.reason}); it cannot be {purpose}"
        )
    return version


def check_environment(name: str) -> None:
    """Raises CommandRefused for what cannot name an environment."""
    if not _ENVIRONMENT.fullmatch(name):
        raise CommandRefused(
            f"{name!r} cannot name an environment; use up to 63 small letters, digits, '.', '_' and '-', a letter or "
            "digit first, for example staging"
        )


def within(environment: str) -> str:
    """Where a refusal is about, as part of a sentence; nothing for production, which is meant where none is named."""
    return "" if environment == PRODUCTION else f" in {environment}"


def check_revision(state: ModelState, expected: int | None) -> None:
    """Raises CommandRefused where somebody has changed the model since its sender looked; says who, when and why."""
    if expected is None or expected == state.revision:
        return
    last = state.changed
    who = "" if last is None else f" since {last.actor} changed it at {utc(last.at_ms)} ({last.reason})"
    raise CommandRefused(
        f"the command was meant for revision {expected} of {state.name!r}, which is at revision {state.revision}{who}; "
        "look at it again, then command what you still want"
    )

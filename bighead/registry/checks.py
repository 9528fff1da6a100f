"""What several commands are refused for. Pure."""

from bighead.errors import CommandRefused
from bighead.registry.state import ModelState, Version


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

"""The names that somebody who misspelt one may have meant. Pure."""

from collections.abc import Collection
from difflib import get_close_matches


def did_you_mean(name: str, known: Collection[str]) -> str:
    """` (did you mean 'a' or 'b'?)`, or nothing when no known name is near."""
    near = get_close_matches(name, sorted(known), n=3)
    return f" (did you mean {' or '.join(repr(match) for match in near)}?)" if near else ""

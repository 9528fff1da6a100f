"""A place in several topics at once, as a text that a client keeps: in a page's address, in the id of an event.

Written `models:12.3.0.5,serving:1.0.0.2`: for each topic the offset of the next message of each partition. Pure.
"""

import re
from collections.abc import Collection, Mapping

from bighead.errors import InvalidInput
from bighead.events import topics as t
from bighead.events.log import Places
from bighead.events.topics import topic_name

TOPICS: Mapping[str, str] = {
    "models": t.MODELS_EVENTS,
    "serving": t.SERVING_EVENTS,
    "monitoring": t.MONITORING,
    "runs": t.RUNS,
    "features": t.FEATURES_EVENTS,
    "dead-letters": t.DEAD_LETTERS,
}
"""What may be followed, by the name that it has here."""
_EXPECTED = "expected `beginning`, `end` or a position that this API gave, such as models:12.3.0.5"
_PART = re.compile(r"([a-z-]+):(\d{1,18}(?:\.\d{1,18})*)")


def chosen(text: str | None) -> tuple[str, ...]:
    """The topics that `models,serving` names, in the order of TOPICS; all without it. Raises InvalidInput."""
    if text is None:
        return tuple(TOPICS)
    asked = {name.strip() for name in text.split(",")}
    if unknown := sorted(asked - set(TOPICS)):
        raise InvalidInput(f"topics: {', '.join(unknown)[:100]!r} cannot be read here; there are {', '.join(TOPICS)}")
    return tuple(name for name in TOPICS if name in asked)


def names(prefix: str, topics: Collection[str]) -> list[str]:
    """The topics' names on the broker."""
    return [topic_name(prefix, TOPICS[name]) for name in topics]


def written(prefix: str, places: Places) -> str:
    """The text of a place; partitions are numbered from 0 without a gap."""
    parts = []
    for name, topic in TOPICS.items():
        offsets = {part: offset for (at, part), offset in places.items() if at == topic_name(prefix, topic)}
        if offsets:
            parts.append(f"{name}:{'.'.join(str(offsets.get(part, 0)) for part in range(max(offsets) + 1))}")
    return ",".join(parts)


def read(prefix: str, text: str) -> dict[tuple[str, int], int]:
    """The place that `written` wrote; raises InvalidInput."""
    places: dict[tuple[str, int], int] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None or match[1] not in TOPICS:
            raise InvalidInput(f"from: received {text[:100]!r}; {_EXPECTED}")
        topic = topic_name(prefix, TOPICS[match[1]])
        places |= {(topic, number): int(offset) for number, offset in enumerate(match[2].split("."))}
    return places


def start_of(
    prefix: str, text: str, bounds: Mapping[tuple[str, int], tuple[int, int]]
) -> tuple[dict[tuple[str, int], int], bool]:
    """Where to read from, and whether messages between there and the text's place are kept no more.

    bounds: first offset and the one after the last, of each partition. Raises InvalidInput for a place beyond them.
    """
    if text in ("beginning", "end"):
        return {place: ends[text == "end"] for place, ends in bounds.items()}, False
    given = read(prefix, text)
    for place, (_, end) in bounds.items():
        if given.get(place, 0) > end:
            raise InvalidInput(
                f"from: {text[:100]!r} lies beyond the end of {place[0]}/{place[1]}, which is {end}; it was given by "
                f"another platform, or the topic was made anew; {_EXPECTED}"
            )
    start = {place: max(low, given.get(place, low)) for place, (low, _) in bounds.items()}
    return start, any(given[place] < low for place, (low, _) in bounds.items() if place in given)

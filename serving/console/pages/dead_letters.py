"""Messages that could not be handled: by stage and cause, with their bytes, and sent back with a reason."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from bighead.errors import InvalidInput
from bighead.events.message import Position
from bighead.events.topics import DEAD_LETTERS, topic_name
from bighead.events.types import DeadLetter
from serving.api.security import CSRF_FIELD, Role
from serving.console.letter_state import LetterRow, LetterState
from serving.console.paging import paged
from serving.console.site import Asked, Site, form_of

ROWS = 50
MOST_AT_ONCE = 500
"""How many dead letters one form sends back."""
MOST_BYTES = 4096
"""How many bytes of a value are shown."""
_LINE = 16
_PLACE = re.compile(r"[0-9]{1,9}/[0-9]{1,18}")
_REPLAY = "/dead-letters/replay"


@dataclass(frozen=True, slots=True)
class Cause:
    """Dead letters that have stage, error and topic in common."""

    stage: str
    error_class: str
    topic: str
    total: int
    waiting: int


@dataclass(frozen=True, slots=True)
class HexLine:
    """Some bytes: where the first lies, each in hexadecimal, and what of them is printable ASCII."""

    at: str
    hex: str
    text: str


def routes(site: Site) -> APIRouter:
    """The pages under `/dead-letters`."""
    router = APIRouter()

    @router.get("/dead-letters")
    def letters(request: Request) -> Response:
        asked = site.asked(request)
        return site.page(
            asked, "dead_letters.html", **context(site.state().letters, asked, request.query_params),
            sent=request.query_params.get("sent", ""),
        )  # fmt: skip

    @router.get(_REPLAY)
    def confirm(request: Request) -> Response:
        asked = site.asked(request)
        given = request.query_params.getlist("p")
        return site.page(asked, "replay.html", **replay_context(site, asked, given, reason="", wrong=""))

    @router.post(_REPLAY)
    async def replay(request: Request) -> Response:
        return await _replay(site, request)

    @router.get("/dead-letters/{partition}/{offset}")
    async def letter(partition: str, offset: str, request: Request) -> Response:
        asked = site.asked(request)
        (position,) = positions_of([f"{partition}/{offset}"], site.reach.prefix)
        row = site.state().letters.row(position, asked.as_of_ms)
        found = (await site.reach.letters([position])).get(position)
        if found is None or (asked.as_of_ms is not None and found.at_ms > asked.as_of_ms):
            return site.error(asked, 404, f"No dead letter lies at {partition}/{offset}, or not any more.")
        return site.page(asked, "dead_letter.html", **letter_context(found, row, short(position)))

    return router


async def _replay(site: Site, request: Request) -> Response:
    caller = site.access.require(request, Role.DEPLOYER)
    sent = await form_of(request)
    site.access.check_form(request, sent.get(CSRF_FIELD))
    reason = sent.get("reason", "").strip()
    given = sent.get("positions", "").split()
    if not reason or not given:
        wrong = "Say why: the reason is kept with the event." if given else "Nothing was chosen."
        asked = site.asked(request)
        return site.page(asked, "replay.html", status=400, **replay_context(site, asked, given, reason, wrong))
    positions = positions_of(given, site.reach.prefix)
    letters = await site.reach.letters(positions)
    missing = [short(one) for one in positions if one not in letters]
    if missing:
        raise InvalidInput(f"no dead letter lies at {', '.join(missing)} any more; nothing was sent back")
    where = await site.reach.replay([letters[one] for one in positions], caller.actor, reason)
    return RedirectResponse(f"/dead-letters?sent={len(where)}", 303)


def context(state: LetterState, asked: Asked, query: Mapping[str, str]) -> dict[str, Any]:
    """What the list shows."""
    stage, cause, topic, words = (query.get(name, "").strip() for name in ("stage", "cause", "topic", "q"))
    every = query.get("all") == "yes"
    rows = state.rows(asked.as_of_ms)
    found = [
        row
        for row in rows
        if (every or row.replay is None)
        and (not stage or row.stage == stage)
        and (not cause or row.error_class == cause)
        and (not topic or row.origin.topic == topic)
        and (not words or words.lower() in f"{row.error_message} {row.origin}".lower())
    ]
    counts = state.counts(asked.as_of_ms)
    return {
        "rows": paged(found, query.get("page"), ROWS),
        "causes": causes(rows),
        "waiting": sum(one.waiting for one in counts),
        "total": sum(one.total for one in counts),
        "stage": stage,
        "cause": cause,
        "topic": topic,
        "words": words,
        "every": every,
        "listed": len(rows),
        "short": short,
    }


def causes(rows: Sequence[LetterRow]) -> list[Cause]:
    """What the listed dead letters have in common, those that wait most first."""
    totals = Counter((row.stage, row.error_class, row.origin.topic) for row in rows)
    waiting = Counter((row.stage, row.error_class, row.origin.topic) for row in rows if row.replay is None)
    found = [Cause(*place, total, waiting[place]) for place, total in totals.items()]
    return sorted(found, key=lambda one: (-one.waiting, -one.total, one.stage, one.error_class, one.topic))


def replay_context(site: Site, asked: Asked, given: Sequence[str], reason: str, wrong: str) -> dict[str, Any]:
    """What would be sent back; raises InvalidInput for what is no position."""
    positions = positions_of(given, site.reach.prefix)
    known = {row.position: row for row in site.state().letters.rows(asked.as_of_ms)}
    return {
        "rows": [(short(one), known.get(one)) for one in positions],
        "positions": " ".join(short(one) for one in positions),
        "topics": sorted({known[one].origin.topic for one in positions if one in known}),
        "again": sum(known[one].replay is not None for one in positions if one in known),
        "reason": reason,
        "wrong": wrong,
    }


def positions_of(given: Sequence[str], prefix: str) -> list[Position]:
    """The positions of `PARTITION/OFFSET`, each once; raises InvalidInput."""
    topic = topic_name(prefix, DEAD_LETTERS)
    if len(given) > MOST_AT_ONCE:
        raise InvalidInput(f"{len(given)} dead letters were chosen; at most {MOST_AT_ONCE} are sent back at once")
    for one in given:
        if not _PLACE.fullmatch(one):
            raise InvalidInput(f"{one[:60]!r} is not a position of a dead letter; expected partition/offset, e.g. 0/42")
    return list(dict.fromkeys(Position.parse(f"{topic}/{one}") for one in given))


def letter_context(letter: DeadLetter, row: LetterRow | None, place: str) -> dict[str, Any]:
    """What the page of one dead letter shows."""
    return {
        "letter": letter,
        "place": place,
        "origin": str(Position(letter.topic, letter.partition, letter.offset)),
        "replay": row.replay if row else None,
        "key_lines": hex_lines(letter.key or b""),
        "value_lines": hex_lines((letter.value or b"")[:MOST_BYTES]),
        "value_size": None if letter.value is None else len(letter.value),
        "most": MOST_BYTES,
        "headers": [(one.name, _text(one.value)) for one in letter.headers],
    }


def hex_lines(data: bytes) -> list[HexLine]:
    """Bytes as people read them, 16 a line."""
    lines = []
    for at in range(0, len(data), _LINE):
        part = data[at : at + _LINE]
        text = "".join(chr(one) if 32 <= one < 127 else "·" for one in part)
        lines.append(HexLine(f"{at:06x}", part.hex(" "), text))
    return lines


def short(position: Position) -> str:
    """A dead letter as the command line names it."""
    return f"{position.partition}/{position.offset}"


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode("utf-8", "backslashreplace")

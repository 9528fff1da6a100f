"""What changes a model: a form, a page that shows exactly what would change, the command, and what came of it.

The form is read by GET, so that what is proposed has an address; only the command itself is a POST.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from bighead.client.models import new_id
from bighead.errors import CommandRefused, DeadlineExceeded, InvalidInput, PermissionDenied
from bighead.registry.policies import told
from bighead.registry.state import ModelState, Slot
from bighead.registry.views import ModelView
from serving.api.security import CSRF_FIELD, Role
from serving.console.pages import slots
from serving.console.pages.consequences import Consequences, consequences
from serving.console.pages.forms import MOST_DIGITS, Form, Signature, command_of, environment_of
from serving.console.site import Asked, Site, form_of

SHOWN_SHARES = 8
HIDDEN = (CSRF_FIELD, "command_id", "revision", "review", "as_of")


@dataclass(frozen=True, slots=True)
class Action:
    """One way to change a model: its title, what it does, whether it takes something away, and who may do it."""

    title: str
    text: str
    danger: bool = False
    role: Role = Role.DEPLOYER


ACTIONS: Mapping[str, Action] = {
    "deploy": Action("Deploy", "Makes a version live: it answers every request that names no version."),
    "traffic": Action("Divide traffic", "Gives versions shares of the requests, until the next deployment."),
    "rollout": Action("Roll out", "Gives a version more and more of the traffic, stage by stage, until it is live."),
    "rollback": Action("Roll back", "Returns to a version that was live before.", danger=True),
    "label": Action("Label", "Names a version, so that requests may ask for it by that name."),
    "approve": Action("Approve", "Vouches for a version that somebody else registered."),
    "policy": Action(
        "Policy", "Says what must hold of a version before it answers; what was said before ends.", role=Role.ADMIN
    ),
    "retire": Action("Retire", "Takes a version out of use for good.", danger=True),
}


def routes(site: Site) -> APIRouter:
    """The pages at `/models/{name}/{action}`, one for each action."""
    router = APIRouter()
    for name in ACTIONS:
        _add(router, site, name)
    return router


def _add(router: APIRouter, site: Site, action: str) -> None:
    role = ACTIONS[action].role

    @router.get(f"/models/{{name}}/{action}", name=f"{action} form")
    def form(name: str, request: Request) -> Response:
        asked = _commanding(site.asked(request), role)
        view = site.state().model(name)
        given = dict(request.query_params)
        if "review" not in given:
            return site.page(asked, "action.html", **form_context(action, view, given))
        return review(site, asked, action, view, given)

    @router.post(f"/models/{{name}}/{action}", name=f"{action} command")
    async def command(name: str, request: Request) -> Response:
        given = await form_of(request)
        site.access.require(request, role)
        site.access.check_form(request, given.get(CSRF_FIELD))
        asked, view = _commanding(site.asked(request), role), site.state().model(name)
        command_id, revision = given.get("command_id", ""), given.get("revision", "")
        whole = command_id.isalnum() and len(command_id) <= 64
        if not (whole and revision.isdecimal() and len(revision) <= MOST_DIGITS):
            raise InvalidInput("the form lacks the id or the revision that its page gave it; go back and send it anew")
        by = Signature(command_id, view.state.name, asked.actor, asked.now_ms, int(revision))
        sent = command_of(action, given, by)
        # A form that is sent again has its answer: the registry gives none a second time, and would be waited for.
        if not any(one.event.command_id == command_id for one in site.state().asked_of(view.state.name)):
            with suppress(CommandRefused, DeadlineExceeded):  # the next page says so: it reads the answer from the log
                await asyncio.to_thread(site.desk.ask, sent)
        return RedirectResponse(asked.href("/models", view.state.name, "commands", command_id), 303)


def _commanding(asked: Asked, role: Role) -> Asked:
    """The request of somebody who has the role; raises InvalidInput in the past, PermissionDenied."""
    if asked.past:
        raise InvalidInput("the past cannot be changed; return to now, then command")
    if not asked.may(role):
        raise PermissionDenied(f"{asked.actor} has the role {asked.role}; expected {role}")
    return asked


def review(site: Site, asked: Asked, action: str, view: ModelView, given: Form) -> Response:
    """The confirmation, or the form again with what is wrong."""
    state = view.state
    command_id = new_id()
    try:
        by = Signature(command_id, state.name, asked.actor, asked.now_ms, state.revision)
        command = command_of(action, given, by)
    except InvalidInput as error:
        return site.page(asked, "action.html", status=400, **form_context(action, view, given, str(error)))
    found = consequences(state, command, asked.now_ms)
    if found.refused:
        return site.page(asked, "action.html", status=409, **form_context(action, view, given, found.refused, found))
    return site.page(
        asked,
        "confirm.html",
        **_named(action, state),
        found=found,
        reason=given.get("reason", "").strip(),
        revision=state.revision,
        command_id=command_id,
        fields=[(name, value) for name, value in given.items() if name not in HIDDEN],
        back=asked.here(review=None),
    )


def form_context(
    action: str, view: ModelView, given: Form, wrong: str = "", found: Consequences | None = None
) -> dict[str, Any]:
    """What the form shows: what was written into it, else what is so now."""
    state, environment = view.state, environment_of(given)
    slot = state.slot(environment)
    usable = [version.number for version in reversed(state.versions) if version.retired is None]
    return {
        **_named(action, state),
        "given": given,
        "wrong": wrong,
        "judged": found.judged if found else (),
        "environment": environment,
        "environments": slots.environments(state),
        "slot": slots.card(environment, slot),
        "rollout": slot.rollout,
        "policy": given["rules"] if "rules" in given else "\n".join(map(told, slot.policy)),
        "usable": [(number, _told(state, slot, number)) for number in usable],
        "before": [(number, f"version {number}") for number in dict.fromkeys(reversed(slot.deployed[:-1]))],
        "shares": share_rows(slot, usable, given),
        "unit": given.get("unit", (slot.traffic.unit or "") if slot.traffic else ""),
    }


def share_rows(slot: Slot, usable: list[int], given: Form) -> list[tuple[int, str, bool]]:
    """A row for each version that may get traffic: number, percent as text, whether as a shadow."""
    arms = {arm.version: arm for arm in slot.traffic.arms} if slot.traffic else {}
    answering = dict.fromkeys([*([slot.live] if slot.live else []), *arms, *usable[:SHOWN_SHARES]])
    rows = []
    for number in sorted((one for one in answering if one in usable), reverse=True):
        arm = arms.get(number)
        now = f"{arm.percent:g}" if arm and not arm.shadow else "100" if not arms and number == slot.live else ""
        shadow = ("review" not in given and bool(arm and arm.shadow)) or bool(given.get(f"shadow-{number}"))
        rows.append((number, given.get(f"share-{number}", now), shadow))
    return rows


def _named(action: str, state: ModelState) -> dict[str, Any]:
    return {"model": state.name, "path": action, "action": ACTIONS[action]}


def _told(state: ModelState, slot: Slot, number: int) -> str:
    stamp = state.versions[number - 1].registered
    live = ", live" if slot.live == number else ""
    return f"version {number}{live} – {stamp.reason[:60]}"

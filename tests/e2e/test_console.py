"""The console in a real browser, against a platform that was told the flights story.

Every test ends with what the browser complained about: nothing of its own, and no request to another host.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, Page

from bighead.client.models import ModelsClient
from bighead.client.predict import PredictionClient
from bighead.testing import eventually
from examples.flights import data, recipes
from tests.e2e.browser import NARROW, Complaints, pages_of, problems, watch_shifts
from tests.e2e.flights_story import PEOPLE, Story
from tests.e2e.screenshots import pages

MODEL = f"/models/{recipes.MODEL}"


@pytest.fixture(scope="module")
def console(story: Story) -> str:
    return f"http://{story.settings.console}"


@pytest.fixture
def opened(browser: Browser, console: str) -> Iterator[tuple[Page, Complaints]]:
    """A page, of which nothing may be said against when the test ends."""
    with pages_of(browser, console) as (page, complaints):
        yield page, complaints
        assert complaints.take() == []


def shown(page: Page, text: str) -> Locator:
    """The first place where a text can be seen: drawings have it in titles as well."""
    return page.get_by_text(text).locator("visible=true").first


def answering(story: Story) -> int:
    """The version that the model server itself says it answered with."""
    flight = story.flights.iloc[0]
    with PredictionClient(story.settings.grpc) as client:
        keys, inputs = ({name: flight[name] for name in names} for names in (data.KEYS, data.REQUEST_COLUMNS))
        return client.predict(recipes.MODEL, [keys], [inputs], as_of_ms=int(flight.asked_ms)).version


@pytest.mark.parametrize("name", pages("run"))
def test_a_page_loads_and_is_accessible(name: str, opened: tuple[Page, Complaints], story: Story) -> None:
    page, _ = opened
    watch_shifts(page)
    page.goto(pages(story.run_id)[name])
    assert page.evaluate("window.layoutShift") < 0.1
    assert page.locator("h1").count() == 1
    assert page.title().strip()
    found = problems(page)
    page.emulate_media(color_scheme="dark")
    found += problems(page, only="color-contrast")
    page.set_viewport_size({"width": NARROW, "height": 800})
    found += problems(page, only="scrollable-region-focusable")
    assert found == []
    wide = page.evaluate("document.scrollingElement.scrollWidth")
    assert wide <= NARROW, f"{name} is {wide} wide on a screen of {NARROW}"


def test_a_person_deploys_and_rolls_back_and_the_server_follows(opened: tuple[Page, Complaints], story: Story) -> None:
    page, _ = opened
    assert answering(story) == 1
    page.goto(f"{MODEL}/deploy")
    command(page, {"version": "2", "reason": "more trees, by hand"})
    eventually(lambda: answering(story) == 2, 30)
    page.goto(MODEL)
    shown(page, "more trees, by hand").wait_for()

    page.goto(f"{MODEL}/rollback")
    command(page, {"reason": "only a rehearsal"})
    eventually(lambda: answering(story) == 1, 30)


def command(page: Page, fields: dict[str, str]) -> None:
    """Fills the form, looks at what would change, and confirms it."""
    for name, value in fields.items():
        field = page.locator(f"[name={name}]:not([type=hidden])").first
        if field.evaluate("one => one.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    form = page.locator("main form").last
    form.locator("button[type=submit]").first.click()
    shown(page, fields["reason"]).wait_for()
    page.locator("main form").last.locator("button[type=submit]").first.click()
    page.wait_for_load_state()


def test_a_command_without_a_reason_is_not_sent(opened: tuple[Page, Complaints], story: Story) -> None:
    page, _ = opened
    page.goto(f"{MODEL}/deploy")
    page.locator("main form").last.locator("button[type=submit]").first.click()
    assert page.locator("[name=reason]").evaluate("one => one.matches(':invalid')")
    assert page.url.endswith("/deploy")


def test_an_open_page_shows_what_happens_without_being_loaded_again(
    opened: tuple[Page, Complaints], story: Story
) -> None:
    page, _ = opened
    watch_shifts(page)
    page.goto(MODEL)
    page.evaluate("window.sameDocument = true")
    ModelsClient(story.settings, PEOPLE[1]).set_traffic(recipes.MODEL, {1: 90, 2: 10}, "a tenth, while somebody looks")
    shown(page, "a tenth, while somebody looks").wait_for()
    assert page.evaluate("window.sameDocument")
    assert page.evaluate("window.layoutShift") < 0.1


def test_the_event_tail_moves(opened: tuple[Page, Complaints], story: Story) -> None:
    page, _ = opened
    watch_shifts(page)
    page.goto("/events")
    page.evaluate("window.sameDocument = true")
    rows = page.locator("main tbody tr").filter(has_text="TrafficChanged")
    before = rows.count()
    ModelsClient(story.settings, PEOPLE[1]).set_traffic(recipes.MODEL, {1: 100}, "and back to how it was")
    rows.nth(before).wait_for()
    assert page.evaluate("window.sameDocument")
    assert page.evaluate("window.layoutShift") < 0.1


def test_the_past_is_shown_as_it_was_and_cannot_be_changed(opened: tuple[Page, Complaints], story: Story) -> None:
    page, _ = opened
    page.goto(f"{MODEL}?as_of={quote(_iso(story.deployed_ms))}")
    assert page.get_by_role("status").get_by_text("The past").is_visible()
    assert page.get_by_text("more trees, by hand").count() == 0
    assert page.locator(f"main a[href^='{MODEL}/deploy']").count() == 0
    links = page.locator("main a[href^='/models']").evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert links and all("as_of=" in link for link in links), links


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def test_the_keyboard_reaches_the_actions_and_shows_where_it_is(opened: tuple[Page, Complaints], story: Story) -> None:
    page, _ = opened
    page.goto(MODEL)
    seen: list[dict[str, Any]] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(FOCUSED))
        if (seen[-1]["href"] or "").startswith(f"{MODEL}/deploy"):
            break
    assert seen[0]["href"] == "#main", "the first stop is the link past the navigation"
    assert (seen[-1]["href"] or "").startswith(f"{MODEL}/deploy"), [one["text"] for one in seen]
    assert [one["text"] for one in seen if not one["visible"]] == []


FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect();
  return {
    href: one.getAttribute("href"), text: one.textContent.trim().slice(0, 40) || one.name || one.tagName,
    visible: box.width > 0 && box.height > 0 && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1,
  };
}"""


def test_pages_work_without_script(browser: Browser, console: str, story: Story) -> None:
    with pages_of(browser, console, script=False) as (page, complaints):
        for path in pages(story.run_id).values():
            page.goto(path)
            assert page.locator("h1").is_visible()
        page.goto(f"{MODEL}/deploy")
        command(page, {"version": "1", "reason": "without script"})
        assert complaints.take() == []

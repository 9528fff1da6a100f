"""No text from the log acts on a page of the console: it is read there, as it was written."""

import os
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Browser, Page

from bighead import config, health
from bighead.config import Settings
from bighead.testing import eventually
from tests.e2e.browser import pages_of
from tests.e2e.hostile import CORPUS, MODEL, MULTIPLIED, PRODUCT, write_hostile

MOST = 80
SEEDS = (
    *("/", "/models", f"/models/{MODEL}", "/features", "/features/lookup", "/events", "/dead-letters"),
    *("/runs", "/audit", "/alerts", f"/models/{MODEL}/compare?a=1&b=2", f"/models/{MODEL}/deploy"),
)
FIELDS = ("as_of", "q", "text", "reason", "page")
DANGEROUS = """() => {
  const acts = it => /^(on|hx-on|data-hx-on|srcdoc)/i.test(it.name)
    || (/^(href|src|action|formaction|xlink:href|data)$/i.test(it.name)
      && /^[\\s\\u0000-\\u001f]*(j\\s*a\\s*v\\s*a|vbscript|data:text)/i.test(it.value));
  const all = [...document.querySelectorAll("*")];
  const attributes = all.flatMap(one => [...one.attributes].filter(acts).map(it => `${it.name}=${it.value}`));
  const foreign = "script:not([src^='/static/']), iframe, object, embed, base, math, style, meta[http-equiv]";
  return attributes.concat([...document.querySelectorAll(foreign)].map(one => one.outerHTML.slice(0, 120)));
}"""


@pytest.fixture
def console(ready_settings: Settings) -> Iterator[str]:
    """A console of its own, over a log that nobody else reads."""
    write_hostile(ready_settings)
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.console"], env=os.environ | config.variables(ready_settings)
    )
    try:
        eventually(lambda: health.check("console", ready_settings).ok, 60, 0.1)
        yield f"http://{ready_settings.console}"
    finally:
        process.terminate()
        process.wait(30)


def test_nothing_that_the_log_or_an_address_says_acts(console: str, browser: Browser) -> None:
    with pages_of(browser, console) as (page, complaints):
        eventually(lambda: (answer := page.goto(f"/models/{MODEL}")) is not None and answer.ok, 30, 0.2)
        complaints.take()  # until the console had read the log there was no such model
        seen: dict[str, list[str]] = {}
        waiting = [*SEEDS, *asked()]
        while waiting and len(seen) < MOST:
            path = waiting.pop(0)
            if path in seen:
                continue
            page.goto(path)
            seen[path] = harm(page) + [one for one in complaints.take() if not said_no(one)]
            waiting += [link for link in links(page, console) if new_kind(link, seen)]
        for text in CORPUS[:2]:
            sent_by_form(page, text)
            seen[text] = harm(page) + [one for one in complaints.take() if not said_no(one)]
    assert {path: found for path, found in seen.items() if found} == {}
    assert len(seen) > len(SEEDS) + len(asked())


def sent_by_form(page: Page, text: str) -> None:
    """Fills the text into a form and sends it: the next page, a confirmation or a refusal, says it again."""
    page.goto(f"/models/{MODEL}/deploy")
    page.locator("[name=reason]").fill(text)
    page.locator("main form").last.locator("button[type=submit]").first.click()
    page.wait_for_url("**review=1**")


def asked() -> list[str]:
    """Addresses that carry the texts: in their fields, and in the place of names."""
    fields = [f"{path}?{field}={quote(CORPUS[at % len(CORPUS)])}" for at, (path, field) in enumerate(addressed())]
    names = [f"{path}/{quote(text, safe='')}" for path in ("/models", "/features", "/runs") for text in CORPUS[1:3]]
    return fields + names


def addressed() -> list[tuple[str, str]]:
    return [(path, field) for path in ("/models", "/features", "/events", "/runs", "/audit") for field in FIELDS]


def harm(page: Page) -> list[str]:
    """What text did, or could do if somebody touched it."""
    found: list[str] = page.evaluate(DANGEROUS)
    if page.evaluate("window.canary"):
        found.append("the text acted")
    if PRODUCT in page.content():
        found.append(f"{MULTIPLIED} was computed")
    return found


def said_no(complaint: str) -> bool:
    """A page that refuses an address says so, with its status: that is no harm."""
    return complaint.startswith(
        ("answer 4", "console: Failed to load resource: the server responded with a status of 4")
    )


def links(page: Page, console: str) -> list[str]:
    found: list[str] = page.locator("a[href]").evaluate_all("all => all.map(one => one.href)")
    return [link[len(console) :] for link in found if link.startswith(console)]


def new_kind(link: str, seen: dict[str, list[str]]) -> bool:
    """Whether few pages of its kind were looked at: a path with as many parts that begins the same."""
    parts = urlsplit(link).path.split("/")
    alike = [
        one for one in seen if urlsplit(one).path.split("/")[:2] == parts[:2] and one.count("/") == link.count("/")
    ]
    return link not in seen and len(alike) < 12

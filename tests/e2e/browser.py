"""A headless browser for tests of pages: what it complains about is kept, and other hosts are out of reach."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
    Route,
    sync_playwright,
)

from infra.browser.fetch import find

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
)
WIDTH, HEIGHT = 1280, 900
NARROW = 400
TIMEOUT_MS = 15_000
Scheme = Literal["light", "dark"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with an empty profile in a temporary folder, which goes with it."""
    found = find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.executable,
            headless=True,
            args=list(FLAGS),
            env={**os.environ, **found.variables},
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Complaints:
    """What went wrong on the pages of a context, in the order in which it did. Empty is the norm."""

    host: str
    """Host and port of the console: a request to any other is a complaint, and does not leave."""
    found: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        """Listens to every page that the context opens."""
        context.route("**/*", self._keep_inside)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.found.append(f"script: {error.error.message}"))
        context.on("dialog", self._dialog)
        context.on("requestfailed", self._failed)
        context.on("response", self._answered)

    def take(self) -> list[str]:
        """What was found since the last time."""
        found, self.found = self.found, []
        return found

    def _keep_inside(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        if url.scheme in ("http", "https") and url.netloc != self.host:
            self.found.append(f"request to another host: {route.request.url}")
            route.abort()
        else:
            route.continue_()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.found.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        # A stream of events that the browser left with its page did not fail.
        if request.failure != "net::ERR_ABORTED":
            self.found.append(f"request failed: {request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.found.append(f"answer {response.status}: {response.url}")

    def _dialog(self, dialog: Dialog) -> None:
        self.found.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def pages_of(
    browser: Browser, base_url: str, *, scheme: Scheme = "light", width: int = WIDTH, script: bool = True
) -> Iterator[tuple[Page, Complaints]]:
    """A page of a fresh context, and the complaints about it."""
    context = browser.new_context(
        base_url=base_url,
        color_scheme=scheme,
        viewport={"width": width, "height": HEIGHT},
        java_script_enabled=script,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(TIMEOUT_MS)
    complaints = Complaints(urlsplit(base_url).netloc)
    complaints.watch(context)
    try:
        yield context.new_page(), complaints
    finally:
        context.close()


def problems(page: Page, only: str = "") -> list[str]:
    """What axe-core calls serious or critical on the page as it is now; `only` one of its rules."""
    options = {"runOnly": {"type": "rule", "values": [only]}} if only else {"resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {'; '.join(node['html'][:160] for node in one['nodes'][:3])}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def watch_shifts(page: Page) -> None:
    """From its next load on the page sums what moved without anybody's doing, as `window.layoutShift`."""
    page.add_init_script("""
        window.layoutShift = 0;
        new PerformanceObserver(list => list.getEntries().forEach(one => {
            if (!one.hadRecentInput) window.layoutShift += one.value;
        })).observe({type: "layout-shift", buffered: true});
    """)

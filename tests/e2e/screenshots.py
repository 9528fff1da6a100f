"""`python -m tests.e2e.screenshots FOLDER`: a picture of each page of the console, light and dark, from a story.

Starts a platform of its own in a temporary folder, tells it the flights story, and removes it.
"""

import re
import sys
import tempfile
from pathlib import Path
from typing import cast

from playwright.sync_api import Browser, Page

from bighead.local.platform import ALL, Platform
from bighead.local.ports import free_settings
from examples.flights import recipes
from serving.console.pages.actions import ACTIONS
from tests.e2e.browser import WIDTH, Scheme, chromium, pages_of
from tests.e2e.flights_story import ASKED_MS, Story, tell

SCHEMES: tuple[Scheme, ...] = ("light", "dark")
HIGHEST = 1600
LOOKED_UP = "join=flight&k.carrier=UA&k.origin=EWR&k.dest=ORD&k.tailnum=N14228"


def pages(run_id: str) -> dict[str, str]:
    """Every page by the name of its picture. `run_id` is of the run that has a page."""
    model = f"/models/{recipes.MODEL}"
    return {
        "home": "/",
        "models": "/models",
        "model": model,
        "version": f"{model}/versions/2",
        "compare": f"{model}/compare?a=1&b=2",
        **{action: f"{model}/{action}" for action in ACTIONS if action != "retire"},
        "features": "/features",
        "feature": "/features/carrier_arrivals",
        "join": f"/features/{recipes.JOIN}",
        "lookup": f"/features/lookup?{LOOKED_UP}&as_of={ASKED_MS}",
        "events": "/events",
        "dead-letters": "/dead-letters",
        "runs": "/runs",
        "run": f"/runs/{run_id}",
        "audit": "/audit",
        "alerts": "/alerts",
    }


def take(browser: Browser, story: Story, folder: Path) -> list[Path]:
    """Writes NAME-light.png and NAME-dark.png of every page."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    for scheme in SCHEMES:
        with pages_of(browser, f"http://{story.settings.console}", scheme=scheme) as (page, _):
            for name, path in pages(story.run_id).items():
                page.goto(path)
                taken.append(picture(page, folder / f"{re.sub(r'[^a-z-]', '', name)}-{scheme}.png"))
    return taken


def picture(page: Page, file: Path) -> Path:
    """The page from its top, as high as it is but not endless, in the 256 colours that it has most of."""
    from PIL import Image

    page.evaluate("document.documentElement.style.scrollbarGutter = 'auto'")  # no bar is drawn: no place is kept for it
    height = int(page.evaluate("document.documentElement.scrollHeight"))
    page.screenshot(path=file, full_page=True, clip={"x": 0, "y": 0, "width": WIDTH, "height": min(height, HIGHEST)})
    with Image.open(file) as opened:
        whole = opened.convert("RGB")
    counted = cast(list[tuple[int, tuple[int, int, int]]], whole.getcolors(whole.width * whole.height))
    often = sorted(counted, key=lambda one: -one[0])[:256]
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for _, colour in often for value in colour])
    whole.quantize(palette=palette, dither=Image.Dither.NONE).save(file, optimize=True)
    return file


def main() -> int:
    """Tells the story to a platform of its own and takes the pictures."""
    folder = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="bighead-screenshots-") as home:
        platform = Platform(free_settings(Path(home)))
        try:
            platform.up(ALL)
            story = tell(platform.settings)
            with chromium() as browser:
                taken = take(browser, story, folder)
        finally:
            platform.down()
    print(f"{len(taken)} pictures in {folder}, {sum(one.stat().st_size for one in taken) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Look at the built site in headless Chromium, as a reader without a network would.

    python -m mkdocs build && python tests/browser/check_site.py [SITE] [--pages PATTERN] [--screenshots FOLDER]

Needs the extra `browser` and a Chromium (Debian: apt-get install chromium). Every page of the site is opened at two widths,
served from this machine with all other hosts refused, and the home page from disk as well. A page fails on console errors,
failed or external requests, formulas that are not rendered or that MathJax refused, images that did not load, stick out of
their column or are shrunk below legibility (but thumbnails, which lead to their full size), and a page that scrolls sideways;
at the wider width on formulas wider than their column, and on more than a reader scrolls (Reference, in which one looks up, may
be longer). Exit status 1 if any page fails.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import pathlib
import shutil
import sys
import threading
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

WIDTHS = {"desktop": 1280, "narrow": 400}
# Figures have 150 pixels to the inch and text of 8 to 10 points: shown at 0.4 of their size it is 7 to 8 pixels high.
SMALLEST_SCALE = 0.4
HIGHEST = 6000
PATIENCE = 120_000
"""Milliseconds that a page may take on a machine that does other things as well."""

# In the page: what is wrong with it, as a list of sentences.
INSPECT = r"""
(smallest) => {
  const found = [];
  const scrolls = (e) => e && (["auto", "scroll"].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width + 1) {
    const wide = [...document.querySelectorAll("article *")].filter(
      (e) => e.getBoundingClientRect().right > width + 1 && !scrolls(e));
    found.push(`scrolls sideways: ${document.documentElement.scrollWidth} px on ${width}, at ${wide.slice(0, 3).map(
      (e) => e.outerHTML.slice(0, 80)).join(" | ")}`);
  }
  for (const image of document.querySelectorAll("article img")) {
    const name = image.getAttribute("src");
    if (!image.complete || image.naturalWidth === 0) found.push(`image not loaded: ${name}`);
    const shown = image.getBoundingClientRect();
    if (shown.right > width + 1 && !scrolls(image.parentElement)) found.push(`image wider than the screen: ${name}`);
    const thumbnail = image.closest("a")?.href === image.src;
    if (!thumbnail && shown.width < smallest * image.naturalWidth)
      found.push(`image shrunk to ${shown.width} px of ${image.naturalWidth}: ${name}`);
    if (!image.alt) found.push(`image without a description: ${name}`);
  }
  for (const error of document.querySelectorAll('mjx-merror, [data-mml-node="merror"]'))
    found.push(`formula refused: ${error.getAttribute("data-mjx-error") || error.textContent}`);
  for (const formula of document.querySelectorAll('mjx-container[display="true"]'))
    if (width > 1000 && formula.clientWidth > 0 && formula.scrollWidth > formula.clientWidth + 1) {
      const said = formula.parentElement.textContent.slice(0, 60);
      found.push(`formula of ${formula.scrollWidth} px on ${formula.clientWidth}: ${said}`);
    }
  for (const formula of document.querySelectorAll(".arithmatex"))
    if (!formula.querySelector("mjx-container")) found.push(`formula not rendered: ${formula.textContent.slice(0, 60)}`);
  const text = document.createTreeWalker(document.querySelector("article") || document.body, NodeFilter.SHOW_TEXT);
  while (text.nextNode()) {
    const node = text.currentNode;
    if (node.parentElement.closest("pre, code, script, style, mjx-container")) continue;
    if (/\\[()[\]]|:(?:func|class|meth|mod):/.test(node.data))
      found.push(`markup shown as text: ${node.data.trim().slice(0, 80)}`);
  }
  return found;
}
"""


@contextlib.contextmanager
def served(site: pathlib.Path) -> Iterator[str]:
    """The folder at a free port of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Reader:
    """One browser window: opens pages and collects what goes wrong."""

    def __init__(self, browser: Browser, width: int, allowed: str):
        """Requests may go to addresses that start with `allowed` only."""
        self._page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
        self._page.set_default_timeout(PATIENCE)
        self._found: list[str] = []
        self._page.on("console", lambda m: self._found.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
        self._page.on("pageerror", lambda error: self._found.append(f"script error: {error}"))
        self._page.on("requestfailed", lambda request: self._found.append(f"request failed: {request.url}"))
        self._page.on("response", lambda r: self._found.append(f"status {r.status}: {r.url}") if r.status >= 400 else None)
        local = (allowed, "data:", "blob:")
        self._page.on(
            "request", lambda r: None if r.url.startswith(local) else self._found.append(f"external request: {r.url}")
        )

    def problems(self, url: str, screenshot: pathlib.Path | None = None, highest: float = float("inf")) -> list[str]:
        """What is wrong with a page, which may be so many pixels high."""
        self._page.goto("about:blank")  # breaks off what the page before still asks for
        self._found.clear()
        self._page.goto(url, wait_until="load")
        self._page.evaluate("() => window.MathJax?.startup?.promise")
        self._page.wait_for_load_state("networkidle")
        found = [*self._found, *self._page.evaluate(INSPECT, SMALLEST_SCALE)]
        height = self._page.evaluate("() => document.documentElement.scrollHeight")
        if height > highest:
            found.append(f"{height} px high, {highest} allowed")
        if screenshot is not None:
            self._page.screenshot(path=str(screenshot), full_page=True)
        return found


def check_site(
    site: pathlib.Path, pattern: str = "**/*.html", screenshots: pathlib.Path | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Each page and width with its problems, as soon as they are known; pages without any have an empty list."""
    pages = sorted(path.relative_to(site) for path in site.glob(pattern) if path.suffix == ".html" and path.name != "404.html")
    if not pages:
        raise FileNotFoundError(f"site must be a folder with HTML pages {pattern}, as mkdocs build makes; got {site}")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with served(site) as address, sync_playwright() as playwright:
        options = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        try:
            for name, width in WIDTHS.items():
                reader = Reader(browser, width, address)
                for page in pages:
                    shot = screenshots and screenshots / f"{'-'.join(page.with_suffix('').parts)}-{name}.png"
                    limited = name == "desktop" and page.parts[0] != "reference"
                    highest = HIGHEST if limited else float("inf")
                    yield f"{page} ({name})", reader.problems(f"{address}/{page}", shot, highest)
            home = (site / "index.html").as_uri()
            yield "index.html (from disk)", Reader(browser, WIDTHS["desktop"], "file://").problems(home)
        finally:
            browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Check the built site in headless Chromium.")
    parser.add_argument("site", nargs="?", type=pathlib.Path, default=pathlib.Path("site"), help="folder that mkdocs built")
    parser.add_argument("--pages", default="**/*.html", help="only these, as start/*.html (default: all)")
    parser.add_argument("--screenshots", type=pathlib.Path, help="folder for one picture of each page and width")
    arguments = parser.parse_args()
    if arguments.screenshots is not None:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    failed = False
    for page, problems in check_site(arguments.site.resolve(), arguments.pages, arguments.screenshots):
        failed = failed or bool(problems)
        print("\n     ".join([f"{'FAIL' if problems else 'ok':4} {page}", *problems]), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

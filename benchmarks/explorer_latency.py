"""How fast the explorer is, as measured in the browser: from its start to the first picture, and from a slider to the picture.

    python benchmarks/explorer_latency.py [--moves M] [--starts S] [--seconds T] [--pictures FOLDER]

starts `ntk-shortcuts explore` in a process of its own and opens it in headless Chromium (extras `explorer` and `browser`),
moves each slider by its keys, and writes `benchmarks/results/explorer_latency.csv`: a row for each start and each move, as soon
as it is known. A move ends when the number is that of the new setting and the first figure has not been drawn again for a
quarter of a second: the time is that of its last stroke. Each slider is moved once before any is moved again, so that what
`--seconds` cuts off are repeats. `--pictures` draws the page instead, wide and narrow.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, TimeoutError, sync_playwright

OUTPUT = Path(__file__).parent / "results" / "explorer_latency.csv"
SLIDERS = ("shortcut_predictivity", "core_predictivity", "amplification_ratio", "correlation", "time")
SETTINGS = {
    "population": "",
    "population, erf with biases": "depth=2&activation=erf&bias_variance=0.1",
    "average, N = 100": "num_samples=100",
    "average, N = 1000, depth 3": "num_samples=1000&depth=3",
}

# In the page: elements in open shadow trees, too.
FIND = """
(selector) => {
  const within = (root) => root.querySelector(selector)
    ?? [...root.querySelectorAll("*")].reduce((found, e) => found ?? (e.shadowRoot && within(e.shadowRoot)), null);
  return within(document);
}
"""
# One step of a slider, by its keys: milliseconds until the last stroke of the first figure, the number, and its setting.
MOVE = (
    "async ({field, key}) => { const find = "
    + FIND
    + """;
  const slider = find(`.control-${field}`), card = find(".card");
  const inside = (root, selector) => root.querySelector(selector)
    ?? [...root.querySelectorAll("*")].reduce((f, e) => f ?? (e.shadowRoot && inside(e.shadowRoot, selector)), null);
  const handle = inside(slider.shadowRoot, ".noUi-handle"), figure = inside(card, ".bk-Figure");
  const number = () => find(".first"), before = number().dataset.query;
  const frame = () => new Promise((done) => setTimeout(done, 5));
  const start = performance.now();
  let last = start;
  const observer = new MutationObserver(() => { last = performance.now(); });
  const watch = (root) => {
    observer.observe(root, {subtree: true, childList: true, attributes: true, characterData: true});
    for (const e of root.querySelectorAll("*")) if (e.shadowRoot) watch(e.shadowRoot);
  };
  watch(figure.shadowRoot);
  handle.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  while (number().dataset.query === before && performance.now() - start < 60000) await frame();
  last = Math.max(last, performance.now());
  while (performance.now() - last < 250) await frame();
  observer.disconnect();
  return {milliseconds: last - start, number: number().textContent, query: number().dataset.query};
} """
)


@contextlib.contextmanager
def served(*arguments: str) -> Iterator[str]:
    """The address of an explorer that runs in a process of its own, as soon as it says so."""
    command = [sys.executable, "-m", "ntk_shortcuts.cli", "explore", "--no-open", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        found = re.search(r"http://\S+/", said)
        if found is None:
            raise RuntimeError(f"the explorer did not start: {said}{process.stderr.read()}")
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


@contextlib.contextmanager
def opened(url: str, width: int = 1400, height: int = 1000) -> Iterator[Page]:
    """A page in headless Chromium, once it shows its first number."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(url, timeout=120_000)
            page.locator(".first").wait_for(timeout=120_000)
            yield page
        finally:
            browser.close()


def move(page: Page, field: str, key: str = "ArrowRight") -> dict[str, Any]:
    """Move one slider by one step: `milliseconds` to the picture, the `number` there, and its `query`."""
    return page.evaluate(MOVE, {"field": field, "key": key})


def starts(count: int) -> Iterator[dict[str, Any]]:
    """Seconds from the command to the first number in the browser."""
    for _ in range(count):
        began = time.perf_counter()
        with served() as url, opened(url):
            yield {"what": "start", "slider": "", "milliseconds": round(1000 * (time.perf_counter() - began))}


def moves(count: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Every slider there and back, a second apart, after one move that is not counted, in each setting's part of the time."""
    with served() as url:
        for name, query in SETTINGS.items():
            ends = time.monotonic() + seconds / len(SETTINGS)
            with opened(f"{url}?{query}") as page:
                with contextlib.suppress(TimeoutError):  # programs are compiled meanwhile
                    settled(page, seconds / len(SETTINGS) / 2)
                for i in range(-1, count):
                    for slider in SLIDERS:
                        if i > 0 and time.monotonic() > ends:
                            break
                        found = move(page, slider, "ArrowRight" if i % 2 else "ArrowLeft")
                        if i >= 0:
                            yield {"what": name, "slider": slider, "milliseconds": round(found["milliseconds"])}
                        page.wait_for_timeout(1000)  # as one who looks at it: the other figures are being drawn


def settled(page: Page, seconds: float = 300.0) -> None:
    """Wait until all figures of the setting are there, so long at most."""
    page.wait_for_timeout(400)
    page.locator(".status").filter(has_text="ready").wait_for(timeout=1000 * seconds)


def pictures(folder: Path) -> None:
    """The page as it opens, wide and narrow."""
    with served() as url:
        for name, width in (("wide", 1400), ("narrow", 400)):
            with opened(url, width) as page:
                settled(page)
                page.screenshot(path=folder / f"explorer_{name}.png", full_page=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the explorer in headless Chromium.")
    parser.add_argument("--moves", type=int, default=6, help="of each slider, in each setting")
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=600.0, help="about how long to move sliders")
    parser.add_argument("--pictures", type=Path, help="draw the page into this folder, and measure nothing")
    asked = parser.parse_args()
    if asked.pictures is not None:
        return pictures(asked.pictures)
    rows = []
    with OUTPUT.open("w", newline="") as file:
        writer = csv.DictWriter(file, ("what", "slider", "milliseconds"))
        writer.writeheader()
        for row in itertools.chain(starts(asked.starts), moves(asked.moves, asked.seconds)):
            rows.append(row)
            writer.writerow(row)
            file.flush()
    for what in dict.fromkeys(row["what"] for row in rows):
        found = sorted(row["milliseconds"] for row in rows if row["what"] == what)
        ninth = found[min(len(found) - 1, int(0.9 * len(found)))]
        print(f"{what:30} median {statistics.median(found):6.0f} ms, 90 % {ninth:6.0f} ms, of {len(found)}")


if __name__ == "__main__":
    main()

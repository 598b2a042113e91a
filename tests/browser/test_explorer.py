"""The explorer in headless Chromium: a slider moves, and the page shows what Python answers."""

import pathlib
import runpy
import shutil

import numpy as np
import pytest

pytest.importorskip("playwright", reason="the extra `browser` is not installed")
pytest.importorskip("panel", reason="the extra `explorer` is not installed")
if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
    pytest.skip("no Chromium on this machine", allow_module_level=True)

import ntk_shortcuts as ns
from ntk_shortcuts.explorer.law import LawSetting
from ntk_shortcuts.explorer.query import from_query

DRIVER = runpy.run_path(str(pathlib.Path(__file__).parents[2] / "benchmarks" / "explorer_latency.py"))
QUICK = "depth=0&time=10"
FAULTS = """
() => {
  const found = [], width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) found.push(`scrolls sideways: ${document.documentElement.scrollWidth}`);
  const walk = (root) => { for (const e of root.querySelectorAll("*")) {
    if (e.shadowRoot) walk(e.shadowRoot);
    const box = e.getBoundingClientRect();
    const shown = e.matches(".bk-Figure, pre, .noUi-target") && box.width;
    if (shown && box.right > width + 1) found.push(`sticks out: ${e.className}`);
  } };
  walk(document);
  return found;
}
"""


@pytest.fixture(scope="module")
def url():
    with DRIVER["served"]() as address:
        yield address


def watched(page, url):
    """What goes wrong on a page, as it goes on."""
    found = []
    page.on("console", lambda m: found.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith((url, "data:", "blob:")) else found.append(f"external: {r.url}"))
    return found


@pytest.mark.slow
def test_a_slider_moves_the_number_to_what_python_answers(url):
    with DRIVER["opened"](f"{url}?{QUICK}") as page:
        wrong = watched(page, url)
        page.reload()
        page.locator(".first").wait_for()
        before = page.locator(".first").text_content()
        found = DRIVER["move"](page, "shortcut_predictivity", "ArrowLeft")
        setting = from_query(found["query"], LawSetting())
        assert setting.shortcut_predictivity == 0.84 and setting.depth == 0 and setting.time == 10.0
        model = ns.GenerativeModel((0.84, 0.9), (4.0, 1.0), 0.6)
        expected = ns.predict_bias(model, ns.MLP(0), ns.GradientFlow(10.0)).bias
        assert found["number"] == f"{expected:+.3f}" != before
        # The address has the setting: another window shows the same.
        page.wait_for_url(f"{url}?{found['query']}")
        page.reload()
        page.locator(f'.first[data-query="{found["query"]}"]').wait_for()
        assert page.locator(".first").text_content() == found["number"]
        assert wrong == []


@pytest.mark.slow
def test_every_figure_comes_and_is_saved_as_svg(url, tmp_path):
    with DRIVER["opened"](f"{url}?{QUICK}") as page:
        DRIVER["settled"](page)
        cards = page.locator(".card")
        assert cards.count() == 6
        for i in range(5):
            with page.expect_download() as saved:
                cards.nth(i).get_by_role("button", name="SVG").click()
            saved.value.save_as(tmp_path / f"{i}.svg")
            text = (tmp_path / f"{i}.svg").read_text()
            assert saved.value.suggested_filename.endswith(".svg") and text.startswith("<svg") and len(text) > 5000


@pytest.mark.slow
def test_what_is_wrong_is_said_on_the_page(url):
    with DRIVER["opened"](f"{url}?correlation=2") as page:
        problem = page.locator(".problem")
        problem.wait_for()
        assert "correlation must be a number from -0.9 to 0.9; got '2'" in problem.text_content()
        assert "Traceback" not in page.content()
        DRIVER["move"](page, "time")
        assert page.locator(".problem").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 400])
def test_nothing_sticks_out(url, width):
    with DRIVER["opened"](f"{url}?{QUICK}", width) as page:
        DRIVER["settled"](page)
        assert page.evaluate(FAULTS) == []


@pytest.mark.slow
def test_own_samples(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.tile([-1, 1], 40)
    inputs = rng.normal(size=(80, 6)) + labels[:, None] * np.eye(6)[0]
    np.savez(tmp_path / "pool.npz", inputs=inputs, labels=labels, patch=np.repeat([-1, 1], 40))
    with DRIVER["served"](str(tmp_path / "pool.npz")) as url, DRIVER["opened"](f"{url}?depth=0&agreement=0.9") as page:
        found = DRIVER["move"](page, "time", "ArrowLeft")
        import jax

        test, pool = ns.laws.read_pool(tmp_path / "pool.npz").split(jax.random.key(0), 0.3)
        expected = ns.predict(pool.with_agreement(0.9), ns.MLP(0), ns.GradientFlow(20.0), test=test)
        assert found["number"] == f"{expected.accuracy:.3f}"
        DRIVER["settled"](page)
        assert page.locator(".card").count() == 3

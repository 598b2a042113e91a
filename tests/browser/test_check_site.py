"""The site passes the look in a browser, and a page with everything wrong fails on each point."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("playwright", reason="the extra `browser` is not installed")
if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
    pytest.skip("no Chromium on this machine", allow_module_level=True)

from browser.check_site import check_site

ROOT = pathlib.Path(__file__).parents[2]
BROKEN = r"""<!doctype html><html><head><title>x</title><link rel="icon" href="data:,">
<script src="mathjax.js"></script><script src="tex-svg.js"></script></head><body><article>
<p class="arithmatex">\(\frac{1}\)</p><p class="arithmatex">\[\hspace{200em}x\]</p>
<p>\(x\)</p><p class="unseen">see :func:`ns.predict_bias`</p>
<img src="missing.png" alt="missing"><img src="wide.png" alt=""><img src="wide.png" alt="small" width="20">
<a href="small.png"><img src="small.png" alt="thumbnail" width="20"></a>
<img src="https://example.org/x.png" alt="external"><div style="height: 7000px"></div>
<script>console.error("complaint"); setTimeout(() => { throw new Error("thrown"); })</script>
</article></body></html>"""


@pytest.mark.slow
def test_site_passes(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    found = dict(check_site(tmp_path))
    assert {"index.html (desktop)", "reference/index.html (narrow)", "index.html (from disk)"} <= found.keys()
    assert not any(found.values()), {page: problems for page, problems in found.items() if problems}


@pytest.mark.slow
def test_each_fault_is_found(tmp_path):
    from importlib.resources import files

    from matplotlib.figure import Figure

    (tmp_path / "index.html").write_text(BROKEN)
    (tmp_path / "mathjax.js").write_text((ROOT / "docs/javascripts/mathjax.js").read_text())
    (tmp_path / "tex-svg.js").write_bytes((files("mathjax") / "static/mathjax/es5/tex-svg.js").read_bytes())
    Figure(figsize=(20, 1), dpi=100).savefig(tmp_path / "wide.png")
    Figure(figsize=(2, 1), dpi=100).savefig(tmp_path / "small.png")
    found = dict(check_site(tmp_path))
    for fault in ("px high, 6000 allowed", "formula of "):
        assert any(fault in problem for problem in found["index.html (desktop)"]), fault
    problems = "\n".join(found["index.html (narrow)"])
    assert "px high" not in problems and "formula of" not in problems and "small.png" not in problems
    for fault in (
        "console: complaint",
        "script error: thrown",
        "status 404",
        "external request: https://example.org",
        "request failed: https://example.org",
        "formula refused",
        "markup shown as text: \\(x\\)",
        "markup shown as text: see :func:",
        "image not loaded: missing.png",
        "image wider than the screen: wide.png",
        "image without a description: wide.png",
        "image shrunk to 20 px of 2000: wide.png",
        "scrolls sideways",
    ):
        assert fault in problems, (fault, problems)

"""Every Python block of the guide and every example runs, quoted numbers are those recorded, the site builds in strict mode."""

import importlib
import json
import os
import pathlib
import re
import runpy
import subprocess
import sys
import warnings

import numpy as np
import pytest

import ntk_shortcuts
from ntk_shortcuts import issues
from ntk_shortcuts.kernels import Quadrature, known_activations, resolve_activation

ROOT = pathlib.Path(__file__).parents[1]
# It registers an activation and a method: run in a process of its own only, where nobody else meets their names.
EXTENDING = ROOT / "docs" / "project" / "extending.md"
GUIDES = sorted(path for path in (ROOT / "docs").rglob("*.md") if "```python" in path.read_text() and path != EXTENDING)
EXAMPLES = sorted(path for folder in ("howto/examples", "start/tutorials") for path in (ROOT / "docs" / folder).glob("*.py"))
NAMESPACES = "analysis experiments finite_width kernels images laws linear methods metrics networks plotting training".split()
# What holds things by name, and namespaces themselves.
TABLES = {"METHODS", "MITIGATIONS", *NAMESPACES}
REFERENCE = {path.name: path.read_text() for path in (ROOT / "docs" / "reference").glob("*.md")}

# Those that README's command runs; CI runs the blocks of all.
QUICK_PAGES = {"metrics", "methods", "image_files", "images", "first_map", "inverse", "notebook", "outputs"}


def _page(path, *marks):
    slow = [] if path.stem in QUICK_PAGES else [pytest.mark.slow, *marks]
    return pytest.param(path, id=path.relative_to(ROOT).as_posix(), marks=[*slow, *_extras(path)])


def _extras(path):
    """Marks of the extras whose packages a page uses."""
    used = {"import neural_tangents": pytest.mark.peers, "ns.images.": pytest.mark.images}
    return [mark for words, mark in used.items() if words in path.read_text()]


@pytest.mark.parametrize("page", [_page(path, pytest.mark.branches) for path in GUIDES])
def test_blocks_run(page):
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        exec(compile(block, page.name, "exec"), namespace)


@pytest.mark.parametrize("script", [_page(path) for path in EXAMPLES])
def test_examples_run(script):
    runpy.run_path(str(script), run_name="__main__")


def test_account_quotes_the_records():
    """The table of trained networks on the page of the NTK account, from the records of the benchmark."""
    lines = (ROOT / "benchmarks" / "results" / "population_flow.jsonl").read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record["loss"] == "squared"]
    depths = {"1": {1}, "2": {2}, "3": {3}, "5 and 8": {5, 8}, "1 to 8": {1, 2, 3, 5, 8}}
    page = (ROOT / "docs" / "theory" / "ntk_account.md").read_text()
    rows = re.findall(r"^\| (frozen kernel|population flow) \| ([^|]+) \| (\d+) \| (.*) \|$", page, re.M)
    assert len(rows) == 5
    for method, depth, count, cells in rows:
        chosen = [record for record in records if record["depth"] in depths[depth]]
        assert len(chosen) == int(count)
        name = "frozen" if method == "frozen kernel" else "flow"
        differences = [np.subtract(record[name], record["trained"]) for record in chosen]
        quoted = [float(cell) for cell in cells.split(" | ")]
        np.testing.assert_allclose(np.abs(differences).mean(axis=0), quoted, atol=5.1e-4)


def test_every_kind_of_issue_has_its_section():
    # Wherever in the package a kind stands.
    importlib.import_module("ntk_shortcuts.experiments.sweeps")
    kinds = {kind.__name__ for kind in issues.Issue.__subclasses__() if kind.__module__.startswith("ntk_shortcuts.")}
    page = (ROOT / "docs" / "reference" / "issues.md").read_text()
    sections = dict(section.split("\n", 1) for section in page.split("\n## ")[1:])
    assert set(sections) == kinds
    for name, text in sections.items():
        assert [text.count(f"- **{part}**: ") for part in ("Means", "Size", "Do")] == [1, 1, 1], name


def _shown():
    """Full names that pages of the reference document, namespaces of which all is shown among them."""
    return [name for text in REFERENCE.values() for name in re.findall(r"^::: (\S+)$", text, re.M)]


def test_every_public_name_is_on_one_page():
    shown = _shown()
    listed = {f"ntk_shortcuts.{name}" for name in set(ntk_shortcuts.__all__) - TABLES}
    for namespace in NAMESPACES:
        module = (
            importlib.import_module("ntk_shortcuts.plotting") if namespace == "plotting" else getattr(ntk_shortcuts, namespace)
        )
        own = set(module.__all__) - set(ntk_shortcuts.__all__) - TABLES
        listed |= set() if f"ntk_shortcuts.{namespace}" in shown else {f"ntk_shortcuts.{namespace}.{name}" for name in own}
    assert sorted(listed - set(shown)) == [] and len(shown) == len(set(shown))


def test_the_table_of_activations_is_that_of_the_code():
    """Names in order, and which have a closed form."""
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (closed form|Hermite series)", REFERENCE["activations.md"], re.M))
    known = {name: resolve_activation(name) for name in known_activations()}
    series = {name: "Hermite series" if isinstance(found, Quadrature) else "closed form" for name, found in known.items()}
    assert list(rows.items()) == list(series.items())


def _exists(name):
    """Whether a full name is that of an object, and not of one that has moved."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", DeprecationWarning)
                for part in parts[count:]:
                    found = getattr(found, part)
        except (AttributeError, DeprecationWarning):
            continue
        return True
    return False


def test_names_on_pages_and_in_docstrings_are_those_of_today():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *EXAMPLES]
    pages += [*(ROOT / "derivations").glob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    found, files = {}, {}
    for page in pages:
        text = page.read_text()
        found |= dict.fromkeys(re.findall(r"\b(?:ns|ntk_shortcuts)((?:\.[A-Za-z_]\w*)+)", text), page)
        files |= dict.fromkeys(re.findall(r"`(ntk_shortcuts/[\w/]+(?:\.py)?)", text), page)
    for path in (ROOT / "ntk_shortcuts").rglob("*.py"):
        found |= dict.fromkeys(re.findall(r":\w+:`~?ntk_shortcuts((?:\.\w+)+)`", path.read_text()), path)
    assert len(found) > 100 and len(files) > 4
    assert {name: path for name, path in found.items() if not _exists(f"ntk_shortcuts{name}")} == {}
    assert {name: path for name, path in files.items() if not (ROOT / name).exists()} == {}
    assert not _exists("ntk_shortcuts.linear_bias") and not _exists("ntk_shortcuts.methods.population.predict_population")


def test_site_builds_in_strict_mode(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)
    assert built.returncode == 0, built.stdout + built.stderr
    api = {page.stem: page.read_text() for page in (tmp_path / "reference").glob("*.html")}
    assert not any(
        "<blockquote>" in page for page in api.values()
    )  # what doctest prompts become where their section is unknown
    for page in tmp_path.rglob("*.html"):
        # Formulas that stayed text: beside mathematics and code there are no commands of LaTeX.
        text = re.sub(r'<(span|div) class="arithmatex">.*?</\1>|<(pre|code|script)\b.*?</\2>', "", page.read_text(), flags=re.S)
        assert re.findall(r"\\(?:mathrm|frac|tfrac|sum|int|quad|sigma|alpha|kappa|lambda|[Tt]heta)\b.{20}", text) == [], (
            page.stem
        )
    examples = "".join(page.read_text() for page in (tmp_path / "howto" / "examples").glob("*.html"))
    assert all(re.search(rf"\b{name}\b", examples) for name in ("plot_bias_map", "from_latents", "Linearized"))
    # Methods have their docstring, and their options with defaults; a function that has its module's name is the function.
    assert "nodes are refined until the bias moves by less than this" in api["methods"]
    assert re.search(r">tolerance</span>.{0,400}>0\.002<", api["methods"], re.S)
    assert all(f'id="ntk_shortcuts.MLP.{name}"' in api["networks"] for name in ("kernels", "init", "apply", "layers"))
    assert 'id="ntk_shortcuts.analysis.influence"' in api["analysis"]


@pytest.mark.parametrize(
    ("script", "page"), [("release_time", "theory/ntk_account.md"), ("finite_samples", "evidence/finite_networks.md")]
)
def test_tables_are_those_of_the_records(script, page):
    """As the benchmark prints them."""
    namespace = runpy.run_path(str(ROOT / "benchmarks" / f"{script}.py"))
    records = [json.loads(line) for line in namespace["OUTPUT"].read_text().splitlines()]
    text = (ROOT / "docs" / page).read_text()
    lines = [line for line in namespace["table"](records).splitlines() if line]
    assert len(lines) > 10 and [line for line in lines if line not in text] == []


PLAIN = [
    pytest.param(path, id=path.relative_to(ROOT).as_posix(), marks=[pytest.mark.slow, *_extras(path)])
    for path in [ROOT / "README.md", *GUIDES]
]


@pytest.mark.parametrize(
    "page", [*PLAIN, pytest.param(EXTENDING, id=EXTENDING.stem, marks=[pytest.mark.slow, pytest.mark.branches])]
)
def test_blocks_run_in_a_plain_session(page, tmp_path):
    """As users run them: without this suite's float64."""
    script = tmp_path / "blocks.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), re.S)))
    ran = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
@pytest.mark.peers
def test_examples_of_docstrings_run_in_a_plain_session():
    """As users run them: without this suite's float64, and each module by itself."""
    pytest.importorskip("panel", reason="the extra `explorer` is not installed")
    script = """
import doctest, importlib, pkgutil, warnings
import ntk_shortcuts
warnings.simplefilter("ignore")
flags, failed, tried = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, 0, 0
for found in pkgutil.walk_packages(ntk_shortcuts.__path__, "ntk_shortcuts."):
    result = doctest.testmod(importlib.import_module(found.name), optionflags=flags)
    failed, tried = failed + result.failed, tried + result.attempted
print(failed, tried)
"""
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    failed, tried = map(int, found.stdout.split()[-2:])
    assert failed == 0 and tried > 100, found.stdout

"""Every label has a derivation and code that names it, and every derivation holds."""

import ast
import contextlib
import dataclasses
import graphlib
import json
import pathlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from ntk_shortcuts import derivation
from ntk_shortcuts.cli import main

PACKAGE = pathlib.Path(derivation.__file__).parent
LABEL = re.compile(r"\bLabels? (D\d+\.\d+(?:(?:, | and )D\d+\.\d+)*)")
DERIVATIONS = derivation.load_derivations()
PAGES = pathlib.Path(__file__).parents[1] / "docs" / "derivations"
# Seconds of symbolic work.
SLOW = {
    "D2.6",
    "D3.1",
    "D3.4",
    "D3.5",
    "D3.6",
    "D4.4",
    "D4.5",
    "D4.6",
    "D4.7",
    "D5.1",
    "D5.2",
    "D5.3",
    "D6.2",
    "D6.3",
    "D6.4",
    "D7.1",
    "D7.2",
    "D9.1",
    "D9.2",
    "D9.3",
    "D9.4",
    "D10.1",
    "D10.3",
    "D10.4",
    "D11.1",
    "D11.2",
    "D11.3",
    "D12.1",
    "D12.2",
    "D13.1",
    "D13.2",
    "D13.3",
    "D13.4",
    "D13.5",
    "D13.6",
    "D14.1",
    "D14.2",
    "D14.5",
    "D15.1",
    "D16.1",
    "D16.2",
}


def _labels(text):
    return {label for found in LABEL.findall(text or "") for label in re.findall(r"D\d+\.\d+", found)}


def _documented_labels():
    nodes = ast.Module, ast.ClassDef, ast.FunctionDef
    trees = [ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py") if path.name != "derivation.py"]
    docstrings = [ast.get_docstring(node) for tree in trees for node in ast.walk(tree) if isinstance(node, nodes)]
    return set().union(*map(_labels, docstrings))


def _marked(label):
    return pytest.param(label, marks=[pytest.mark.slow, pytest.mark.branches] if label in SLOW else [])


@pytest.mark.parametrize("label", [_marked(label) for label in DERIVATIONS])
def test_holds(label):
    result = derivation.derive(DERIVATIONS[label])
    assert result.steps and result.steps[-1].formula is not None
    assert result.checks and all(check.passed for check in result.checks), result.checks
    # What pages print is what is derived.
    page = (PAGES / f"{label}.md").read_text()
    assert page.partition("## Checks")[0].partition("## Figure")[0] == result.page.partition("## Checks")[0]


@pytest.mark.parametrize("label", DERIVATIONS)
def test_code_names_its_label(label):
    for name in DERIVATIONS[label].code:
        assert label in _labels(derivation.resolve(name).__doc__), name


def test_labels_in_docstrings_have_derivations():
    documented = _documented_labels()
    assert documented == set(DERIVATIONS)


def test_the_site_has_a_page_for_every_label():
    """Made by `ntk-shortcuts derive --all --output docs/derivations`."""
    folder = PAGES
    index = (folder / "index.md").read_text()
    for label, entry in DERIVATIONS.items():
        page = (folder / f"{label}.md").read_text()
        assert page.startswith(f"# {label}: {entry.title}\n") and entry.statement in page
        assert all(f"[{earlier}]({earlier}.md)" in page for earlier in entry.builds_on)
        assert f"[{label}]({label}.md)" in index
        assert (folder / f"{label}.png").exists() == (entry.figure is not None)


def test_a_wrong_formula_fails():
    shifted = derivation.compare("shifted", [1.0, 2.0], [1.0, 2.0 + 1e-9])
    assert not shifted.passed
    assert not derivation.compare("not a number", [float("nan")], [1.0]).passed


def test_results_build_on_earlier_ones_and_say_so():
    order = graphlib.TopologicalSorter({label: entry.builds_on for label, entry in DERIVATIONS.items()})
    assert set(order.static_order()) == set(DERIVATIONS)
    for label, entry in DERIVATIONS.items():
        named = set(re.findall(r"\bD\d+\.\d+\b", (PAGES / f"{label}.md").read_text())) - {label}
        assert named <= set(entry.builds_on), label


def test_unknown_label_is_refused():
    with pytest.raises(ValueError, match=r"label must be one of D1\.1.*got.*D99"):
        derivation.select(["D99"])


def _derive(*arguments, capsys):
    status = main(["derive", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_command_writes_page_and_figure(tmp_path, capsys):
    status, out, _ = _derive("D1.1", "--output", tmp_path, capsys=capsys)
    assert status == 0
    assert out == (tmp_path / "D1.1.md").read_text() and out.startswith("# D1.1: ")
    first = (tmp_path / "D1.1.png").read_bytes()
    status, out, _ = _derive("D1.1", "--output", tmp_path, "--json", capsys=capsys)
    result = json.loads(out)["derivations"][0]
    assert status == 0 and result["label"] == "D1.1" and all(check["passed"] for check in result["checks"])
    assert (tmp_path / "D1.1.png").read_bytes() == first


def test_a_formula_by_its_number(capsys, tmp_path):
    assert str(derivation.formula("D1.1.2").rhs) == "sqrt(2)*erfinv(2*rho - 1)"
    assert derivation.formula("D1.2.3") == r"w^* = \Sigma^{-1}\mu"
    for number, words in (("D1.1.9", "one of D1.1.1, D1.1.2; got 'D1.1.9'"), ("D1.1", "a label and a step, .* got 'D1.1'")):
        with pytest.raises(ValueError, match=f"number must be {words}"):
            derivation.formula(number)
    assert [entry.label for entry in derivation.select(["D1.1.2"])] == ["D1.1"]


def test_one_label_renews_its_row_of_the_index(tmp_path, capsys):
    index = tmp_path / "index.md"
    index.write_text((PAGES / "index.md").read_text().replace("| [D1.2](D1.2.md)", "| [D1.2](D1.2.md) | old"))
    before = index.read_text().splitlines()
    _derive("D1.2", "--output", tmp_path, capsys=capsys)
    after = index.read_text().splitlines()
    changed = [line for line in after if line not in before]
    assert len(after) == len(before) and [line[:18] for line in changed] == ["| [D1.2](D1.2.md) "]
    assert f"{len(DERIVATIONS)} results" in index.read_text()


def test_command_lists_labels(capsys):
    status, out, _ = _derive("--json", capsys=capsys)
    assert status == 0 and set(json.loads(out)["derivations"]) == set(DERIVATIONS)


@pytest.fixture
def in_threads(monkeypatch):
    """The pool of processes as one of threads, where patches hold."""

    @contextlib.contextmanager
    def pool(mp_context):
        with ThreadPoolExecutor(1) as threads:
            yield threads

    monkeypatch.setattr(derivation, "ProcessPoolExecutor", pool)


def _only(monkeypatch, entry, gallery):
    known = {entry.label: entry}
    monkeypatch.setattr(derivation, "load_derivations", lambda: known)
    monkeypatch.setattr(derivation, "_known", lambda: known)
    monkeypatch.setattr(derivation, "gallery", gallery)


def test_failed_check_is_exit_status_1(tmp_path, capsys, monkeypatch, in_threads):
    entry = DERIVATIONS["D1.1"]
    wrong = dataclasses.replace(entry, checks=lambda: [derivation.compare("shifted", 1.0, 1.1)], figure=None)
    _only(monkeypatch, wrong, list)
    status, out, err = _derive("--all", "--output", tmp_path, capsys=capsys)
    assert status == 1 and "D1.1 (shifted)" in err and "| no |" in out
    assert not (tmp_path / "gallery").exists()  # without a folder for it


def test_all_draws_the_gallery(tmp_path, capsys, monkeypatch, in_threads):
    drawn = dict.fromkeys(("one", "two"), DERIVATIONS["D1.1"].figure())
    _only(monkeypatch, DERIVATIONS["D1.1"], lambda: [lambda: drawn])
    status, _, _ = _derive("--all", "--output", tmp_path / "pages", "--gallery", tmp_path / "figures", capsys=capsys)
    assert status == 0
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"one.png", "two.png"}
    assert (tmp_path / "figures" / "one.png").read_bytes() == (tmp_path / "pages" / "D1.1.png").read_bytes()


@pytest.mark.slow
@pytest.mark.branches
def test_all_runs_in_processes_of_their_own(tmp_path, monkeypatch):
    """What comes back from another process is what this one finds."""
    known = {label: DERIVATIONS[label] for label in ("D1.1", "D1.2")}
    monkeypatch.setattr(derivation, "load_derivations", lambda: known)
    monkeypatch.setattr(derivation, "gallery", list)
    told = []
    found = derivation.derive_all(tmp_path, tmp_path / "gallery", lambda *counts: told.append(counts))
    assert [result.derivation.label for result in found] == list(known) and told == [(1, 2), (2, 2)]
    here = derivation.derive(known["D1.1"], tmp_path / "gallery")
    assert (tmp_path / "D1.1.md").read_text() == here.page == found[0].page
    assert found[0].summary()["steps"] == here.summary()["steps"] and found[0].checks == here.checks


@pytest.mark.slow
@pytest.mark.branches
def test_records_draw_every_measured_figure_of_the_docs():
    """Those of predictions take a minute; each has its function in the gallery."""
    root = pathlib.Path(__file__).parents[1]
    loaded = derivation._load(derivation.derivations_folder() / "gallery.py")
    drawn = dict.fromkeys(loaded.FIGURES | loaded.PICTURES)
    for draw in derivation.gallery()[len(loaded.FIGURES) :]:
        drawn |= draw()
    assert set(drawn) == {path.stem for path in (root / "docs" / "figures").glob("*.png")}
    gallery = "".join((root / "docs" / page).read_text() for page in ("evidence/gallery.md", "howto/laws.md"))
    assert all(f"figures/{name}.png" in gallery for name in drawn)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["D99"], ["label must be one of", "D1.1", "got 'D99'"]),
        (["D1.1", "--all"], ["label must not be given with --all", "got D1.1"]),
        (["D1.1", "--gallery", "figures"], ["gallery must be given with --all", "got 'figures'"]),
    ],
)
def test_command_refuses(arguments, words, capsys):
    status, out, err = _derive(*arguments, capsys=capsys)
    assert status == 2 and not out and len(err.splitlines()) == 1
    assert all(word in err for word in words), err

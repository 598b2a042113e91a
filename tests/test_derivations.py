"""Every label has a derivation and code that names it, and every derivation holds."""

import ast
import pathlib
import re

import pytest

from ntk_shortcuts import derivation

PACKAGE = pathlib.Path(derivation.__file__).parent
LABEL = re.compile(r"\bLabels? (D\d+\.\d+(?:(?:, | and )D\d+\.\d+)*)")
DERIVATIONS = derivation.load_derivations()
# Their other half of the time limit: seconds of symbolic work, run with -m slow.
SLOW: set[str] = set()


def _labels(text):
    return {label for found in LABEL.findall(text or "") for label in re.findall(r"D\d+\.\d+", found)}


def _documented_labels():
    nodes = ast.Module, ast.ClassDef, ast.FunctionDef
    trees = [ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py") if path.name != "derivation.py"]
    docstrings = [ast.get_docstring(node) for tree in trees for node in ast.walk(tree) if isinstance(node, nodes)]
    return set().union(*map(_labels, docstrings))


@pytest.mark.parametrize("label", [pytest.param(x, marks=[pytest.mark.slow] if x in SLOW else []) for x in DERIVATIONS])
def test_holds(label):
    entry = DERIVATIONS[label]
    steps, checks = entry.steps(), entry.checks()
    assert steps and steps[-1].formula is not None
    assert checks and all(check.passed for check in checks), checks
    assert derivation.to_markdown(entry, checks).startswith(f"# {label}: ")


@pytest.mark.parametrize("label", DERIVATIONS)
def test_code_names_its_label(label):
    for name in DERIVATIONS[label].code:
        assert label in _labels(derivation.resolve(name).__doc__), name


def test_labels_in_docstrings_have_derivations():
    documented = _documented_labels()
    assert documented == set(DERIVATIONS)


def test_a_wrong_formula_fails():
    shifted = derivation.compare("shifted", [1.0, 2.0], [1.0, 2.0 + 1e-9])
    assert not shifted.passed
    assert not derivation.compare("not a number", [float("nan")], [1.0]).passed


def test_unknown_label_is_refused():
    with pytest.raises(ValueError, match=r"label must be one of D1\.1.*got.*D99"):
        derivation.select(["D99"])

"""A module imports only from what stands above it (docs/decisions/0001-import-order.md)."""

import ast
import pathlib

PACKAGE = pathlib.Path(__file__).parents[1] / "ntk_shortcuts"
# Longest prefix wins: kernels.neural_tangents is lower than the rest of kernels, and so is what needs the data law.
ORDER = [
    "typing", "compilation", "numerics", "chebyshev", "validation", "kernels.moments", "kernels.dual", "kernels", "embedding",
    "generative",
    "bias", "losses", "networks", "plane", "preprocessing", "kernels.empirical", "kernels.neural_tangents", "training_rules",
    "quadrature", "kernels.sectors", "kernels.spectrum", "predictors",
    "search", "ensembles", "linearization", "maps", "sweep_table", "sweeps", "plotting",
    "comparison.environment", "comparison.statistics", "comparison.configuration", "comparison", "derivation", "cli",
]  # fmt: skip


def _rank(module):
    matches = [name for name in ORDER if module == name or module.startswith(name + ".")]
    assert matches, f"{module} has no place in the import order"
    return ORDER.index(max(matches, key=len))


def test_imports_point_upwards():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if module == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ntk_shortcuts."):
                imported = node.module.removeprefix("ntk_shortcuts.")
                if _rank(imported) > _rank(module):
                    wrong.append((module, imported))
    assert not wrong

"""A module imports only from rooms at or below its own (docs/decisions/0001-import-order.md)."""

import ast
import pathlib

PACKAGE = pathlib.Path(__file__).parents[1] / "ntk_shortcuts"
# From the ground up; the longest prefix of a module's name is its room.
ROOMS = [
    "typing", "compilation", "numerics", "validation", "spec", "axes",
    "kernels.moments", "kernels.tiles", "kernels.devices", "kernels.activations", "kernels.recursion", "kernels.angular",
    "kernels.empirical", "kernels.finite_width", "kernels",
    "nodes.base", "nodes.test_points", "nodes.parity", "nodes",
    "results.issues", "results.signs", "results.outputs",
    "metrics", "results",
    "networks.inputs", "networks.base", "networks.mlp", "networks",
    "kernels.neural_tangents",
    "training",
    "laws.base", "laws.kernel", "laws.eigenfunctions", "laws",
    "methods", "analysis.laziness", "entry", "linear", "description", "analysis",
    "experiments.ensembles", "experiments.sweeps", "plotting", "experiments", "derivation", "cli",
]  # fmt: skip


def _room(module):
    matches = [name for name in ROOMS if module == name or module.startswith(name + ".")]
    assert matches, f"{module} has no place in the import order"
    return ROOMS.index(max(matches, key=len))


def _imports():
    """Pairs of a module and one that it imports, at its top or inside a function; not those for type checkers only."""
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if module == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ntk_shortcuts."):
                imported = node.module.removeprefix("ntk_shortcuts.")
                inside = [f"{imported}.{alias.name}" for alias in node.names]
                modules = [name for name in inside if (PACKAGE / (name.replace(".", "/") + ".py")).exists()]
                yield from ((module, name) for name in modules or [imported])


def test_imports_point_upwards():
    assert sorted({pair for pair in _imports() if _room(pair[1]) > _room(pair[0])}) == []


def test_every_room_has_somebody_in_it():
    modules = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__") for path in PACKAGE.rglob("*.py")
    }
    assert [room for room in ROOMS if not any(_room(m) == ROOMS.index(room) for m in modules if m != "__init__")] == []

"""A module imports from its room and lower ones, and never itself by way of others (decision 1, docs/project/decisions)."""

import ast
import graphlib
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "ntk_shortcuts"

# From low to high: a module, or a package with all in it that has no room of its own. "__init__" is the package itself.
ROOMS = [
    *(
        "version",
        "progress",
        "issues",
        "typing",
        "compilation",
        "program_cache",
        "padding",
        "numerics",
        "lapack_threads",
        "batches",
        "validation",
        "memory",
        "spec",
        "citations",
        "axes",
    ),
    # Results draw themselves: their figures know them by their attributes.
    *("description", "plotting.style", "plotting.kinds", "plotting.numbers", "plotting.outputs", "plotting.decision_surface"),
    *("plotting.group_curves", "plotting.prediction", "plotting.spectrum", "plotting.influence", "plotting.telescope"),
    *("plotting.audit", "plotting.mitigations", "plotting.learning_curve"),
    *("kernels.moments", "kernels.tiles", "kernels.devices", "kernels.activations"),
    *("kernels.blocks", "kernels.recursion", "kernels.angular"),
    *("kernels.empirical", "kernels.finite_width", "kernels"),
    *("nodes.base", "nodes.test_points", "nodes.parity", "nodes"),
    *("outputs", "metrics", "results.origin", "results"),
    *("networks.inputs", "networks.base", "networks", "kernels.neural_tangents"),
    *("training", "laws.base", "laws.kernel", "laws", "methods"),
    *(
        "laziness",
        "entry",
        "analysis",
        "linear",
        "plotting",
    ),
    *("experiments.ensembles", "experiments.sweeps", "experiments", "derivation", "__init__", "explorer", "cli"),
]


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imported_by(source):
    """Modules of the package that a source imports, wherever it does."""
    yield from imported_in(ast.walk(ast.parse(source)))


def imported_in(nodes):
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import relative to its module"
            root, _, module = node.module.partition(".")
            # Of a package the names may be modules, or what the package itself gives.
            inside = [f"{module}.{alias.name}".removeprefix(".") for alias in node.names]
            found = [name if name in MODULES else module or "__init__" for name in inside]
        elif isinstance(node, ast.Import):
            root = "ntk_shortcuts"
            names = [alias.name.split(".", 1) for alias in node.names]
            found = [(rest or ["__init__"])[0] for first, *rest in names if first == root]
        else:
            continue
        if root == "ntk_shortcuts":
            yield from found


IMPORTS = {module: set(imported_by(path.read_text())) for module, path in MODULES.items()}


def room_of(module):
    """The place of its room: that of the longest name which is the module's or a package's around it."""
    names = [room for room in ROOMS if module == room or module.startswith(room + ".")]
    assert names, f"{module} has no room"
    return ROOMS.index(max(names, key=len))


def test_every_module_has_a_room_and_every_room_a_module():
    assert {room_of(module) for module in MODULES} == set(range(len(ROOMS)))


def test_a_module_imports_from_its_own_room_or_from_lower_ones():
    assert set().union(*IMPORTS.values()) <= MODULES.keys()
    pairs = [(module, name) for module, names in IMPORTS.items() for name in names]
    assert not [(module, name) for module, name in pairs if room_of(name) > room_of(module)]


def test_no_module_is_imported_by_what_it_imports():
    list(graphlib.TopologicalSorter(IMPORTS).static_order())


def test_any_module_can_be_the_first_that_is_imported():
    """The package itself imports nothing: which module comes first is up to its user, and brings the packages around it."""
    order = graphlib.TopologicalSorter({module: set(brought_by(module, path.read_text())) for module, path in MODULES.items()})
    list(order.static_order())


def brought_by(module, source):
    """What importing a module imports: what stands outside its functions, and the packages around that, up to a common one."""
    for name in imported_in(ast.parse(source).body):
        parts = name.split(".")
        packages = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
        yield from (package for package in packages if not f"{module}.".startswith(f"{package}."))


def test_imports_are_seen_wherever_they_stand():
    source = """
import os, ntk_shortcuts.linear, ntk_shortcuts
from jax.numpy import linear
from ntk_shortcuts import plotting, predict
def later():
    from ntk_shortcuts.kernels import empirical, LeakyReLU
    import ntk_shortcuts.laws.kernel as kernel
"""
    expected = {"linear", "__init__", "plotting", "kernels.empirical", "kernels", "laws.kernel"}
    assert set(imported_by(source)) == expected
    with pytest.raises(AssertionError, match="relative"):
        list(imported_by("from . import linear"))
    assert room_of("laziness") < room_of("entry") < room_of("analysis.search")
    with pytest.raises(AssertionError, match="no room"):
        room_of("elsewhere.module")

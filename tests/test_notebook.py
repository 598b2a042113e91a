"""Results as notebooks meet them: their numbers, a small figure, labelled arrays, and help that one can read."""

import inspect
import json
import pydoc
import re
import subprocess
import sys

import equinox as eqx
import jax
import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

import ntk_shortcuts as ns
from ntk_shortcuts.citations import known_entries
from ntk_shortcuts.description import plain_value
from ntk_shortcuts.methods.base import METHODS
from ntk_shortcuts.outputs import GaussianOutputs
from ntk_shortcuts.results.base import Result
from ntk_shortcuts.results.origin import Origin
from ntk_shortcuts.results.prediction import Prediction
from ntk_shortcuts.results.tables import Table

pytestmark = pytest.mark.xdist_group("notebook")

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
FLOW = ns.GradientFlow([3.0, 30.0])
COARSE = {"random_init": False, "tolerance": 0.2}
NAMESPACES = [
    "analysis",
    "experiments",
    "finite_width",
    "images",
    "kernels",
    "laws",
    "methods",
    "metrics",
    "networks",
    "training",
]


def pools():
    rng = np.random.default_rng(0)
    labels = np.tile([-1, 1], 30)
    patch = np.where(rng.uniform(size=60) < 0.7, labels, -labels)
    inputs = np.concatenate([rng.normal(size=(60, 3)) + 0.5 * labels[:, None], 2.0 * patch[:, None]], axis=1)
    return ns.Pool(inputs, labels, {"patch": patch}).split(jax.random.key(0), 0.5)


def made():
    """A result of every kind, by name."""
    pool, test = pools()
    descent, key = ns.GradientDescent(0.5, [4, 16]), jax.random.key(0)
    inputs, labels = np.random.default_rng(0).normal(size=(9, 3)), np.tile([1.0, -1.0, 1.0], 3)
    exact = {"method": "dataset", "test": test}
    yield "infinite data", ns.predict(MODEL, ns.MLP(0), FLOW, **COARSE)
    yield "one time", ns.predict(MODEL, ns.MLP(0), ns.GradientFlow(30.0), **COARSE)
    yield "at points", ns.predict(MODEL, ns.MLP(0), ns.GradientFlow(30.0), probes=[[1.0, 2.0], [2.0, -1.0]], **COARSE)
    yield "ridges", ns.predict(MODEL, ns.MLP(0), ns.Ridge([1e-3, 1e-1]), **COARSE)
    yield "pool", ns.predict(pool, ns.MLP(0), ns.GradientFlow(3.0), **exact)
    yield "pool over time", ns.predict(pool, ns.MLP(0), ns.GradientFlow([0.0, 3.0, 30.0, np.inf]), **exact)
    yield "outputs", ns.predict_outputs(ns.MLP(0), ns.GradientFlow(3.0), inputs, labels, inputs[:4])
    yield "several outputs", ns.predict_outputs(ns.MLP(0), FLOW, inputs, np.stack([labels, -labels], 1), inputs[:4], True)
    yield "spectrum", ns.kernel_spectrum(MODEL, ns.MLP(1), modes=4, tolerance=0.5)
    yield "spectrum of samples", ns.kernel_spectrum(pool, ns.MLP(0), modes=3)
    yield "audit", ns.audit(pool, ns.MLP(0))
    only = {"num_samples": 20, "test": test, "only": ["none", "attribute_removed"]}
    yield "mitigations", ns.mitigations(pool, ns.MLP(0), [1.0, 3.0], method="monte_carlo", key=key, num_datasets=2, **only)
    yield "networks", ns.train_ensemble(MODEL, ns.MLP(0), descent, 20, 2, 2, key=key)
    yield "networks once", ns.train_ensemble(MODEL, ns.MLP(0), ns.GradientDescent(0.5, 4), 20, 2, 2, key=key)
    yield "networks on a pool", ns.train_ensemble(pool, ns.MLP(0), descent, 20, 2, 2, key=key, test=test)
    sweep = {"model": MODEL, "network": ns.MLP(0), "training": FLOW, "method": "population", **COARSE}
    yield "sweep", ns.sweep({"amplification_ratio": [1.0, 4.0]}, **sweep)
    yield from of_features()
    yield from by_hand()


def of_features():
    """Predictions and networks of three features, with outputs of no meaning; tests of their own compute them."""
    law = ns.GaussianFeatures((0.8, 0.85, 0.9), (4.0, 2.0, 1.0))
    points, times = law.test_points(), np.array([3.0, 30.0])
    mean = points.points @ np.array([[0.5, 0.1, 0.2], [0.1, 0.2, 0.5]]).T
    specs = {"model": law, "network": ns.MLP(0), "training": ns.GradientFlow(times), "method": ns.Population()}
    for name, shown, coordinates in (("features", mean[:, 0], {}), ("features over time", mean.T, {"time": times})):
        outputs = GaussianOutputs(shown, np.full(shown.shape, 0.1))
        yield name, Prediction(outputs, points, "population", law.metric, coordinates, origin=Origin(specs))
    each = mean.T[:, None, None] + np.zeros((2, 2, 1))
    trained = {"outputs": each, "initial_outputs": 0 * each[0], "initial_train_outputs": np.zeros((2, 2, 20))}
    trained |= {"train_loss": np.ones((2, 2, 2)), "steps": np.array([6, 60]), "times": times, "params": None}
    about = {"law": law, "datasets": (), "points": points, "reduced": True, "origin": Origin(specs)}
    yield "networks on features", ns.experiments.LawEnsemble(**trained, **about)


def by_hand():
    """Others that take long to compute, with numbers of no meaning."""
    origin = Origin({"model": MODEL, "network": ns.MLP(1, width=8), "training": ns.GradientDescent(0.5, [1, 2])})
    values = {name: np.zeros((2, 3)) for name in ("bias", "initial_kernel_bias", "relative_change", "target_alignment")}
    moved = {**values, "shortcut_alignment": np.ones((2, 3)), "core_alignment": np.ones((2, 3))}
    times, learning_times = np.array([0.0, 1.0, 2.0]), np.ones((2, 3, 4))
    yield "motion", ns.analysis.KernelMotion(times, learning_times=learning_times, **moved, origin=origin)
    bias, error = np.array([0.1, 0.2]), np.array([0.01, 0.02])
    widths = {"bias": np.ones((2, 2)), "standard_error": 0.1 * np.ones((2, 2)), "times": np.array([1.0, 3.0])}
    yield "width limit", ns.analysis.WidthLimit(bias, error, (8, 16), **widths, origin=origin)
    grid, effect = MODEL.probe_grid(5), np.linspace(-1, 1, 25)
    yield "influence", ns.analysis.Influence(grid, effect, -effect, effect / 2, np.exp(-(effect**2)), origin=origin)
    groups, counts = np.array([[0.9, 0.7], [0.6, 0.8]]), np.array([50, 100, 200])
    curve = groups - counts[:, None, None] ** -1.0, groups, np.ones((2, 2)), np.full((2, 2), 0.1)
    axes = {"label": [-1, 1], "patch": [-1, 1]}
    yield "learning curve", ns.analysis.LearningCurve(counts, *curve, 1.0, axes, origin=origin)
    named = ("trained_bias", "kernel_change", "kernel_alignment", "target_alignment")
    moving = {name: np.array([0.0, 0.5, 0.7]) for name in named}
    moving |= {"trained": np.ones((3, 25)), "telescoped": np.ones((2, 3, 25)), "telescoped_bias": np.full((2, 3), 0.5)}
    moving |= {"params": [np.ones((3, 2))], "inputs": np.ones((4, 2)), "probe_inputs": grid, "probes": grid}
    data = ns.Dataset.from_arrays(np.eye(4), [1, -1, 1, -1])
    moving |= {"segments": np.array([1, 2]), "steps": np.array([0, 1, 2]), "times": times, "dataset": data}
    yield "telescope", ns.analysis.Telescope(**moving, origin=origin)


@pytest.fixture(scope="module")
def results():
    return dict(made())


def test_every_kind_of_result_is_among_them(results):
    kinds = {kind for kind in _subclasses(Result) | _subclasses(Table) if not inspect.isabstract(kind)}
    ours = {
        kind
        for kind in kinds
        if kind.__module__.startswith("ntk_shortcuts.") and kind.__name__ not in ("MeasuredEnsemble", "Table")
    }
    assert ours == {type(result) for result in results.values()}


@pytest.mark.slow
@pytest.mark.branches
def test_every_result_draws_itself_in_axes_of_its_readers(results):
    loaded = "matplotlib.pyplot" in sys.modules
    for name, result in results.items():
        figure = Figure(figsize=(6.0, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        assert result.plot(ax=right) is figure, name
        assert not left.has_data() and any(axes.has_data() for axes in figure.axes), name
        figure.canvas.draw()
        own = result.plot()
        assert isinstance(own, Figure) and own is not figure, name
        own.canvas.draw()
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_every_result_says_its_numbers_and_not_the_types_of_its_arrays(results):
    for name, result in results.items():
        assert not re.search(r"[fiu](32|64)\[|\(numpy\)|object at 0x", repr(result)), name
    assert "time=[3, 30] (learning rate x steps)" in repr(results["infinite data"])
    eigenvalue = f"{float(results['spectrum of samples'].eigenvalues[0]):.6g}"
    assert eigenvalue in repr(results["spectrum of samples"]) and "learning_times=" in repr(results["spectrum"])
    assert "(learning rate x steps)" in repr(results["spectrum"])


def test_every_result_has_a_table_and_a_figure_in_the_colours_of_the_page(results):
    for name, result in results.items():
        page = result._repr_html_()
        svg = page[page.index("<svg") : page.index("</svg>")]
        assert "<?xml" not in page and "<style" not in svg, name
        # Text and frames are in the page's colour, on its ground: no black, and no white sheet below.
        assert "currentColor" in svg and "#000000" not in svg and not re.search(r'id="patch_1">\s*<path[^>]*fill: #f', svg), (
            name
        )
        assert len(svg) < 400_000, name
    page = results["one time"]._repr_html_()
    assert f"{results['one time'].bias:.6g}" in page and "<table" in page
    assert "learning rate x steps" in results["infinite data"]._repr_html_()


def test_under_transformations_there_is_nothing_to_show(results):
    def biases(time):
        found = ns.predict(MODEL, ns.MLP(0), ns.GradientFlow(time), **COARSE)
        assert found._repr_html_() is None and "Prediction(" in repr(found)
        return found

    found = jax.jit(biases)(30.0)
    assert found.bias == pytest.approx(results["one time"].bias, abs=1e-9)
    assert not found.origin.specs and found.to_xarray().sizes["probe"] == 900


def test_results_of_different_questions_have_one_structure():
    first, second = (ns.predict(MODEL, ns.MLP(0), ns.GradientFlow(t), **COARSE) for t in (3.0, 30.0))
    both = jax.tree.map(lambda a, b: np.stack([a, b]), first, second)
    assert both.mean.shape == (2, 900)


def test_labelled_arrays_have_names_units_parameters_and_version(results, tmp_path):
    for number, (name, result) in enumerate(results.items()):
        found = result.to_xarray()
        assert type(found) is xarray.Dataset and found.data_vars, name
        assert all("units" in found[v].attrs and "long_name" in found[v].attrs for v in found.data_vars if v != "done"), name
        assert not any(str(dim).startswith("dim_") for dim in found.sizes), name
        assert found.attrs["ntk_shortcuts_version"] == ns.__version__ or "fingerprint" in found.attrs, name
        found.to_netcdf(tmp_path / f"{number}.nc", engine="h5netcdf")
    prediction = results["infinite data"].to_xarray()
    assert prediction["bias"].dims == ("time",) and prediction["mean"].dims == ("time", "probe")
    assert prediction["time"].attrs["units"] == "learning rate x steps" and prediction["bias"].attrs["units"] == "1"
    np.testing.assert_array_equal(prediction["mean"], results["infinite data"].mean)
    np.testing.assert_array_equal(prediction["core_feature"], results["infinite data"].probes[:, 1])
    wanted = {"method": "population", "depth": 0, "correlation": 0.6, "amplification": [4.0, 1.0], "tolerance": 0.2}
    assert {key: plain_value(prediction.attrs[key]) for key in wanted} == wanted
    assert results["features over time"].to_xarray()["bias"].dims == ("time", "shortcut")
    assert results["pool over time"].to_xarray()["group_accuracy"].dims == ("time", "label", "patch")
    assert results["several outputs"].to_xarray()["mean"].dims == ("time", "probe", "output")
    assert results["several outputs"].to_xarray()["variance"].dims == ("time", "probe", "other_probe")
    ensemble = results["networks"].to_xarray()
    assert ensemble["outputs"].dims == ("step", "dataset", "init", "probe") and ensemble.attrs["num_inits"] == 2
    np.testing.assert_array_equal(ensemble["steps"], [4, 16])
    assert results["networks on a pool"].to_xarray()["group_accuracy"].dims[:3] == ("time", "dataset", "init")
    assert results["spectrum"].to_xarray()["eigenfunctions"].dims == ("mode", "probe")
    assert results["spectrum of samples"].to_xarray()["alignments"].sel(function="patch").shape == (3,)


def test_a_sweep_is_still_what_xarray_makes_of_it():
    asked = {"model": MODEL, "network": ns.MLP(0), "training": FLOW, "method": "population", **COARSE}
    sweep = ns.sweep({"amplification_ratio": [1.0, 4.0], "correlation": [0.0, 0.5]}, **asked)
    assert isinstance(sweep, xarray.Dataset) and isinstance(sweep.sel(time=3.0), type(sweep))
    one = sweep.sel(time=3.0).plot()
    assert {text.get_text() for text in one.legends[0].get_texts()} == {"correlation 0", "correlation 0.5"}
    with pytest.raises(ValueError, match="with at most two axes of several values"):
        sweep.plot()
    with pytest.raises(ValueError, match="variable must be one of bias"):
        sweep.sel(time=3.0).plot("biass")
    lines = sweep.sel(correlation=0.5, time=30.0).plot("reliance").axes[0].containers[0][0]
    np.testing.assert_allclose(lines.get_ydata(), sweep["reliance"].sel(correlation=0.5, time=30.0))
    assert callable(sweep.plot.scatter)


def _subclasses(kind):
    return {kind, *(found for sub in kind.__subclasses__() for found in _subclasses(sub))}


def _public_classes():
    named = [(ns, name) for name in ns.__all__]
    named += [(getattr(ns, space), name) for space in NAMESPACES for name in getattr(getattr(ns, space), "__all__", [])]
    classes = (
        kind for module, name in named if inspect.isclass(kind := getattr(module, name)) and issubclass(kind, eqx.Module)
    )
    return sorted(set(classes), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", _public_classes(), ids=lambda kind: kind.__name__)
def test_help_has_no_page_of_inherited_internals(kind):
    page = pydoc.render_doc(kind, renderer=pydoc.plaintext)
    after = page[page.index("Method resolution order:") :] if "Method resolution order:" in page else page
    assert "__dataclass_fields__" not in page and "__abstractmethods__" not in page
    assert not re.search(r"inherited from equinox", page)
    assert not re.search(r"^ \|  __(?!call__)\w+__", after, re.M)


def test_a_spec_shows_its_own_arrays():
    kernels = ns.MLP(0).kernels(np.eye(2))
    assert repr(kernels).startswith("Kernels(nngp=[[") and "(numpy)" not in repr(kernels)
    assert repr(MODEL.sample(jax.random.key(0), 4)).startswith("Dataset(inputs=float64 of shape (4, 100), labels=[")


def test_what_a_notebook_shows_waits_for_matplotlib():
    code = "import sys, ntk_shortcuts as ns; ns.MLP(1); import ntk_shortcuts.results.prediction; print(json.dumps([n for n in"
    code = f"import json; {code} ('matplotlib', 'xarray') if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_a_result_names_its_sources(results, capsys):
    ns.cite(ns.predict(MODEL, ns.MLP(1), ns.GradientFlow(3.0), **COARSE))
    printed = capsys.readouterr().out
    keys = re.findall(r"^@\w+\{([^,]+),$", printed, re.M)
    assert keys[0] == "ntk_shortcuts" and f"version = {{{ns.__version__}}}" in printed
    assert {"hermann2024foundations", "jacot2018neural", "cho2009kernel", "lee2019wide"} <= set(keys) and len(set(keys)) == len(
        keys
    )
    for name, result in results.items():
        ns.cite(result)
        assert "@inproceedings{" in capsys.readouterr().out, name
    with pytest.raises(ValueError, match="results must be predictions and other results"):
        ns.cite(3)


def test_every_law_network_rule_and_method_cites_entries_that_parse():
    entries = known_entries()
    for key, entry in entries.items():
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.M))
        assert entry.count("{") == entry.count("}") and {"author", "title", "year"} <= fields.keys(), key
        assert len(entry.splitlines()) == len(fields) + 2 and re.fullmatch(r"(19|20)\d\d", fields["year"]), key
        assert fields["author"].split(",")[0].lower().replace("{\\'e}", "e").split()[0] in key or "{" in fields["author"], key
        assert fields["year"] in key and {"booktitle", "journal", "eprint", "school"} & fields.keys(), key
    kinds = {*METHODS.values(), *_subclasses(ns.laws.base.Law), *_subclasses(ns.training.TrainingRule), ns.MLP}
    ours = [kind for kind in kinds if kind.__module__.startswith("ntk_shortcuts.") and not inspect.isabstract(kind)]
    assert len(ours) > 10 and {key for kind in ours for key in kind.sources} <= entries.keys()
    assert [kind for kind in ours if not kind.sources] == []
    for name in ns.kernels.known_activations():
        if name in ("relu", "linear", "erf", "tanh", "sin", "gelu", "leaky_relu"):
            assert set(ns.MLP(1, name).activation.cited) <= entries.keys() and ns.MLP(1, name).activation.cited, name
    special = ns.MLP(2, residual=0.5, normalization="layer").cited
    assert {"he2016deep", "ba2016layer"} <= set(special) and "polyak1964some" in ns.GradientDescent(0.1, 3, momentum=0.9).cited

"""Predictions over every public entry, by name: what tests/snapshot/snapshot.json holds the numbers of.

An entry is a function without arguments that returns numbers by name. `QUICK` names those that run by default.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import ntk_shortcuts as ns

ENTRIES: dict[str, Callable[[], Mapping[str, Any]]] = {}
QUICK: set[str] = set()
# Every so many probes: enough to see any change, few enough to read.
STRIDE = 61

MODELS = {
    "plain": ns.GenerativeModel((0.85, 0.9), (1.0, 1.0)),
    "ratio 4": ns.GenerativeModel((0.85, 0.9), (4.0, 1.0)),
    "ratio 1/4": ns.GenerativeModel((0.7, 0.95), (0.25, 1.0), 0.2),
    "anticorrelated": ns.GenerativeModel((0.8, 0.85), (2.0, 1.0), -0.3),
    "distant": ns.GenerativeModel((0.98, 0.99), (1.5, 1.0), 0.5),
    "nested": ns.GenerativeModel((0.85, 0.9), (1.0, 1.0), nesting=(0, 1)),
    "nested twice": ns.GenerativeModel((0.85, 0.9), (1.0, 2.0), nesting=(2, 1), nesting_gain=1.5, nesting_bias=0.1),
}
NETWORKS = {
    "linear": ns.MLP(0),
    "relu 1": ns.MLP(1),
    "relu 3": ns.MLP(3),
    "relu 2 biases": ns.MLP(2, bias_variance=0.3),
    "erf 1": ns.MLP(1, "erf", bias_variance=0.1),
    "erf 2": ns.MLP(2, "erf"),
    "leaky 2": ns.MLP(2, ns.LeakyReLU(0.2)),
    "tanh 1": ns.MLP(1, "tanh"),
}
FLOW = ns.GradientFlow([3.0, 30.0, 300.0])
RAYS = [NETWORKS[name] for name in ("linear", "relu 1", "relu 3", "leaky 2")]
RULES = {
    "flow": FLOW,
    "late": ns.GradientFlow([3e3, np.inf]),
    "descent": ns.GradientDescent(0.05, [20, 200]),
    "ridge": ns.Ridge([1e-3, 1.0]),
}
KEY = jax.random.key(7)
FINITE = ns.MLP(1, width=16, parameterization="standard", initialization="torch")
FEW = {"num_inits": 2, "order": 6}


def entry(name: str, quick: bool = False) -> Callable:
    """Register a function under a name."""

    def decorate(function: Callable) -> Callable:
        assert name not in ENTRIES, name
        ENTRIES[name] = function
        if quick:
            QUICK.add(name)
        return function

    return decorate


def summary(p: Any) -> dict[str, Any]:
    """The numbers of a prediction."""
    found = {name: getattr(p, name) for name in ("bias", "reliance", "optimal_reliance")}
    if p.bias_std is not None:
        found["bias_std"] = p.bias_std
    found["mean"], found["std"] = np.asarray(p.mean)[..., ::STRIDE], np.asarray(p.std)[..., ::STRIDE]
    # Estimates of rounding are of rounding.
    noise = ("rounding_error", "low_rank_error", "mass_dropped", "stieltjes_margin", "fixed_point_residual", "filter_error")
    return {**found, **{f"diagnostic {n}": v for n, v in p.diagnostics.items() if n not in noise}}


def predicted(model: Any, network: Any, rule: Any, *args: Any, **options: Any) -> dict[str, Any]:
    return summary(ns.predict_bias(model, network, rule, *args, check_laziness=False, **options))


def add(name: str, model: Any, network: Any, *args: Any, quick: bool = False, **options: Any) -> None:
    # Networks without rays need many nodes: two rules of them are enough to see a change.
    if options.get("method") is None and not any(network is one for one in RAYS) and "tolerance" not in options:
        options["tolerance"] = 0.1
    entry(name, quick)(functools.partial(predicted, model, network, *args, **options))


for model, network in itertools.product(("plain", "ratio 4", "ratio 1/4", "anticorrelated", "distant"), NETWORKS):
    quick = network in ("relu 1", "relu 2 biases") and model in ("plain", "ratio 4")
    add(f"population, {model}, {network}", MODELS[model], NETWORKS[network], FLOW, quick=quick)
for rule, network in itertools.product(("late", "descent", "ridge"), ("linear", "relu 1", "relu 3", "erf 1")):
    quick = network == "relu 1"
    add(f"population, {rule}, {network}", MODELS["ratio 4"], NETWORKS[network], RULES[rule], quick=quick)
for network in ("linear", "relu 1", "erf 2", "relu 2 biases"):
    for model in ("nested", "nested twice"):
        options = {"tolerance": 0.3, "quick": network == "linear"}
        add(f"population, {model}, {network}", MODELS[model], NETWORKS[network], FLOW, **options)
for network in ("relu 1", "erf 1", "tanh 1"):
    add(
        f"population, averaged, {network}",
        MODELS["ratio 4"],
        NETWORKS[network],
        FLOW,
        random_init=False,
        quick=network == "relu 1",
    )
add("population, loose", MODELS["ratio 4"], NETWORKS["erf 2"], FLOW, tolerance=0.3, quick=True)
add("population, probes", MODELS["plain"], NETWORKS["relu 3"], FLOW, probes=np.array([[1.0, -1.0], [0.3, 2.0], [-2.0, 0.1]]))


def agreeing(latents: Any, labels: Any) -> Any:
    return 1 + 2 * (latents[:, 0] * labels > 0)


for network in ("relu 1", "erf 1"):
    add(
        f"population, weights, {network}",
        MODELS["ratio 4"],
        NETWORKS[network],
        FLOW,
        sample_weight=agreeing,
        quick=network == "relu 1",
    )

for model, network in itertools.product(
    ("plain", "ratio 4", "ratio 1/4", "anticorrelated", "distant"), ("linear", "relu 1", "relu 3", "relu 2 biases", "erf 1")
):
    quick = (model, network) in (("ratio 4", "relu 1"), ("plain", "relu 1"))
    add(f"average, {model}, {network}", MODELS[model], NETWORKS[network], FLOW, 100, quick=quick)
for samples, network in itertools.product((4, 30, 1000), ("relu 1", "erf 2")):
    add(
        f"average, {samples} samples, {network}",
        MODELS["ratio 4"],
        NETWORKS[network],
        FLOW,
        samples,
        quick=(samples, network) == (30, "relu 1"),
    )
for rule, network in itertools.product(("descent", "ridge"), ("relu 1", "erf 1")):
    add(
        f"average, {rule}, {network}",
        MODELS["ratio 4"],
        NETWORKS[network],
        RULES[rule],
        100,
        quick=(rule, network) == ("ridge", "relu 1"),
    )
for form in ("scalar", "one_step"):
    add(f"average, {form}", MODELS["ratio 4"], NETWORKS["relu 3"], FLOW, 100, form=form, quick=form == "scalar")
for option in ("random_init", "balanced", "feedback"):
    add(f"average, no {option}", MODELS["ratio 4"], NETWORKS["relu 1"], FLOW, 100, quick=True, **{option: False})
add("average, uniform noise", MODELS["ratio 4"], NETWORKS["relu 1"], FLOW, 100, uniform_noise=True, quick=True)
add("average, nested", MODELS["nested"], NETWORKS["linear"], ns.GradientFlow(30.0), 100, tolerance=0.3)
add("average, tanh", MODELS["ratio 4"], NETWORKS["tanh 1"], ns.GradientFlow(30.0), 100)


def data(model: str, count: int = 60) -> ns.Dataset:
    return MODELS[model].sample(jax.random.key(3), count)


for model, network in itertools.product(("plain", "ratio 4", "nested"), ("linear", "relu 1", "relu 3", "erf 1", "tanh 1")):
    entry(f"data set, {model}, {network}", quick=model == "ratio 4")(
        lambda model=model, network=network: predicted(MODELS[model], NETWORKS[network], FLOW, dataset=data(model))
    )
for rule in ("late", "descent", "ridge"):
    entry(f"data set, {rule}", quick=True)(
        lambda rule=rule: predicted(MODELS["ratio 4"], NETWORKS["relu 3"], RULES[rule], dataset=data("ratio 4"))
    )
entry("data set, averaged", quick=True)(
    lambda: predicted(MODELS["ratio 4"], NETWORKS["relu 1"], FLOW, dataset=data("ratio 4"), random_init=False)
)
entry("data set, weights", quick=True)(
    lambda: predicted(MODELS["ratio 4"], NETWORKS["relu 1"], FLOW, dataset=data("ratio 4"), sample_weight=np.arange(60) % 3)
)


@entry("data set, initial outputs", quick=True)
def _initial_outputs():
    rng = np.random.default_rng(0)
    given = (rng.normal(size=(2, 60)), rng.normal(size=(2, 900)))
    return predicted(MODELS["ratio 4"], NETWORKS["relu 1"], FLOW, dataset=data("ratio 4"), initial_outputs=given)


@entry("data set, one initial output", quick=True)
def _initial_output():
    rng = np.random.default_rng(0)
    given = (rng.normal(size=60), rng.normal(size=900))
    return predicted(MODELS["ratio 4"], NETWORKS["relu 1"], FLOW, dataset=data("ratio 4"), initial_outputs=given)


@entry("data set, low rank")
def _low_rank():
    return predicted(MODELS["ratio 4"], NETWORKS["relu 1"], FLOW, dataset=data("ratio 4", 600), rank_tolerance=1e-3)


@entry("data set, own", quick=True)
def _own():
    rng = np.random.default_rng(1)
    inputs, labels = rng.normal(size=(40, 7)), np.where(np.arange(40) % 2, 1, -1)
    probes = MODELS["plain"].probe_grid(6)
    own = ns.Dataset.from_arrays(inputs, labels)
    at = rng.normal(size=(36, 7))
    p = ns.predict_bias(MODELS["plain"], NETWORKS["relu 3"], FLOW, dataset=own, probes=probes, probe_inputs=at)
    return summary(p)


for network in ("relu 1", "erf 1"):
    options = {"key": KEY, "num_datasets": 3}
    add(
        f"monte carlo, {network}",
        MODELS["ratio 4"],
        NETWORKS[network],
        FLOW,
        40,
        method="monte_carlo",
        quick=network == "relu 1",
        **options,
    )
    add(
        f"monte carlo, embedded, {network}",
        MODELS["plain"],
        NETWORKS[network],
        FLOW,
        40,
        method="monte_carlo",
        embedded=True,
        **options,
    )
add(
    "monte carlo, weights",
    MODELS["ratio 4"],
    NETWORKS["relu 1"],
    FLOW,
    40,
    method="monte_carlo",
    key=KEY,
    num_datasets=2,
    sample_weight=agreeing,
)
add("monte carlo, nested", MODELS["nested"], NETWORKS["relu 1"], FLOW, 40, method="monte_carlo", key=KEY, num_datasets=2)
add(
    "monte carlo, low rank",
    MODELS["ratio 4"],
    NETWORKS["relu 1"],
    FLOW,
    400,
    method="monte_carlo",
    key=KEY,
    num_datasets=2,
    rank_tolerance=1e-3,
)

for model, network in itertools.product(
    ("plain", "ratio 4", "anticorrelated"), ("linear", "relu 1", "relu 3", "erf 1", "tanh 1")
):
    quick = model == "ratio 4" and network in ("linear", "relu 3")
    add(f"leading order, {model}, {network}", MODELS[model], NETWORKS[network], FLOW, method="leading_order", quick=quick)
for network in ("relu 1", "erf 1"):
    add(
        f"short time, {network}",
        MODELS["ratio 4"],
        NETWORKS[network],
        ns.GradientFlow([0.3, 3.0]),
        method="leading_order",
        regime="short_time",
        quick=network == "relu 1",
    )
add(
    "short time, nested",
    MODELS["nested"],
    NETWORKS["linear"],
    ns.GradientFlow(1.0),
    method="leading_order",
    regime="short_time",
)
add("leading order, averaged", MODELS["ratio 4"], NETWORKS["relu 1"], FLOW, method="leading_order", random_init=False)


@entry("linear bias", quick=True)
def _linear_bias():
    model = MODELS["ratio 4"]
    return {
        "bias": ns.linear_bias(model, ns.MLP(0), FLOW),
        "direction": ns.output_direction(model, ns.MLP(0), FLOW),
        "halving time": ns.halving_time(model, ns.MLP(0)),
    }


for loss, network in itertools.product(("squared", "logistic"), ("relu", "tanh")):
    finite = ns.MLP(1, network, width=16, parameterization="standard", initialization="torch")
    add(
        f"flow, {loss}, {network}",
        MODELS["ratio 4"],
        finite,
        ns.GradientFlow([2.0, 20.0]),
        method="population_flow",
        key=KEY,
        loss=loss,
        quick=(loss, network) == ("squared", "relu"),
        **FEW,
    )
add(
    "flow, ntk, depth 2",
    MODELS["plain"],
    ns.MLP(2, width=16),
    ns.GradientFlow([2.0, 20.0]),
    method="population_flow",
    key=KEY,
    **FEW,
)
add(
    "flow, descent, decay, momentum",
    MODELS["ratio 4"],
    FINITE,
    ns.GradientDescent(0.1, [10, 100]),
    method="population_flow",
    key=KEY,
    weight_decay=1e-3,
    momentum=0.5,
    **FEW,
)
add(
    "flow, centred, orthogonal",
    MODELS["ratio 4"],
    FINITE,
    ns.GradientFlow(10.0),
    method="population_flow",
    key=KEY,
    random_init=False,
    orthogonal=True,
    **FEW,
)
add(
    "flow, minibatches",
    MODELS["ratio 4"],
    FINITE,
    ns.GradientDescent(0.1, 50),
    method="population_flow",
    key=KEY,
    batch_size=8,
    **FEW,
)
add("flow, samples", MODELS["ratio 4"], FINITE, ns.GradientFlow(10.0), 64, method="population_flow", key=KEY, **FEW)
add(
    "flow, samples in minibatches",
    MODELS["ratio 4"],
    FINITE,
    ns.GradientDescent(0.1, 50),
    64,
    method="population_flow",
    key=KEY,
    batch_size=8,
    **FEW,
)
add("flow, refined", MODELS["ratio 4"], FINITE, ns.GradientFlow([2.0, 20.0]), method="population_flow", key=KEY, num_inits=5)
add("flow, linear", MODELS["plain"], ns.MLP(0), ns.GradientFlow(30.0), method="population_flow", key=KEY, **FEW)


@entry("laziness gap")
def _laziness():
    flow = ns.GradientFlow([2.0, 20.0])
    p = ns.predict_bias(MODELS["ratio 4"], ns.MLP(1, width=16), ns.GradientFlow(20.0), tolerance=0.1)
    return {"gap": ns.laziness_gap(MODELS["ratio 4"], FINITE, flow), "diagnostic": p.diagnostics["laziness_gap"]}


@entry("kernel motion")
def _motion():
    motion = ns.kernel_motion(MODELS["ratio 4"], FINITE, ns.GradientFlow([0.0, 10.0]), key=KEY, num_inits=1, modes=3, order=5)
    return {name: getattr(motion, name) for name in vars(motion) if name != "origin"}


for name in ("relu 1", "relu 2 biases", "tanh 1"):

    @entry(f"spectrum, {name}", quick=name == "relu 1")
    def _spectrum(network=NETWORKS[name]):
        s = ns.kernel_spectrum(MODELS["ratio 4"], network, 5)
        names = (
            "eigenvalues",
            "learning_times",
            "odd",
            "target_coefficients",
            "shortcut_alignments",
            "core_alignments",
            "trace",
            "label_noise",
        )
        found = {name: np.asarray(getattr(s, name), float) for name in names}
        return {**found, "eigenfunctions": np.asarray(s.eigenfunctions)[:, ::STRIDE], "tail": s.diagnostics["tail_mass"]}


for name in ("relu 1", "erf 1"):

    @entry(f"influence, {name}")
    def _influence(network=NETWORKS[name]):
        result = ns.influence(MODELS["ratio 4"], network, ns.GradientFlow(30.0), 100, [[1.0, -1.0], [0.5, 2.0]])
        return {name: getattr(result, name) for name in ("positive", "negative", "expected", "density")}


@entry("critical ratio", quick=True)
def _critical():
    found = ns.critical_ratio(MODELS["plain"], ns.MLP(1), ns.GradientFlow(30.0), level=0.5, bracket=(1.0, 4.0))
    return {"value": found.value, "evaluations": found.evaluations}


@entry("critical ratio, closed form")
def _critical_time():
    arguments = (MODELS["ratio 4"], ns.MLP(1), ns.GradientFlow(30.0))
    found = ns.critical_ratio(*arguments, level=0.5, parameter="time", method="leading_order", random_init=True)
    return {"value": found.value}


@entry("most biased")
def _most_biased():
    found = ns.most_biased(MODELS["plain"], ns.MLP(1), ns.GradientFlow(30.0), starts=2, method="leading_order")
    return {**found.parameters, "bias": found.bias, **{f"slope {n}": v for n, v in found.gradient.items()}}


AXES = {"amplification_ratio": [1.0, 4.0], "depth": [0, 1], "time": [3.0, 30.0]}


@entry("sweep", quick=True)
def _sweep():
    found = ns.sweep(AXES, method="population", random_init=False, tolerance=0.1)
    return {name: found[name].values for name in ("bias", "reliance", "optimal_reliance", "nodes")}


@entry("sweep of averages")
def _sweep_averages():
    found = ns.sweep({"num_samples": [30, 100], "correlation": [0.0, 0.6]}, model=MODELS["ratio 4"])
    return {name: found[name].values for name in ("bias", "modes_kept", "data_std")}


@entry("map", quick=True)
def _map():
    found = ns.bias_map(MODELS["plain"], ns.MLP(1), FLOW, [0.6, 0.8], [1.0, 4.0], random_init=False, tolerance=0.1)
    return {name: found[name].values for name in found.data_vars}


def command(line: str) -> dict[str, Any]:
    from ntk_shortcuts.cli import main

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        assert main(line.split()) == 0
    return numbers(json.loads(out.getvalue()))


def numbers(tree: Any, name: str = "") -> dict[str, Any]:
    """The numbers of a JSON document by their place; words and the estimates of rounding are left out."""
    if isinstance(tree, dict):
        kept = {k: v for k, v in tree.items() if k not in ("rounding_error", "mass_dropped", "ntk_shortcuts_version")}
        return {k: v for part in (numbers(v, f"{name} {k}".strip()) for k, v in kept.items()) for k, v in part.items()}
    try:
        return {name: np.asarray(tree, float)} if tree is not None and not isinstance(tree, str) else {}
    except (ValueError, TypeError):
        return {}


MAP_FILE = f"{tempfile.gettempdir()}/ntk_shortcuts_map.nc"
COMMANDS = {
    "predict": "--amplification 4 1 --time 30",
    "predict average": "--amplification 4 1 --time 30 --num-samples 100",
    "predict descent": "--learning-rate 0.5 --steps 20 --depth 2 --no-random-init",
    "predict data set": "--num-samples 40 --method dataset --seed 3 --ridge 0.1",
    "predict monte_carlo": "--num-samples 40 --method monte_carlo --num-datasets 2 --seed 3",
    "predict leading_order": "--method leading_order --activation erf --bias-variance 0.1",
    "map": f"--predictivities 0.6 0.9 2 --ratios 0.25 4 2 --no-random-init --tolerance 0.1 --output {MAP_FILE}",
    "spectrum": "--amplification 4 1 --modes 4",
    "sweep": "--axis depth=0,1 --axis time=3,30 --method population --no-random-init",
}
for name, line in COMMANDS.items():
    entry(f"command, {name}", quick=name in ("predict", "spectrum", "predict leading_order"))(
        functools.partial(command, f"{name.split()[0]} {line} --json")
    )

DERIVATIVES = {"population": {}, "dataset_averaged": {"num_samples": 100}, "leading_order": {}}
for method, options in DERIVATIVES.items():

    @entry(f"derivative, {method}", quick=method == "leading_order")
    def _derivative(method=method, options=options):
        def bias(alpha, rho, time):
            model = ns.GenerativeModel((rho, 0.9), (alpha, 1.0))
            return ns.predict_bias(model, ns.MLP(1), ns.GradientFlow(time), method=method, **options).bias

        with jax.enable_x64(True):
            slopes = jax.jit(jax.grad(bias, argnums=(0, 1, 2)))(4.0, 0.85, 30.0)
        return {"slopes": np.asarray(slopes)}


@entry("derivative, population_flow")
def _flow_derivative():
    def bias(alpha, time):
        model = ns.GenerativeModel((0.85, 0.9), (alpha, 1.0))
        options = {"method": "population_flow", "key": KEY, **FEW}
        return ns.predict_bias(model, FINITE, ns.GradientFlow(time), **options).bias

    with jax.enable_x64(True):
        return {"slopes": np.asarray(jax.grad(bias, argnums=(0, 1))(4.0, 10.0))}


@entry("outputs", quick=True)
def _outputs():
    rng = np.random.default_rng(2)
    x, y, at = rng.normal(size=(30, 5)), rng.normal(size=30), rng.normal(size=(4, 5))
    full = ns.predict_outputs(NETWORKS["erf 2"], FLOW, x, y, at, full_covariance=True)
    diagonal = ns.predict_outputs(NETWORKS["relu 3"], ns.Ridge(0.1), x, y, at, full_covariance=False)
    return {"mean": full.mean, "covariance": full.variance, "diagonal mean": diagonal.mean, "variance": diagonal.variance}


for name in ("relu 1", "relu 2 biases", "erf 2", "leaky 2", "tanh 1"):

    @entry(f"kernels, {name}", quick=True)
    def _kernels(network=NETWORKS[name]):
        x = np.random.default_rng(3).normal(size=(5, 4))
        found, single = network.kernels(x[:2], x), network.kernels(x.astype(np.float32))
        return {"nngp": found.nngp, "ntk": found.ntk, "single": np.asarray(single.ntk, float)}


for name in ("ratio 4", "nested twice"):

    @entry(f"gram, {name}", quick=True)
    def _gram(model=MODELS[name]):
        z = np.random.default_rng(3).normal(size=(4, 2))
        return {"gram": model.gram(z), "expectation": model.class_expectation(z), "density": model.density(z)}


@entry("whitened")
def _whitened():
    model = MODELS["ratio 4"]
    return predicted(model, ns.whitened(model, ns.MLP(1, bias_variance=0.5)), FLOW, tolerance=0.2)


@entry("whitened, average")
def _whitened_average():
    model = MODELS["ratio 4"]
    return predicted(model, ns.whitened(model, ns.MLP(1)), ns.GradientFlow(30.0), 100, tolerance=0.2)


def stax_network(*layers: str, **options: Any) -> Any:
    from ntk_shortcuts.kernels import neural_tangents as interop

    stax = interop.load().stax
    made = {
        "dense": lambda: stax.Dense(1, 2**0.5, 0.3),
        "relu": stax.Relu,
        "erf": stax.Erf,
        "conv": lambda: stax.Conv(1, (3, 3)),
        "pool": stax.GlobalAvgPool,
        "flat": stax.Flatten,
    }
    return interop.from_stax(stax.serial(*(made[layer]() for layer in layers))[2], **options)


for method, options in {"population": {"tolerance": 0.3}, "dataset_averaged": {"num_samples": 60, "tolerance": 0.3}}.items():
    entry(f"stax, {method}")(
        lambda method=method, options=options: predicted(
            MODELS["ratio 4"], stax_network("dense", "relu", "dense"), ns.GradientFlow(30.0), method=method, **options
        )
    )


@entry("stax, data set")
def _stax_data():
    model = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0), input_dim=36)
    network = stax_network("conv", "relu", "flat", "dense", input_shape=(6, 6, 1))
    return predicted(model, network, FLOW, dataset=model.sample(KEY, 20), probes=model.probe_grid(5))


@entry("stax, monte carlo")
def _stax_draws():
    return predicted(
        MODELS["ratio 4"], stax_network("dense", "erf", "dense"), FLOW, 30, method="monte_carlo", key=KEY, num_datasets=2
    )


@entry("ensemble", quick=True)
def _ensemble():
    e = ns.train_ensemble(
        MODELS["ratio 4"], ns.MLP(1, width=16), ns.GradientDescent(0.5, [0, 20]), 40, 2, 2, key=KEY, dtype="float64"
    )
    return {"bias": e.bias, "outputs": e.outputs[..., ::STRIDE], "loss": e.train_loss, "error": e.standard_error}


@entry("ensemble, logistic, minibatches, validation")
def _ensemble_logistic():
    options = {
        "loss": "logistic",
        "batch_size": 8,
        "num_validation": 20,
        "centred": True,
        "orthogonal": True,
        "dtype": "float64",
    }
    e = ns.train_ensemble(
        MODELS["nested"], ns.MLP(2, "tanh", width=16), ns.GradientDescent(0.5, [5, 20]), 20, 1, 2, key=KEY, **options
    )
    return {
        "bias": e.bias,
        "outputs": e.outputs[..., ::STRIDE],
        "accuracy": e.validation_accuracy,
        "best": e.at_best_validation().bias,
    }


@entry("ensemble, adam")
def _ensemble_adam():
    import optax

    e = ns.train_ensemble(
        MODELS["plain"], FINITE, ns.GradientDescent(0.01, 20), 40, 1, 2, key=KEY, optimizer=optax.adam, dtype="float64"
    )
    return {"bias": e.bias, "outputs": e.outputs[..., ::STRIDE]}


@entry("telescope")
def _telescope():
    t = ns.telescope(MODELS["ratio 4"], ns.MLP(1, width=32), ns.GradientDescent(0.5, [4, 16]), 40, (1, 2), key=KEY)
    names = ("trained_bias", "telescoped_bias", "kernel_change", "kernel_alignment", "target_alignment", "error")
    return {name: getattr(t, name) for name in names}


@entry("linearised outputs", quick=True)
def _linearized():
    network, x = ns.MLP(2, width=16), np.random.default_rng(4).normal(size=(6, 3))
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), network.init(KEY, 3))
    theta = ns.empirical_ntk(network, params, jnp.asarray(x))
    nngp = ns.empirical_nngp(network, params, jnp.asarray(x))
    outputs = ns.linearized_outputs(network, params, ns.GradientFlow([1.0, 10.0]), x, np.ones(6), x[:2])
    return {"ntk": theta, "nngp": nngp, "outputs": outputs}


@entry("finite width", quick=True)
def _finite_width():
    network, x = ns.MLP(1, width=64), np.random.default_rng(5).normal(size=(3, 4))
    moments = ns.finite_width_moments(network, x)
    found = {name: np.asarray(getattr(moments, name)) for name in vars(moments)}
    return {**found, "cumulant": ns.output_fourth_cumulant(network, x), "density": ns.edgeworth_density(0.3, 1.2, 0.1)}


def evaluate(name: str) -> dict[str, np.ndarray]:
    """The numbers of an entry, as float64 arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ENTRIES[name]()
    return {key: np.asarray(value, np.float64) for key, value in found.items() if value is not None}

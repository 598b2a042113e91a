"""Extreme but valid inputs: what the package answers, against references of many digits; docs/evidence/extremes.md
holds the largest of each group.

    python benchmarks/extremes.py --output extremes.md

The rows are also the tests of tests/contract/test_extremes.py. A row either has a discrepancy and what is allowed of it, or
the words of the error or warning that must come.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import pathlib
import platform
import warnings
from collections.abc import Callable

import jax
import mpmath as mp
import numpy as np

import ntk_shortcuts as ns

ALMOST = 1 - 1e-12
TIMES = (1e-12, 1.0, 300.0, 1e12)
mp.mp.dps = 60


@dataclasses.dataclass(frozen=True)
class Row:
    """One case: `measure()` gives the largest discrepancy, at most `allowed`; with `words`, it raises or warns with them."""

    group: str
    case: str
    measure: Callable[[], float]
    allowed: float = 0.0
    words: str = ""
    slow: bool = True

    @property
    def id(self) -> str:
        return f"{self.group}: {self.case}"


def signals(row: Row) -> tuple[float, str]:
    """The discrepancy (NaN where an error came), and the messages of errors and warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found, text = row.measure(), ""
        except ValueError as error:
            found, text = float("nan"), str(error)
    ours = [str(w.message) for w in caught if issubclass(w.category, ns.UntrustedPredictionWarning)]
    return found, " | ".join([*([text] if text else []), *ours])


# Kernels, by the recursion in 60 digits.


def _dual(activation: str, q11: mp.mpf, q12: mp.mpf, q22: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    if activation == "linear":
        return q12, mp.mpf(1)
    if activation == "relu":
        norms = mp.sqrt(q11 * q22)
        theta = mp.acos(max(min(q12 / norms, mp.mpf(1)), mp.mpf(-1)))
        return norms * (mp.sin(theta) + (mp.pi - theta) * mp.cos(theta)) / (2 * mp.pi), (mp.pi - theta) / (2 * mp.pi)
    root = (1 + 2 * q11) * (1 + 2 * q22)
    return 2 / mp.pi * mp.asin(2 * q12 / mp.sqrt(root)), 4 / mp.pi / mp.sqrt(root - 4 * q12**2)


def exact_kernels(network: ns.MLP, x1: np.ndarray, x2: np.ndarray) -> tuple[mp.mpf, mp.mpf]:
    """NNGP and NTK of one pair of inputs."""
    weight, bias = mp.mpf(float(network.weight_variance)), mp.mpf(float(network.bias_variance))
    pairs = ((x1, x1), (x1, x2), (x2, x2))
    products = [mp.fsum(mp.mpf(float(a)) * mp.mpf(float(b)) for a, b in zip(*pair, strict=True)) for pair in pairs]
    q11, q12, q22 = (weight * product / len(x1) + bias for product in products)
    tangent = q12
    for _ in range(network.depth):
        value, slope = _dual(network.activation.name, q11, q12, q22)
        own1, own2 = (_dual(network.activation.name, q, q, q)[0] for q in (q11, q22))
        q11, q12, q22 = (weight * value + bias for value in (own1, value, own2))
        tangent = q12 + weight * slope * tangent
    return q12, tangent


def _pairs(scale: float, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Generic, parallel, antiparallel and nearly parallel pairs."""
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    other = np.stack([x[4], 2 * x[1], -x[2], x[3] + np.float32(1e-3)])
    return (x[:4] * np.float32(scale)).astype(dtype), (other * np.float32(scale)).astype(dtype)


def kernel_error(
    activation: str,
    depth: int,
    weight: float,
    bias: float,
    dtype: type = np.float64,
    scales: tuple[float, ...] = (1e-6, 1.0, 1e6),
) -> float:
    """Largest relative error of NNGP and NTK."""
    network, worst = ns.MLP(depth, activation, weight_variance=weight, bias_variance=bias), mp.mpf(0)
    for scale in scales:
        x1, x2 = _pairs(scale, dtype)
        kernels = network.kernels(x1, x2)
        for i in range(len(x1)):
            exact = exact_kernels(network, x1[i], x2[i])
            for found, truth in zip((kernels.nngp[i, i], kernels.ntk[i, i]), exact, strict=True):
                worst = max(worst, abs(mp.mpf(float(found)) / truth - 1) if np.isfinite(found) else mp.inf)
    return float(worst)


def step_kernel_error() -> float:
    """tanh at inputs of size 1e6 is a step: NNGP = (2 w / pi) asin c."""
    x1, x2 = _pairs(1e6, np.float64)
    cosine = np.sum(x1 * x2, axis=1) / np.linalg.norm(x1, axis=1) / np.linalg.norm(x2, axis=1)
    found = np.diag(ns.MLP(1, "tanh").kernels(x1, x2).nngp)
    return float(np.max(np.abs(found / (4 / np.pi * np.arcsin(np.clip(cosine, -1, 1))) - 1)))


# Linear networks (and the mean of one hidden ReLU layer without biases, whose odd part is linear) on infinite data.


@functools.cache
def _moments(model_arguments: tuple) -> tuple:
    rho, alpha, sigma = model_arguments
    means = [mp.sqrt(2) * mp.erfinv(2 * mp.mpf(r) - 1) for r in rho]
    scale = [mp.mpf(a) for a in alpha]
    mixed = scale[0] * scale[1] * (mp.mpf(sigma) + means[0] * means[1])
    second = mp.matrix([[scale[0] ** 2 * (1 + means[0] ** 2), mixed], [mixed, scale[1] ** 2 * (1 + means[1] ** 2)]])
    eigenvalues, vectors = mp.eigsy(second / 50)  # weight variance 2 over d = 100
    return scale, mp.matrix([scale[i] * means[i] for i in range(2)]), eigenvalues, vectors


def linear_law(model_arguments: tuple, time: float, random_init: bool, probes: np.ndarray) -> tuple[list, list]:
    """Mean and standard deviation at the probes of a bias-free linear network, weight variance 2, d = 100."""
    scale, source, eigenvalues, vectors = _moments(model_arguments)
    gains = mp.diag([-mp.expm1(-mp.mpf(time) * e) / e for e in eigenvalues])
    decay = mp.diag([mp.exp(-2 * mp.mpf(time) * e) for e in eigenvalues])
    direction, spread = vectors * gains * vectors.T * source / 50, vectors * decay * vectors.T / 50
    points = [mp.matrix([scale[i] * mp.mpf(float(z[i])) for i in range(2)]) for z in probes]
    mean = [(u.T * direction)[0] for u in points]
    return mean, [mp.sqrt((u.T * spread * u)[0]) if random_init else mp.mpf(0) for u in points]


def exact_reliance(mean: list, std: list, probes: np.ndarray) -> float:
    signs = np.sign(probes[:, 0]) - np.sign(probes[:, 1])
    expected = [mp.erf(m / s / mp.sqrt(2)) if s > 0 else mp.sign(m) for m, s in zip(mean, std, strict=True)]
    return float(mp.fsum(e * int(sign) for e, sign in zip(expected, signs, strict=True)) / len(signs))


def bias_error(
    method: str,
    rho: tuple[float, float] = (0.85, 0.9),
    alpha: tuple[float, float] = (1.0, 1.0),
    sigma: float = 0.6,
    depth: int = 0,
    bias_variance: float = 0.0,
    random_init: bool = True,
    times: tuple[float, ...] = TIMES,
    **options: object,
) -> float:
    """Largest error of the reliance, and so of the bias, over times."""
    model, network = ns.GenerativeModel(rho, alpha, sigma), ns.MLP(depth, bias_variance=bias_variance)
    flow, options = ns.GradientFlow(list(times)), {"random_init": random_init, **options}
    prediction = ns.predict_bias(model, network, flow, method=method, **options)
    probes, worst = np.asarray(prediction.probes), 0.0
    for index, time in enumerate(times):
        truth = exact_reliance(*linear_law((rho, alpha, sigma), time, random_init, probes), probes)
        error = abs(float(prediction.reliance[index]) - truth)
        worst = max(worst, error if np.isfinite(error) else np.inf)
    return worst


# Data sets of 2 to 6 points, by an eigendecomposition in 60 digits.


def exact_outputs(network: ns.MLP, time: float, x: np.ndarray, y: np.ndarray, probes: np.ndarray) -> tuple[list, list]:
    """Mean and variance at the probes."""
    count = len(x)
    pairs = [[exact_kernels(network, a, b) for b in x] for a in x]
    nngp, ntk = (mp.matrix([[pair[k] for pair in row] for row in pairs]) for k in range(2))
    eigenvalues, vectors = mp.eigsy(ntk / count)
    floor = mp.mpf(10) ** -45 * max(eigenvalues)
    gains = [(0 if time == np.inf else time) if e < floor else -mp.expm1(-mp.mpf(time) * e) / e for e in eigenvalues]
    filtered = vectors * mp.diag(gains) * vectors.T / count
    mean, variance = [], []
    for probe in probes:
        cross = [exact_kernels(network, probe, point) for point in x]
        operator = mp.matrix([[pair[1] for pair in cross]]) * filtered
        mean.append((operator * mp.matrix([mp.mpf(float(v)) for v in y]))[0])
        change = (operator * nngp * operator.T)[0] - 2 * (operator * mp.matrix([pair[0] for pair in cross]))[0]
        variance.append(exact_kernels(network, probe, probe)[0] + change)
    return mean, variance


def dataset_error(
    count: int,
    times: tuple[float, ...] = (*TIMES, np.inf),
    scale: float = 1.0,
    duplicate: float | None = None,
    dtype: type = np.float64,
    **network: float,
) -> float:
    """Largest error of the mean, relative to the largest mean, and of the variance, relative to that at initialisation."""
    rng, spec = np.random.default_rng(0), ns.MLP(**network)
    x, probes = ((scale * rng.normal(size=(n, 3))).astype(dtype) for n in (count, 4))
    y = np.array([1.0, -1.0] * (count // 2))
    if duplicate is not None:
        x[1] = x[0] * dtype(1 + duplicate)
    worst = mp.mpf(0)
    for time in times:
        law = ns.predict_outputs(spec, ns.GradientFlow(time), x, y, probes, full_covariance=False)
        mean, variance = exact_outputs(spec, time, x, y, probes)
        initial = max(exact_kernels(spec, p, p)[0] for p in probes)
        size = max(*map(abs, mean), mp.mpf(10) ** -290)
        worst = max(worst, *(abs(mp.mpf(float(a)) - b) / size for a, b in zip(law.mean, mean, strict=True)))
        worst = max(worst, *(abs(mp.mpf(float(a)) - b) / initial for a, b in zip(law.variance, variance, strict=True)))
    return float(worst)


def monte_carlo_error(num_samples: int) -> float:
    """Error of the mean output over two data sets of N points, of the plane."""
    model, network, key = ns.GenerativeModel(), ns.MLP(1), jax.random.key(0)
    probes = np.array([[0.5, -0.3], [1.0, 2.0], [-2.0, 0.1]])
    flow = ns.GradientFlow(list(TIMES))
    found = ns.predict_bias(model, network, flow, num_samples, method="monte_carlo", key=key, num_datasets=2, probes=probes)
    # Inputs of the plane with d = 2 in place of 100.
    shrunk = np.sqrt(2 / model.input_dim)
    sets = [model.sample(jax.random.fold_in(key, i), num_samples) for i in range(2)]
    worst = 0.0
    for index, time in enumerate(TIMES):
        means = [exact_outputs(network, time, shrunk * np.asarray(d.latents), d.labels, shrunk * probes)[0] for d in sets]
        mean = np.array([float(sum(pair) / 2) for pair in zip(*means, strict=True)])
        worst = max(worst, float(np.max(np.abs(found.mean[index] - mean)) / np.max(np.abs(mean))))
    return worst


def _variances(values: tuple[float, float]) -> str:
    return "weight and bias variance " + ", ".join(f"{v:g}" for v in values)


def _kernel_rows() -> list[Row]:
    rows, pairs = [], ((2.0, 0.0), (1e-8, 1e-8), (1e-8, 1e3), (1e3, 1e-8), (1e3, 1e3))
    for activation in ("linear", "relu", "erf"):
        for depth in (3, 100):
            for weight, bias in pairs:
                for dtype in (np.float64, np.float32):
                    # erf at depth 100 is chaotic above variance 1: roundings of early layers grow.
                    exact = 1e-10 if dtype is np.float64 else 5e-4 if (activation, depth) == ("erf", 100) else 2e-5
                    case = f"{activation}, depth {depth}, {_variances((weight, bias))}, {dtype.__name__}"
                    measure = functools.partial(kernel_error, activation, depth, weight, bias, dtype)
                    grows = activation != "erf" and depth == 100
                    # Amplitudes 1e6 and 0.5 to 1 of the variance per layer: up to 1e316.
                    large = grows and weight == 1e3 and (dtype is np.float32 or activation == "linear")
                    large |= grows and activation == "linear" and weight == 2 and dtype is np.float32
                    words = "an overflow" if large else ""
                    rows.append(Row("kernel", case, measure, exact, words, slow=activation == "linear" or depth == 3))
    for activation in ("linear", "relu", "erf"):
        measure = functools.partial(kernel_error, activation, 100, 1e-8, 0.0)
        rows.append(Row("kernel", f"{activation}, depth 100, {_variances((1e-8, 0.0))}", measure, words="an underflow"))
    rows.append(Row("kernel", "tanh, inputs 1e6", step_kernel_error, words="resolved by the quadrature of tanh"))
    return rows


LAWS: dict[str, dict] = {
    "predictivity (0.5, 0.9)": {"rho": (0.5, 0.9)},
    "predictivity (0.5, 0.5)": {"rho": (0.5, 0.5)},
    "predictivity (0.5 + 1e-12, 0.9)": {"rho": (0.5 + 1e-12, 0.9)},
    "predictivity (0.85, 1 - 1e-12)": {"rho": (0.85, ALMOST)},
    "predictivity (1 - 1e-12, 1 - 1e-12)": {"rho": (ALMOST, ALMOST)},
    "ratio 1e-6": {"alpha": (1e-6, 1.0)},
    "ratio 1e6": {"alpha": (1e6, 1.0)},
    "amplifications 1e-6": {"alpha": (1e-6, 1e-6)},
    "amplifications 1e6": {"alpha": (1e6, 1e6)},
    "correlation 1 - 1e-9": {"sigma": 1 - 1e-9},
    "correlation -1 + 1e-9": {"sigma": -1 + 1e-9},
}
ROUNDING = "rounding moves the bias"
EXPECTED: dict[tuple[str, str], str] = {
    ("population", "ratio 1e6"): ROUNDING,
    ("population", "amplifications 1e6"): ROUNDING,
    ("dataset_averaged", "ratio 1e6"): "not to be trusted",
    ("dataset_averaged", "amplifications 1e6"): ROUNDING,
    ("population_flow", "ratio 1e6"): "ran out of max_steps",
    ("population_flow", "amplifications 1e6"): "ran out of max_steps",
    ("population_flow", "amplifications 1e-6"): "within the rounding of f_0",
}


def _law_rows() -> list[Row]:
    flow = {"key": jax.random.key(0), "num_inits": 1, "orthogonal": True, "order": 12, "random_init": False}
    moderate = {"times": (1.0, 300.0), "max_steps": 2000}
    methods = {
        "population": ({"method": "population"}, 2e-3),
        "population, mean": ({"method": "population", "random_init": False}, 0.0),
        "population, ReLU, mean": ({"method": "population", "depth": 1, "random_init": False}, 0.0),
        "population, biases": ({"method": "population", "bias_variance": 0.5, "random_init": False}, 0.0),
        "leading_order": ({"method": "leading_order"}, 1e-12),
        "dataset_averaged": ({"method": "dataset_averaged", "num_samples": 10**9}, 2e-3),
        "population_flow": ({"method": "population_flow", **flow, **moderate}, 0.0),
    }
    rows = []
    for name, (options, allowed) in methods.items():
        for case, law in LAWS.items():
            if (name, case) == ("population_flow", "predictivity (1 - 1e-12, 1 - 1e-12)"):
                continue  # see _other_rows
            words = EXPECTED.get((name, case), "")
            rows.append(Row(name, case, functools.partial(bias_error, **options, **law), allowed, words))
    return rows


def _dataset_rows() -> list[Row]:
    rows = []
    for count in (2, 6):
        for depth, weight, bias in ((1, 2.0, 0.0), (100, 2.0, 0.0), (3, 1e-8, 0.0), (3, 1e3, 0.0), (3, 1e3, 1e3)):
            spec = {"depth": depth, "weight_variance": weight, "bias_variance": bias}
            for scale in (1e-6, 1.0, 1e6):
                case = f"N = {count}, depth {depth}, {_variances((weight, bias))}, inputs {scale:g}"
                measure = functools.partial(dataset_error, count, scale=scale, **spec)
                rows.append(Row("dataset", case, measure, 1e-6, slow=(count, depth, scale) != (2, 1, 1.0)))
    near = functools.partial(dataset_error, 2, times=(1e-12, 1.0), duplicate=1e-9, depth=1)
    rows.append(Row("dataset", "N = 2, opposite labels at points a relative 1e-9 apart, t <= 1", near, 1e-6))
    late = functools.partial(dataset_error, 2, times=(np.inf,), duplicate=1e-9, depth=1)
    rows.append(Row("dataset", "the same, t = inf", late, words="eigenvalues below", slow=False))
    flat = functools.partial(dataset_error, 2, times=(np.inf,), depth=3, weight_variance=1e-8, bias_variance=1e-8)
    rows.append(Row("dataset", "N = 2, depth 3, both variances 1e-8, t = inf", flat, words="eigenvalues below"))
    single = functools.partial(dataset_error, 2, dtype=np.float32, depth=1)
    rows.append(Row("dataset", "N = 2, depth 1, float32", single, 1e-4))
    rows.append(Row("monte_carlo", "N = 2", functools.partial(monte_carlo_error, 2), 1e-9))
    rows.append(Row("monte_carlo", "N = 6", functools.partial(monte_carlo_error, 6), 1e-9))
    return rows


def _other_rows() -> list[Row]:
    flow = {"method": "population_flow", "key": jax.random.key(0), "num_inits": 1, "orthogonal": True, "order": 12}
    early = functools.partial(bias_error, **flow, random_init=False, times=(1e-12,))
    late = functools.partial(bias_error, **flow, random_init=False, times=(1e12,), max_steps=500)

    def few() -> float:
        ns.predict_bias(ns.GenerativeModel(), ns.MLP(0), ns.GradientFlow(3.0), 2)
        return float("nan")

    almost = functools.partial(bias_error, **flow, rho=(ALMOST, ALMOST), random_init=False, times=(1.0, 300.0))
    ties = functools.partial(bias_error, method="population", rho=(0.9, 0.9), random_init=False)
    return [
        Row("population_flow", "t = 1e-12, float32", early, words="within the rounding of f_0"),
        # 30 of 900 probes lie on the boundary, where the solver's error decides the sign.
        Row(
            "population_flow",
            "predictivity (1 - 1e-12, 1 - 1e-12): probes on the boundary",
            almost,
            words="within the solver's error of the decision boundary",
        ),
        Row("population_flow", "t = 1e12, 500 steps", late, words="ran out of max_steps=500"),
        Row("dataset_averaged", "N = 2", few, words="few for an average over data sets"),
        Row("population, mean", "equal predictivities: probes on the boundary", ties, 0.0),
    ]


ROWS = [*_kernel_rows(), *_law_rows(), *_dataset_rows(), *_other_rows()]

INTRODUCTION = """# Extreme inputs

Every answer at the ends of the valid range, against references of 60 digits. A row has the discrepancy that was measured,
or the error or warning that came, or both. An error is a `ValueError`; a warning is an `UntrustedPredictionWarning` with the
size of what it warns of. The rows are also tests: `pytest -m "slow or not slow" tests/contract/test_extremes.py`.

Kernels: largest relative error of NNGP and NTK over generic, parallel, antiparallel and nearly parallel pairs of the plane, at
inputs of size 1e-6, 1 and 1e6, against the recursion in 60 digits.

Predictors on infinite data: largest error of the bias at t = 1e-12, 1, 300 and 1e12 (population_flow: 1 and 300), against the
closed form of linear networks, weight variance 2, d = 100. "mean" leaves out the random output at initialisation; "biases" has
bias variance 0.5 and the mean only; "ReLU" is one hidden layer, whose mean is linear. "dataset_averaged" has N = 1e9 where no N
is named.

Data sets: error of the mean output relative to its largest, and of the variance relative to that at initialisation, at the same
times and t = inf, against an eigendecomposition in 60 digits.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--only", default="", help="of rows whose name holds this")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    lines: list[str] = []
    group = None
    for row in ROWS:
        if arguments.only not in row.id:
            continue
        found, text = signals(row)
        print(f"{row.id}: {found:.2g} (allowed {row.allowed:g}) {text}", flush=True)
        if row.group != group:
            group = row.group
            lines += ["", f"## {group}", "", "| case | discrepancy | error or warning |", "| --- | --- | --- |"]
        shown = "" if not np.isfinite(found) else "0" if found == 0 else f"{found:.1e}"
        lines.append(f"| {row.case} | {shown} | {text.split(' | ')[0].replace('|', chr(92) + '|')} |")
    versions = f"This page: Python {platform.python_version()}, jax {jax.__version__}, mpmath {mp.__version__}; cpu."
    if arguments.output:
        arguments.output.write_text(INTRODUCTION + "\n" + versions + "\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

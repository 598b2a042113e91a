"""Logistic loss with a frozen kernel: against another integrator on other nodes, and against trained wide networks.

    python benchmarks/losses.py [--minutes 12]   # goes on where it stopped
    python benchmarks/losses.py --table          # prints the summary of what is there

Two parts, of one row each in `results/losses.csv` per setting and time, written as it is finished.

**integrator**: infinite data, no output at initialisation. SciPy's DOP853 at a relative tolerance of 1e-9 on the coefficients
a' = P+ - s(Theta a) at nodes of the whole plane, with angles equally spaced in the embedded plane and Gauss-Legendre radii:
no eigenfunctions, no symmetry, no merged rays. `outputs`: the largest difference at the probes over the largest output.

**networks**: width 1024 in the NTK parameterisation, full-batch gradient descent on the mean of log(1 + exp(-y f)), each from
its own initial output, which the prediction is given. `difference`: of the bias, a mean over networks of its size.
"""

from __future__ import annotations

import argparse
import pathlib
import time
from typing import Any

import jax
import numpy as np
import records
from scipy.integrate import solve_ivp
from scipy.special import expit

import ntk_shortcuts as ns
from ntk_shortcuts.laws.kernel import LawKernel

RESULTS = pathlib.Path(__file__).parent / "results" / "losses.csv"
COLUMNS = ("part", "setting", "time", "bias", "reference", "difference", "outputs", "single", "seconds", "reference_seconds")
TIMES = np.array([3.0, 30.0, 300.0, 3000.0])
# Name: predictivities, amplifications, depth, activation, bias variance, and angles and radii of the reference.
INTEGRATOR = {
    "linear, ratio 1": ((0.85, 0.9), (1.0, 1.0), 0, "relu", 0.0, 40, 20),
    "linear, ratio 4": ((0.85, 0.9), (4.0, 1.0), 0, "relu", 0.0, 120, 20),
    "relu 1, ratio 1": ((0.85, 0.9), (1.0, 1.0), 1, "relu", 0.0, 48, 20),
    "relu 1, ratio 4": ((0.85, 0.9), (4.0, 1.0), 1, "relu", 0.0, 110, 20),
    "relu 1, ratio 8": ((0.7, 0.9), (8.0, 1.0), 1, "relu", 0.0, 240, 20),
    "relu 2, ratio 1": ((0.85, 0.9), (1.0, 1.0), 2, "relu", 0.0, 110, 18),
    "relu 2, ratio 4": ((0.85, 0.9), (4.0, 1.0), 2, "relu", 0.0, 200, 18),
    "relu 2, ratio 8": ((0.8, 0.9), (8.0, 1.0), 2, "relu", 0.0, 280, 18),
    "relu 3, ratio 4": ((0.85, 0.9), (4.0, 1.0), 3, "relu", 0.0, 220, 18),
    "relu 2 with biases, ratio 4": ((0.85, 0.9), (4.0, 1.0), 2, "relu", 0.1, 180, 18),
    "erf 1, ratio 2": ((0.8, 0.9), (2.0, 1.0), 1, "erf", 0.0, 80, 20),
    "erf 2, ratio 4": ((0.85, 0.9), (4.0, 1.0), 2, "erf", 0.1, 80, 20),
}
# Name: amplifications, depth, activation, samples.
NETWORKS = {
    "relu 1, ratio 1, N = 100": ((1.0, 1.0), 1, "relu", 100),
    "relu 1, ratio 4, N = 100": ((4.0, 1.0), 1, "relu", 100),
    "relu 2, ratio 1, N = 100": ((1.0, 1.0), 2, "relu", 100),
    "relu 2, ratio 4, N = 100": ((4.0, 1.0), 2, "relu", 100),
    "erf 1, ratio 4, N = 100": ((4.0, 1.0), 1, "erf", 100),
    "erf 2, ratio 1, N = 100": ((1.0, 1.0), 2, "erf", 100),
    "relu 1, ratio 8, N = 60": ((8.0, 1.0), 1, "relu", 60),
    "relu 3, ratio 1, N = 60": ((1.0, 1.0), 3, "relu", 60),
}
WIDTH, RATE, STEPS = 1024, 1.0, [3, 30, 100, 300]


def plane_nodes(model: Any, angles: int, radii: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents (m, 2) and weights (m,) of the whole plane."""
    alpha, factor = np.asarray(model.amplification), np.linalg.cholesky(np.asarray(model.covariance))
    angle = 2 * np.pi * (np.arange(angles) + 0.5) / angles
    rays = np.linalg.solve(factor, np.stack([np.cos(angle), np.sin(angle)]) / alpha[:, None]).T
    length = np.linalg.norm(rays, axis=1)
    points, weights = np.polynomial.legendre.leggauss(radii)
    mean = np.linalg.solve(factor, np.asarray(model.means))
    end = np.linalg.norm(mean) + 8
    radius = end * (points + 1) / 2
    whitened = (rays / length[:, None])[:, None, :] * radius[None, :, None]
    # d(whitened angle) / d(embedded angle): the determinant of the map between them over the squared length.
    turn = 1 / (np.prod(alpha) * abs(np.linalg.det(factor)) * length**2)
    density = sum(np.exp(-np.sum((whitened - s * mean) ** 2, axis=-1) / 2) for s in (1, -1)) / (4 * np.pi)
    mass = (2 * np.pi / angles) * turn[:, None] * (weights * end / 2 * radius)[None, :] * density
    kept = mass.ravel() > 1e-12
    return (whitened @ factor.T).reshape(-1, 2)[kept], mass.ravel()[kept]


def against_integrator(name: str) -> list[dict[str, Any]]:
    predictivity, amplification, depth, activation, bias_variance, angles, radii = INTEGRATOR[name]
    model, network = ns.GenerativeModel(predictivity, amplification), ns.MLP(depth, activation, bias_variance=bias_variance)
    began = time.perf_counter()
    p = ns.predict_bias(model, network, ns.GradientFlow(TIMES), method="population", loss="logistic", random_init=False)
    seconds, began = time.perf_counter() - began, time.perf_counter()
    latents, weights = plane_nodes(model, angles, radii)
    kernel = LawKernel(model, network)
    train, cross = (np.asarray(kernel(points, latents).ntk) for points in (latents, p.probes))
    positive = expit(2 * latents @ np.asarray(model.bayes_direction))
    solved = solve_ivp(
        lambda _, a: positive - expit(train @ (weights * a)),
        (0, TIMES[-1]),
        0 * weights,
        "DOP853",
        TIMES,
        rtol=1e-9,
        atol=1e-11,
    )
    outputs = (cross @ (weights[:, None] * solved.y)).T
    reference_seconds = time.perf_counter() - began
    rows = []
    for index, t in enumerate(TIMES):
        reference = float(ns.metrics.shortcut_bias(outputs[index], model))
        size = float(np.max(np.abs(p.mean[index] - outputs[index])) / np.max(np.abs(outputs[index])))
        values = ("integrator", name, t, p.bias[index], reference, abs(p.bias[index] - reference), size, np.nan)
        values = (*values, seconds, reference_seconds)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def against_networks(name: str) -> list[dict[str, Any]]:
    amplification, depth, activation, samples = NETWORKS[name]
    model, training = ns.GenerativeModel((0.85, 0.9), amplification), ns.GradientDescent(RATE, STEPS)
    began = time.perf_counter()
    network = ns.MLP(depth, activation, width=WIDTH)
    ensemble = ns.train_ensemble(model, network, training, samples, 2, 3, key=jax.random.key(0), loss="logistic")
    reference_seconds, predicted, seconds = time.perf_counter() - began, [], 0.0
    for index in range(2):
        own = ensemble.initial_train_outputs[index], ensemble.initial_outputs[index]
        began = time.perf_counter()
        options = {"dataset": ensemble.dataset(index), "initial_outputs": own, "loss": "logistic"}
        predicted.append(ns.predict_bias(model, ns.MLP(depth, activation), training, method="dataset", **options).bias)
        seconds += time.perf_counter() - began
    trained, predicted = np.asarray(ensemble.bias), np.stack(predicted, axis=1)
    rows = []
    for index, steps in enumerate(STEPS):
        means, single = (predicted[index].mean(), trained[index].mean()), np.mean(np.abs(predicted[index] - trained[index]))
        values = ("networks", name, RATE * steps, *means, abs(means[0] - means[1]), np.nan, single, seconds, reference_seconds)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def read() -> list[dict[str, Any]]:
    return records.read(RESULTS, words=COLUMNS[:2])


def write(rows: list[dict[str, Any]]) -> None:
    rounded = [{k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    records.add(RESULTS, rounded, COLUMNS)


def table(rows: list[dict[str, Any]]) -> str:
    lines = []
    for part, heads in (
        ("integrator", ("bias", "outputs, relative")),
        ("networks", ("bias, predicted and trained", "difference")),
    ):
        times = sorted({row["time"] for row in rows if row["part"] == part})
        lines += ["", f"| {part}: {heads[0]} / {heads[1]} | " + " | ".join(f"t = {t:g}" for t in times) + " |"]
        lines.append("| --- |" + " --- |" * len(times))
        for name in dict.fromkeys(row["setting"] for row in rows if row["part"] == part):
            of = {row["time"]: row for row in rows if row["part"] == part and row["setting"] == name}
            last = {t: of[t]["outputs"] if part == "integrator" else of[t]["difference"] for t in times}
            cells = [f"{of[t]['bias']:.3f}, {of[t]['reference']:.3f} / {last[t]:.1g}" for t in times]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        of = [row for row in rows if row["part"] == part]
        if of:
            size, worst = np.mean([row["difference"] for row in of]), max(row["difference"] for row in of)
            lines += ["", f"{part}: difference of the bias {size:.4f} on average, {worst:.4f} at most, {len(of)} rows."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    began = time.monotonic()
    if not arguments.table:
        jax.config.update("jax_enable_x64", True)
        done = {(row["part"], row["setting"]) for row in read()}
        tasks = [("integrator", against_integrator, name) for name in INTEGRATOR]
        tasks += [("networks", against_networks, name) for name in NETWORKS]
        for part, measure, name in tasks:
            if (part, name) in done:
                continue
            if time.monotonic() - began > 60 * arguments.minutes:
                break
            rows = measure(name)
            write(rows)
            print(part, name, [f"{row['difference']:.4f} {row['outputs']:.1e}" for row in rows], flush=True)
    print(table(read()))


if __name__ == "__main__":
    main()

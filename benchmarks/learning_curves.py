"""Learning curves of kernel regression that others published with code, from our spectrum and our fixed point.

    python benchmarks/learning_curves.py --checkout PATH

The setting of figure 6 of Canatar, Bordelon & Pehlevan (2021, arXiv 2006.13198): NTK of a ReLU network of one hidden layer
without biases, inputs uniform on the unit sphere in 25 dimensions, a linear target, three levels of label noise, no ridge;
test error against the number of samples. Writes
results/learning_curves.json. PATH is a checkout of github.com/Pehlevan-Group/kernel-generalization (MIT
licence), of which only the shipped numbers are read. Side by side: their theory, which cuts the spectrum at degree 199, their
kernel regression, their networks of width 50000, our fixed point (`scalar_kappa` on the spectrum of
`MLP.kernels_from_gram`), the eigenlearning
equations (Simon et al., arXiv 2110.03922) written here on their own, from the kernel in closed form, and kernel regression
with our kernel.
"""

from __future__ import annotations

import argparse
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq
from scipy.special import comb, roots_gegenbauer

import ntk_shortcuts as ns
from ntk_shortcuts.methods.average.deterministic_equivalent import scalar_kappa

CURVES = pathlib.Path(__file__).parent / "results/learning_curves.json"
DIMENSION, TEST_POINTS = 25, 1500
# The ReLU kernel has no odd part beyond degree 1; what lies above degree 12 is learnt to less than 1e-3 here.
DEGREES = np.array([0, 1, 2, 4, 6, 8, 10, 12])
# Label noise of the published run (`params` of its error_theory.npz): 1.131, 1.656 and 2.313 in its parameter alpha.
NOISE = np.array([0.02848173, 0.09055289, 0.14391058])
# Of the same record: the trace on degrees 2 to 199 over that on degree 1, plus 1 (`alpha_s[0]`); 1.6623 for all degrees.
PUBLISHED_TAIL = 1.6564108
RECORDS = "PrecomputedData/SynthDataNTK_NN/NNExp_width_50000-layer_1-fn_mode_1"


def levels(kernel: np.ndarray, nodes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues by degree and their multiplicities, on the uniform sphere, from the kernel at cosines `nodes`."""
    order = (DIMENSION - 2) / 2
    polynomials = [np.ones_like(nodes), nodes]
    for k in range(1, DEGREES[-1]):
        polynomials.append(((2 * k + 2 * order) * nodes * polynomials[k] - k * polynomials[k - 1]) / (k + 2 * order))
    multiplicities = [1.0, DIMENSION]
    multiplicities += [(2 * k + DIMENSION - 2) / k * comb(k + DIMENSION - 3, k - 1, exact=True) for k in range(2, 13)]
    eigenvalues = np.array([weights @ (kernel * polynomials[k]) for k in DEGREES])
    return eigenvalues, np.array(multiplicities)[DEGREES]


def our_kernel(cosines: np.ndarray) -> np.ndarray:
    """NTK at weight variance 1 of unit vectors; theirs is twice that, which sets the size of their target."""
    network = ns.MLP(1, weight_variance=1.0)
    rows, columns = np.ones(cosines.shape[0]), np.ones(cosines.shape[1])
    return 2 * np.asarray(network.kernels_from_gram(cosines, rows, columns, 1).ntk)


def ours(counts: np.ndarray, spectrum: tuple[np.ndarray, np.ndarray], trace: float) -> np.ndarray:
    """Test error (noise levels, counts) of a kernel of the given trace, by the fixed point."""
    eigenvalues, multiplicities = map(jnp.asarray, spectrum)
    tail = trace - float(eigenvalues @ multiplicities)
    power = float(multiplicities[1] * eigenvalues[1] ** 2)
    errors = []
    for count in counts:

        def kappa(z: jax.Array, count: float = float(count)) -> jax.Array:
            return scalar_kappa(-z + 0j, eigenvalues, count, multiplicities).real

        # Modes of the tail are not learnt: their trace is a ridge. The overfitting factor is the derivative of kappa in it.
        found, factor = jax.jvp(kappa, (jnp.asarray(tail / count),), (jnp.asarray(1.0),))
        learnt = eigenvalues / (eigenvalues + found)
        errors.append(factor * power * (1 - learnt[1]) ** 2 + (factor - 1) * NOISE)
    return np.array(errors).T


def eigenlearning(counts: np.ndarray, spectrum: tuple[np.ndarray, np.ndarray], trace: float) -> np.ndarray:
    """The peer: sum_i m_i L_i + ridge / kappa = n, E_0 = n / (n - sum_i m_i L_i^2), E_test = E_0 ((1 - L_1)^2 v^2 + noise)."""
    eigenvalues, multiplicities = spectrum
    ridge, errors = trace - eigenvalues @ multiplicities, []
    for count in counts:

        def excess(log_kappa: float, count: float = count) -> float:
            kappa = np.exp(log_kappa)
            return multiplicities @ (eigenvalues / (eigenvalues + kappa)) + ridge / kappa - count

        kappa = np.exp(brentq(excess, -40, 20, xtol=1e-14, rtol=1e-15))
        learnt = eigenvalues / (eigenvalues + kappa)
        factor = count / (count - multiplicities @ learnt**2)
        errors.append(factor * (multiplicities[1] * eigenvalues[1] ** 2 * (1 - learnt[1]) ** 2 + NOISE) - NOISE)
    return np.array(errors).T


def regression(counts: np.ndarray, power: float, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Kernel regression with our kernel: mean and standard error of the test error, (noise levels, counts)."""
    rng = np.random.default_rng(0)

    def sphere(count: int) -> np.ndarray:
        x = rng.normal(size=(count, DIMENSION))
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    means, errors = [], []
    for count in counts:
        values = []
        for _ in range(repeats):
            train, test, direction = sphere(count), sphere(TEST_POINTS), sphere(1)[0] * np.sqrt(power * DIMENSION)
            labels = (train @ direction)[:, None] + np.sqrt(NOISE) * rng.normal(size=(count, 1))
            factor = cho_factor(our_kernel(np.clip(train @ train.T, -1, 1)) + 1e-12 * np.eye(count))
            outputs = our_kernel(np.clip(test @ train.T, -1, 1)) @ cho_solve(factor, labels)
            values.append(np.mean((outputs - (test @ direction)[:, None]) ** 2, axis=0))
        means.append(np.mean(values, axis=0))
        errors.append(np.std(values, axis=0, ddof=1) / np.sqrt(repeats))
        print(f"kernel regression, N = {count} done", flush=True)
    return np.array(means).T, np.array(errors).T


def figures() -> dict[str, Figure]:
    """Of the curves of the last run."""
    curves = {name: np.array(values) for name, values in json.loads(CURVES.read_text()).items()}
    counts, sampled = curves["counts"], curves["regression"].shape[1]
    figure = Figure(figsize=(6.4, 4.2), dpi=130, layout="constrained")
    axis = figure.subplots()
    colours = ("#0072B2", "#D55E00", "#009E73")
    for i, colour in enumerate(colours):
        axis.plot(counts, curves["ours"][i], color=colour, label=f"fixed point, label noise variance {NOISE[i]:.3f}")
        axis.plot(counts, curves["published theory"][i], "--", color="black", lw=1)
        axis.plot(counts, curves["published kernel"][i], "o", mfc="none", color=colour, ms=5)
        axis.plot(counts[1:], curves["published networks"][i, 1:], "x", color=colour, ms=5)
        axis.errorbar(
            counts[:sampled], curves["regression"][i], 2 * curves["regression error"][i], fmt=".", color=colour, ms=7, capsize=2
        )
    for style, label in (("--", "published theory"), ("o", "published kernel regression"), ("x", "published networks")):
        axis.plot([], [], style, mfc="none", color="black", lw=1, ms=5, label=label)
    axis.errorbar([], [], [], fmt=".", color="black", ms=7, capsize=2, label="kernel regression here, 2 standard errors")
    axis.set(xscale="log", yscale="log", xlabel="training samples N", ylabel="test error (noise-free labels)")
    axis.legend(fontsize=8, frameon=False, loc="lower left")
    return {"learning_curves": figure}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=pathlib.Path, required=True)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--largest", type=int, default=1062, help="of the kernel regression here")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    published = {
        name: np.load(arguments.checkout / RECORDS / f"error_{name}.npz") for name in ("theory", "exp_kernel", "exp_NN")
    }
    counts = published["theory"]["arr_0"]

    nodes, weights = roots_gegenbauer(2000, (DIMENSION - 2) / 2)
    weights = weights / weights.sum()
    spectrum = levels(our_kernel(nodes[None])[0], nodes, weights)
    angle = np.arccos(nodes)
    closed_form = (np.sin(angle) + 2 * (np.pi - angle) * nodes) / np.pi
    print("largest difference of the kernels", np.max(np.abs(closed_form - our_kernel(nodes[None])[0])))
    peer_spectrum = levels(closed_form, nodes, weights)
    power = float(spectrum[1][1] * spectrum[0][1] ** 2)
    print("power of the target", power, "published 0.04; eigenvalues", spectrum[0])

    full = ours(counts, spectrum, 2.0)
    cut = ours(counts, spectrum, spectrum[0][0] + spectrum[0][1] * DIMENSION * PUBLISHED_TAIL)
    peer = eigenlearning(counts, peer_spectrum, 2.0)
    few = counts[counts <= arguments.largest]
    regressed, spread = regression(few, power, arguments.repeats) if len(few) else (np.zeros((3, 0)),) * 2
    theory = published["theory"]["arr_2"][..., 0]
    curves = {
        "counts": counts,
        "ours": full,
        "published theory": theory,
        "published kernel": published["exp_kernel"]["arr_0"][0],
        "published networks": published["exp_NN"]["arr_0"][0],
        "regression": regressed,
        "regression error": spread,
    }
    print(f"fixed point against the peer: largest relative difference {np.max(np.abs(full / peer - 1)):.1e}")
    print(f"spectrum cut as published, against the published theory: {np.max(np.abs(cut / theory - 1)):.1e} relative at most")
    gap = full[:, : len(few)] / regressed - 1 if len(few) else np.zeros((3, 0))
    for low, high in ((0, 20), (20, 200), (200, np.inf)):
        chosen = gap[:, (few > low) & (few <= high)]
        if chosen.size:
            where = f"against kernel regression here, N in ({low}, {high}]"
            print(f"{where}: mean {chosen.mean():.3f}, worst {np.abs(chosen).max():.3f}")
    repeats = 15  # `num_repeat_ker`; the shipped spread is that of single repeats
    distance = curves["published kernel"] - full
    many = counts > 1000
    print(
        f"against the published kernel regression, N > 1000: {np.max(np.abs(distance / full)[:, many]):.3f} relative at most, "
        f"root mean square {np.sqrt(np.mean((distance / published['exp_kernel']['arr_1'][0])[:, many] ** 2 * repeats)):.1f} "
        f"of its standard errors; the published theory {np.max(np.abs(curves['published kernel'] / theory - 1)[:, many]):.3f}"
    )
    print(
        "| N | noise | published theory | fixed point, cut as published | fixed point | peer | kernel regression here |", end=""
    )
    print(" published kernel regression | published networks, width 50000 |")
    print("| " + " | ".join(["---"] * 9) + " |")
    for index in (3, 6, 9, 12, 15, 19):
        for i in (0, 2):
            here = f"{regressed[i, index]:.4f} +- {spread[i, index]:.4f}" if index < len(few) else ""
            row = [theory, cut, full, peer]
            values = " | ".join(f"{curve[i, index]:.4f}" for curve in row)
            last = f"{curves['published kernel'][i, index]:.4f} | {curves['published networks'][i, index]:.4f}"
            print(f"| {counts[index]} | {NOISE[i]:.3f} | {values} | {here} | {last} |")
    CURVES.write_text(json.dumps({name: np.asarray(values).tolist() for name, values in curves.items()}) + "\n")


if __name__ == "__main__":
    main()

"""D9.4: the output at initialisation, and feedback of the variance. Run by itself, or as `ntk-shortcuts derive D9.4`."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import sympy as sp
from d9_3_variance_over_data_sets import (
    KERNEL,
    PROBES,
    RULE,
    _data_sets,
    _gram,
    _kappa,
    _laws,
    _nodes,
    _parts,
    _smoothed,
    _variance,
)

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, lines, main, told_apart
from ntk_shortcuts.numerics import in_float64


def _split_residual() -> sp.Expr:
    """Variance of W y + (1 - W) f_0 over two data sets and f_0, minus its three parts; a point x and two inputs."""
    prior = sp.Symbol("K_x", real=True)
    row = sp.Matrix([sp.symbols("k_1:3", real=True)])  # K(x, X)
    own = sp.Matrix(2, 2, lambda i, j: sp.Symbol(f"K_{min(i, j)}{max(i, j)}", real=True))
    maps = [sp.Matrix([sp.symbols(f"w{n}_1:3", real=True)]) for n in range(2)]
    labels = [sp.Matrix(sp.symbols(f"y{n}_1:3", real=True)) for n in range(2)]

    def remaining(W: sp.Matrix) -> sp.Expr:
        return (sp.Matrix([[prior]]) - 2 * W * row.T + W * own * W.T)[0]

    learnt = [(W * y)[0] for W, y in zip(maps, labels, strict=True)]
    mean, average = sum(learnt) / 2, (maps[0] + maps[1]) / 2
    whole = sum((m - mean) ** 2 + remaining(W) for m, W in zip(learnt, maps, strict=True)) / 2
    moved = sum(((W - average) * own * (W - average).T)[0] for W in maps) / 2
    return sp.expand(whole - (sum((m - mean) ** 2 for m in learnt) / 2 + remaining(average) + moved))


def steps() -> list[Step]:
    assert _split_residual() == 0
    # Averages over one class, a + c b of a target without noise: half the sum of their squares.
    a, b, m, F = sp.symbols("a b m F", real=True)
    by_class = [(1 + c * m) * F for c in (1, -1)]
    assert sp.expand(sum(by_class) / 2 - F) == 0 and sp.expand((by_class[0] - by_class[1]) / 2 - m * F) == 0
    assert sp.expand(sum((a + c * b) ** 2 for c in (1, -1)) / 2 - (a**2 + b**2)) == 0
    # A residual that is off by e, of mean 0 and variance v, independent of the sample.
    y, A, B, e, v = sp.symbols("y A B e v", real=True)
    square = sp.Poly(sp.expand((A * (y - e) - B) ** 2), e)
    over_e = square.coeff_monomial(1) + v * square.coeff_monomial(e**2)
    assert sp.expand(over_e - ((y * A - B) ** 2 + A**2 * v)) == 0
    # The scalar form: v = gamma (E + v).
    gamma, E = sp.symbols("gamma E", positive=True)
    (whole,) = sp.solve(sp.Eq(v, gamma * (E + v)), v)
    assert sp.simplify(E + whole - E / (1 - gamma)) == 0
    return [
        Step(
            r"A data set acts on targets by a linear map $W$ of its inputs alone (the kernel does not move), and the trained "
            r"network is $f = f_0 + W(y - f_0)$ (D4.4), with a random $f_0$ of mean 0 and covariance $K$, independent of the "
            r"data. With the mean map $\bar W$, and everything at a point $x$ (checked with two data sets of two samples),",
            lines(
                r"\mathrm{Var} f = \mathrm{Var}(Wy) + R + E_{f_0}\mathrm{Var}(Wf_0),",
                r"R = K(x, x) - 2(\bar WK)(x, x) + (\bar WK\bar W^T)(x, x)",
            ),
        ),
        Step(
            r"The mean map is that of D9.2.6, of any target $h$ in the place of $f^*$:",
            r"(\bar Wh)(x) = \mathrm{Re}\sum_kc_k(W_kh)(x),\qquad (W_kh)(x) = \int p\,\frac{H_k(x, z)}{\kappa_k(z)}\,h(z)\,dz",
        ),
        Step(
            r"$\mathrm{Var}(Wf_0)$ is D9.3 for the target $h = f_0$, which has no label noise. Its influence is linear in "
            r"$h$, and with $K = \sum_q\chi_q\chi_q^T$ the mean over $f_0$ is a sum over $h = \chi_q$ ($a$ and $b$ as "
            r"in D9.3, for $N/2$ samples of each class; $b_q = 0$ for independent labels):",
            lines(
                r"F_h(x; z) = \mathrm{Re}\sum_kc_k\frac{H_k(x, z)}{\kappa_k(z)}\,\big(h(z) - (W_kh)(z)\big),",
                r"E_{f_0}\mathrm{Var}(Wf_0) = \frac1N\sum_q\Big(\int p\,F_{\chi_q}^2 - a_q^2 - b_q^2\Big),",
                r"a_q = \int p\,F_{\chi_q},\quad b_q = \int p\,f^*F_{\chi_q}",
            ),
        ),
        Step(
            r"The residual of a sample is $y - f_-(z)$ with the network trained on the *other* samples, which varies from data "
            r"set to data set, independently of the sample. Let $v$ be this variance over data sets, without $R$, which the "
            r"influences of step 3 have already. With $F = yA - B$ (D9.3),",
            r"E[F^2 \mid z] = (1 - f^{*2})A^2 + (f^*A - B)^2 + A^2v(z)",
        ),
        Step(
            r"So the variance over data sets feeds back into itself, as a geometric series that begins with $v_0$, D9.3 and "
            r"what step 3 adds to it:",
            r"v(x) = v_0(x) + \frac1N\int p(z)\,A(x, z)^2\,v(z)\,dz",
        ),
        Step(
            r"In the scalar form (D9.1) one resolvent has $A = \sum_iL_i\phi_i(x)\phi_i(z)$ and $\phi_i\phi_j \to "
            r"\delta_{ij}$. Without what $a$ and $b$ take off, $v = \gamma(\mathcal E + v)$ with the mean squared residual "
            r"$\mathcal E$ of the mean, and the test error is the known one:",
            r"\mathcal E + v = \frac{\mathcal E}{1 - \gamma},\qquad \gamma = \frac1N\sum_iL_i^2",
        ),
    ]


@jax.jit
def _code(poles, residues, samples):
    """Nodes of a small rule, and the code's two variances at the probes, of data sets and of what is left of f_0."""
    rays, laws = _laws(poles, residues, samples, _SWITCHED, initial_modes=RULE[0])
    return rays, {flags: (law.data_variance, law.variance - law.data_variance) for flags, law in laws.items()}


# The code's switches random_init, feedback and balanced.
_SWITCHED = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0))


@jax.jit
def _nngp(points1, points2):
    return KERNEL(points1, points2).nngp


class _Plane:
    """All nodes in the plane with their Gram matrices, and the probes."""

    def __init__(self, rays):
        self.points, self.weights, self.targets = _nodes(rays)
        self.gram, self.cross = (np.asarray(_gram(points, self.points)) for points in (self.points, PROBES))
        self.prior, self.prior_cross = (np.asarray(_nngp(points, self.points)) for points in (self.points, PROBES))
        self.prior_own = np.diag(np.asarray(_nngp(PROBES, PROBES)))

    def remaining(self, map_: np.ndarray) -> np.ndarray:
        """Variance of (1 - W) f_0 at the probes, of maps (..., probes, nodes)."""
        change = np.sum((map_ @ self.prior - 2 * self.prior_cross) * map_, axis=-1)
        return self.prior_own + change

    def left(self, poles, residues, samples: int) -> np.ndarray:
        """What the mean map leaves of the initial output's variance, at the probes."""
        whole = np.zeros(self.cross.shape)
        for pole, residue in zip(poles, residues, strict=True):
            density = self.weights / _kappa(pole, self.gram, self.weights, samples)
            whole += (residue * _smoothed(self.cross, self.gram, density) * density).real
        return self.remaining(whole)

    def learnt(self, poles, residues, samples: int, balanced: bool, cross: np.ndarray) -> np.ndarray:
        """What the initial output adds to the variance over data sets, at points with kernels `cross` to the nodes."""
        influence: Any = 0.0
        for pole, residue in zip(poles, residues, strict=True):
            density = self.weights / _kappa(pole, self.gram, self.weights, samples)
            section = _smoothed(cross, self.gram, density)
            left_over = np.eye(len(density)) - _smoothed(self.gram, self.gram, density) * density
            # (points, samples' nodes, target's nodes): linear in the target.
            influence = influence + (residue * (section * density / self.weights)[:, :, None] * left_over).real
        moments = np.einsum("xzu,xzu->xz", influence @ self.prior, influence)
        together = np.einsum("z,xzu->xu", self.weights, influence)
        apart = balanced * np.einsum("z,xzu->xu", self.weights * self.targets, influence)
        averages = sum(np.sum((part @ self.prior) * part, axis=1) for part in (together, apart))
        return (moments @ self.weights - averages) / samples

    def of_labels(self, poles, residues, samples: int, cross: np.ndarray) -> np.ndarray:
        """The variance over balanced data sets of D9.3, at points with kernels `cross` to the nodes."""
        _, label, residual = _parts(poles, residues, self.gram, cross, self.weights, self.targets, samples)
        return _variance(label, residual, self.weights, self.targets, samples)

    def fed_back(self, poles, residues, samples: int, first: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """v = v_0 + B v at the probes, solved at the nodes, from v_0 = first(cross) at points."""

        def passed(cross: np.ndarray) -> np.ndarray:
            _, label, _ = _parts(poles, residues, self.gram, cross, self.weights, self.targets, samples)
            return label**2 * self.weights / samples

        at_nodes = np.linalg.solve(np.eye(len(self.points)) - passed(self.gram), first(self.gram))
        return first(self.cross) + passed(self.cross) @ at_nodes


def _sampled(plane: _Plane, strength: float, samples: int, data_sets: int) -> tuple[np.ndarray, np.ndarray]:
    """Squares (data sets, probes) of deviations of the outputs averaged over initialisations, and what is left of f_0.

    Kernel ridge regression on balanced data sets that are drawn from the nodes.
    """
    outputs, left = [], []
    for system, counts, labels in _data_sets(strength, plane.weights, plane.targets, plane.gram, samples, data_sets):
        solved = np.linalg.solve(system.T, plane.cross.T).T / samples
        outputs.append(solved @ labels)
        left.append(plane.remaining(solved * counts))
    return (np.array(outputs) - np.mean(outputs, axis=0)) ** 2, np.array(left)


def _score(samples: np.ndarray, expected: np.ndarray) -> float:
    errors = samples.std(axis=0) / np.sqrt(len(samples))
    return float(np.max(np.abs(samples.mean(axis=0) - expected) / errors))


@in_float64
def checks() -> list[Check]:
    samples, found = 60, []
    filter_ = ns.GradientFlow(30.0).rational(samples, 1.0, 6)
    flow = np.asarray(filter_.poles), np.asarray(filter_.residues), samples
    rays, code = _code(*flow[:2], float(samples))
    plane = _Plane(rays)
    for name, balanced in (("balanced", 1.0), ("independent labels", 0.0)):
        left, learnt = plane.left(*flow), plane.learnt(*flow, bool(balanced), plane.cross)
        (plain, _), (whole, got) = code[0.0, 0.0, balanced], code[1.0, 0.0, balanced]
        found.append(compare(f"gradient flow, {name}: what is left of the initial output", np.ones(3), got / left, 1e-8))
        added = (whole - plain) / learnt
        found.append(compare(f"gradient flow, {name}: variance of what is learnt of it", np.ones(3), added, 1e-8))
    # The code sums ten terms of the series.
    for name, start in (("", 0.0), (" and the initial output", 1.0)):
        exact = plane.fed_back(
            *flow, lambda cross, start=start: plane.of_labels(*flow, cross) + start * plane.learnt(*flow, True, cross)
        )
        got = code[start, 1.0, 1.0][0]
        found.append(compare(f"gradient flow: variance with feedback{name}", np.ones(3), got / exact, 1e-6))
    plane.weights = plane.weights / plane.weights.sum()
    samples, strength = 120, 0.1
    ridge = [-strength / samples], [1.0], samples
    squares, left = _sampled(plane, strength, samples, 6000)
    alone, remaining = plane.of_labels(*ridge, plane.cross), plane.left(*ridge)
    fed = plane.fed_back(*ridge, lambda cross: plane.of_labels(*ridge, cross))
    learnt = plane.fed_back(*ridge, lambda cross: plane.learnt(*ridge, True, cross))
    missing = np.abs(left.mean(axis=0) / (remaining + learnt) - 1)
    return [
        *found,
        Check("z-score of the variance over 6000 data sets, N = 120", _score(squares, fed), 4.0),
        told_apart("without feedback", _score(squares, alone)),
        Check("variance over f_0 beyond the formula, of next order in 1/N = 1/120: part of it", float(np.max(missing)), 0.04),
        told_apart("without what is learnt of f_0", _score(left[:1000], remaining)),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(8.4, 3.6), dpi=150, layout="constrained")
    spread, initial = drawing.subplots(1, 2)
    plane = _Plane(_code(np.array([-0.1 + 0j] * 6), np.ones(6) + 0j, 60.0)[0])
    plane.weights = plane.weights / plane.weights.sum()
    counts, at = np.array([20, 40, 80, 160]), 1
    fed, relative, errors, whole, remaining, left, left_errors = ([] for _ in range(7))
    for count in counts:
        squares, remainders = _sampled(plane, 0.001 * count, int(count), 3000)
        ridge = [-0.001], [1.0], int(count)
        alone = plane.of_labels(*ridge, plane.cross)[at]
        fed.append(plane.fed_back(*ridge, lambda cross, ridge=ridge: plane.of_labels(*ridge, cross))[at] / alone)
        relative.append(squares.mean(axis=0)[at] / alone)
        errors.append(2 * squares.std(axis=0)[at] / alone / np.sqrt(len(squares)))
        remaining.append(plane.left(*ridge)[at])
        learnt = plane.fed_back(*ridge, lambda cross, ridge=ridge: plane.learnt(*ridge, True, cross))[at]
        whole.append(remaining[-1] + learnt)
        left.append(remainders.mean(axis=0)[at])
        left_errors.append(2 * remainders.std(axis=0)[at] / np.sqrt(len(remainders)))
    sampled = {"fmt": "o", "mfc": "none", "color": "C0", "label": "3000 data sets, two standard errors"}
    spread.plot(counts, fed, "-", color="C0", label="with feedback")
    spread.plot(counts, np.ones(len(counts)), "--", color="C1", label="without (D9.3)")
    spread.errorbar(counts, relative, errors, **sampled)
    spread.set(title="Variance over data sets, z = (2, -1)", ylabel="over that without feedback", ylim=(0.8, None))
    initial.plot(counts, whole, "-", color="C0", label="and what data sets learn of it")
    initial.plot(counts, remaining, "--", color="C1", label="what the mean map leaves")
    initial.errorbar(counts, left, left_errors, **sampled)
    initial.set(title="Variance over initialisations, z = (2, -1)", ylabel="variance of the output", ylim=(0, None))
    for axes in (spread, initial):
        axes.set(xlabel="samples N", xscale="log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D9.4",
    title="Variance over data sets: the output at initialisation, and feedback",
    statement=r"The random output $f_0$ at initialisation adds to the variance $R$, what the mean map of targets to outputs "
    r"leaves of it, and $E_{f_0}\mathrm{Var}(Wf_0)$, the variance over data sets of what they learn of it. The variance $v$ "
    r"over data sets is noise in the residuals of samples: $v = v_0 + \frac1N\int p\,A^2v$.",
    assumptions=[
        r"those of D9.2, which $N/2$ samples of each class change at relative order $1/N$ only; a frozen kernel",
        r"the first two parts to leading order in $1/N$; where training leaves little of $f_0$, higher orders are as large",
        r"feedback is the leading term in $1/N$ at a given $\gamma$ (step 6), a sum over the modes that are learnt; terms of "
        r"the same order in $1/N$ without such a sum are left out",
        r"feedback: one variance $v(z)$ stands for the covariances of the filter's resolvents, which is exact for one of them",
    ],
    builds_on=["D4.4", "D9.1", "D9.2", "D9.3"],
    code=[
        "ntk_shortcuts.methods.average.law.averaged_law",
        "ntk_shortcuts.methods.average.dataset_averaged.DatasetAveraged",
    ],
    source="this project; the scalar form's 1/(1 - gamma): Canatar, Bordelon & Pehlevan (2021), Simon et al. (2021)",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

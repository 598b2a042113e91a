"""D16.1: a large data set projected onto a Krylov space. Run by itself, or as `ntk-shortcuts derive D16.1`."""

import functools

import jax.numpy as jnp
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.methods.exact import exact_outputs, loss_weights
from ntk_shortcuts.methods.krylov import filter_errors, krylov_space, projected_outputs
from ntk_shortcuts.methods.low_rank import Problem
from ntk_shortcuts.numerics import in_float64

RULES = {
    "gradient flow": ns.GradientFlow(np.array([3.0, 30.0, 300.0])),
    "gradient descent": ns.GradientDescent(0.2, 50),
    "ridge": ns.Ridge(np.array([1e-2, 1.0])),
}


def steps() -> list[Step]:
    s = sp.Symbol("s")
    size, columns = 5, sp.Matrix([[1, 2], [0, 1], [2, -1], [1, 1], [-1, 3]])
    root = sp.Matrix(size, size, lambda i, j: (3 * i + 5 * j + i * j) % 7 - 2)
    matrix = root * root.T + sp.eye(size)
    space = sp.Matrix.hstack(columns, matrix * columns)  # of two blocks, in a basis that need not be orthonormal
    # Matrices of quotients of polynomials in s, which are reduced at every step.
    shifted, basis, y, k = (
        part.to_DM().convert_to(sp.QQ.frac_field(s))
        for part in (matrix - s * sp.eye(size), space, columns[:, 0], columns[:, 1])
    )
    inner = (basis.transpose() * shifted * basis).inv()
    residual = {name: b - shifted * basis * inner * basis.transpose() * b for name, b in (("y", y), ("k", k))}
    assert all((basis.transpose() * r).is_zero_matrix for r in residual.values())
    inverse = shifted.inv()
    left_out = k.transpose() * inverse * y - k.transpose() * basis * inner * basis.transpose() * y
    identity = residual["k"].transpose() * inverse * residual["y"]
    assert (left_out - identity).is_zero_matrix and not left_out.is_zero_matrix
    # Block Lanczos: what is beyond the space is in the image of the last block alone.
    orthogonal = sp.eye(size) - space * (space.T * space).inv() * space.T
    assert (orthogonal * matrix * columns).applyfunc(sp.cancel).is_zero_matrix
    assert not (orthogonal * matrix * matrix * columns).applyfunc(sp.cancel).is_zero_matrix
    return [
        Step(
            r"Let $S = \sqrt W\Theta\sqrt W$, B some columns, and Q an orthonormal basis of "
            r"$\mathrm{span}(B, SB, \dots, S^{m-1}B)$. In it a resolvent becomes that of $T = Q^TSQ$, with a residual that is "
            r"orthogonal to the space (checked for exact fractions, every s):",
            r"(S - s)^{-1}b \approx Q(T - s)^{-1}Q^Tb,\qquad r_s = b - (S - s)Q(T - s)^{-1}Q^Tb,\quad Q^Tr_s = 0",
        ),
        Step(
            r"Only the image of the last block leaves the space: with $SQ = QT + Q'(0, R)$ the residual's norm needs no vector "
            r"of the size of the data set.",
            r"|r_s| = \left|R\,\left[(T - s)^{-1}Q^Tb\right]_\mathrm{last}\right|",
        ),
        Step(
            r"What is left out of a resolvent is the resolvent of the residual. Between two columns of B it is one of both "
            r"residuals (checked for exact fractions), and so as small as their product:",
            r"b'^T(S - s)^{-1}b - b'^TQ(T - s)^{-1}Q^Tb = r_s'^T(S - s)^{-1}r_s",
        ),
        Step(
            r"A training rule is a sum of resolvents, $g(\lambda) = \mathrm{Re}\sum_kc_k/(\lambda - s_k)$, and "
            r"$\|(S - s)^{-1}\| = 1/\mathrm{dist}(s, \mathrm{spec}\,S)$:",
            r"|m(x) - \hat m(x)| \le \sum_k\frac{|c_k|\,|r_k^{(x)}|\,|r_k^{(y)}|}{\mathrm{dist}(s_k)},\qquad "
            r"|u_x - \hat u_x| \le \sum_k\frac{|c_k|\,|r_k^{(x)}|}{\mathrm{dist}(s_k)}",
        ),
        Step(
            r"with $u_x = g(S)\sqrt W\Theta(X, x)$. The variance over initialisations is a square in the space of the NNGP "
            r"kernel, $|\phi(x) - \Phi u_x|^2$ with $\Phi^T\Phi = \sqrt WK\sqrt W$, so that its root moves by at most",
            r"|\sigma(x) - \hat\sigma(x)| \le \|\Phi\|\,|u_x - \hat u_x| \le "
            r"\sqrt{\textstyle\sum_iw_iK(x_i, x_i)}\;|u_x - \hat u_x|",
        ),
    ]


@functools.cache
@in_float64
def _problem(count: int = 240) -> Problem:
    rng, rule = np.random.default_rng(3), RULES["gradient flow"]
    inputs, labels = jnp.asarray(rng.normal(size=(count + 20, 8))), jnp.asarray(rng.choice([-1.0, 1.0], count))
    return Problem(
        ns.MLP(2, bias_variance=0.1), rule, inputs[:count], labels, inputs[count:], loss_weights(labels[:, None], None)
    )


@functools.cache
def _matrix() -> tuple[np.ndarray, np.ndarray]:
    """S, and the columns of targets and probes."""
    problem = _problem()
    root = np.sqrt(np.asarray(problem.weights))
    matrix = root[:, None] * np.asarray(problem.network.kernels(problem.points).ntk) * root
    cross = np.asarray(problem.network.kernels(problem.points, problem.probes).ntk)
    return matrix, root[:, None] * np.concatenate([np.asarray(problem.targets)[:, None], cross], axis=1)


def _errors(rule: ns.training.TrainingRule, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Errors of the means and of the filtered columns by the spectrum, and the bounds of both, in a small space."""
    matrix, columns = _matrix()
    space = krylov_space(lambda v: matrix @ v, columns, lambda _: False, most)
    found = filter_errors(space, rule, len(matrix), 1)
    (values, vectors), (inner, turned) = np.linalg.eigh(matrix), np.linalg.eigh(space.projected)
    exact = vectors @ (np.asarray(rule.filter(jnp.asarray(values), len(matrix)))[..., None] * (vectors.T @ columns))
    within = turned @ (np.asarray(rule.filter(jnp.asarray(inner), len(matrix)))[..., None] * (turned.T @ space.start))
    gap = exact - space.basis @ within
    means = np.abs(columns.T @ exact[..., :1] - space.start.T @ within[..., :1])
    return means, np.linalg.norm(gap, axis=-2), found.mean, found.columns


@in_float64
def checks() -> list[Check]:
    found = []
    for name, rule in RULES.items():
        mean, column, mean_bound, column_bound = _errors(rule, 70)
        beyond = max(float(np.max(mean - mean_bound)), float(np.max(column - column_bound)))
        found.append(compare(f"{name}: errors beyond their bounds, at most", [0.0], [max(beyond, 0.0)], 1e-13))
    problem = _problem()
    exact, (law, *_) = exact_outputs(problem, True), projected_outputs(problem, True, 1e-12)
    matrix, columns = _matrix()
    space = krylov_space(lambda v: matrix @ v, columns, lambda _: False, 40)
    pole = -0.01 + 0.02j
    inner = np.linalg.solve(space.projected - pole * np.eye(len(space.projected)), space.start)
    residual = np.linalg.norm(columns - matrix @ space.basis @ inner + pole * (space.basis @ inner), axis=0)
    last = np.linalg.norm(space.beyond @ inner[-space.beyond.shape[1] :], axis=0)
    return [
        *found,
        compare("norms of residuals from the last block", residual, last, 1e-9),
        compare("a space that holds all: the mean", exact.mean, law.mean, 1e-9),
        compare("a space that holds all: the variance", exact.variance, law.variance, 1e-9),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(5, 3.2), dpi=150, layout="constrained")
    axes = drawing.subplots()
    for time, color in zip((3.0, 30.0, 300.0), ("C0", "C1", "C2"), strict=True):
        sizes = range(22, 200, 21)
        pairs = [_errors(ns.GradientFlow(time), size) for size in sizes]
        axes.semilogy(sizes, [np.max(bound) for _, _, bound, _ in pairs], color=color, label=f"t = {time:g}")
        axes.semilogy(sizes, [np.max(error) for error, *_ in pairs], "o", color=color, ms=4)
    axes.set(xlabel="dimensions of the space, of 240", ylabel="largest error of the mean", ylim=(1e-16, None))
    axes.legend(frameon=False, fontsize="small", title="bound; error as points", title_fontsize="small")
    return drawing


DERIVATION = Derivation(
    label="D16.1",
    title="A large data set projected onto a Krylov space",
    statement=r"In the space of $B, SB, \dots, S^{m-1}B$, with the columns B of targets and probes, a data set of N samples "
    r"is one of few points, with the kernel $T = Q^TSQ$. What mean and standard deviation miss is bounded by residuals that "
    r"are known from the last block alone, for every training rule that is a sum of resolvents.",
    assumptions=[
        r"exact arithmetic, $g(\lambda) = \mathrm{Re}\sum_kc_k/(\lambda - s_k)$ on the spectrum of S",
        r"$\mathrm{dist}(s)$ is the distance from the spectrum of S; the code takes that from "
        r"$[\theta_{\min}/2, \theta_{\max}]$, $\theta$ the eigenvalues of T, which converge to those of S from within",
    ],
    code=[
        "ntk_shortcuts.methods.krylov.filter_errors",
        "ntk_shortcuts.methods.krylov.projected_outputs",
        "ntk_shortcuts.issues.UnfinishedSolve",
    ],
    source="Golub & Underwood (1977) for block Lanczos; the bounds for training rules: this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

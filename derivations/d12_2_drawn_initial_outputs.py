"""D12.2: random outputs at initialisation, drawn. Run by itself, or as `ntk-shortcuts derive D12.2`."""

import jax
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.methods.any_loss.initial import drawn_initial
from ntk_shortcuts.numerics import in_float64


def steps() -> list[Step]:
    k11, k12, k22 = sp.symbols("k11 k12 k22", positive=True)
    x, y = sp.symbols("x y", real=True)
    # The conditional law of a Gaussian pair from its density.
    matrix = sp.Matrix([[k11, k12], [k12, k22]])
    exponent = -(sp.Matrix([x, y]).T * matrix.inv() * sp.Matrix([x, y]))[0] / 2
    variance = sp.simplify(-1 / sp.diff(exponent, y, 2))
    mean = sp.solve(sp.diff(exponent, y), y)[0]
    assert sp.simplify(mean - k12 / k11 * x) == 0
    assert sp.simplify(variance - (k22 - k12**2 / k11)) == 0
    # In coordinates: psi(X) = sqrt(k11), psi(x) = k12/sqrt(k11), f_0(X) = psi(X) xi.
    xi = sp.Symbol("xi")
    assert sp.simplify(mean.subs(x, sp.sqrt(k11) * xi) - k12 / sp.sqrt(k11) * xi) == 0
    assert sp.simplify(variance - (k22 - (k12 / sp.sqrt(k11)) ** 2)) == 0
    # Any weights of the node give the same coordinates.
    w = sp.Symbol("w", positive=True)
    assert sp.simplify(k12 * sp.sqrt(w) / sp.sqrt(w * k11) - k12 / sp.sqrt(k11)) == 0
    return [
        Step(
            r"Outputs at initialisation are Gaussian with the NNGP kernel $K$. With $\sqrt wK(X, X)\sqrt w = V\Lambda V^T$ and "
            r"$\psi(x) = K(x, X)\sqrt wV\Lambda^{-1/2}$ the kernel on the nodes is $\psi\cdot\psi$, so that a draw there is",
            r"f_0(X) = \psi(X)\cdot\xi,\qquad \xi\sim N(0, 1)",
        ),
        Step(
            r"Given these, the output at a test point is Gaussian (from the density of a pair):",
            r"E[f_0(x)\mid f_0(X)] = K(x, X)K(X, X)^{-1}f_0(X) = \psi(x)\cdot\xi",
        ),
        Step(
            r"What is left does not act on training, which sees the nodes alone. It is kept as a variance, not drawn:",
            r"\mathrm{Var}[f_0(x)\mid f_0(X)] = K(x, x) - |\psi(x)|^2",
        ),
        Step(
            r"After training the output at $x$ is Gaussian given $\xi$, and its sign has a mean in closed form; the average "
            r"over $\xi$ is "
            r"over draws, the second half of them the first with the opposite sign.",
            r"E\,\mathrm{sign}f_t(x) = E_\xi\Big[2\Phi\Big(\frac{\psi(x)\cdot\xi + \varphi(x)\cdot q_t(\xi)}"
            r"{\sqrt{K(x, x) - |\psi(x)|^2}}\Big) - 1\Big]",
        ),
    ]


def _kernels():
    inputs = np.random.default_rng(0).normal(size=(14, 3))
    kernel = np.asarray(ns.MLP(2, bias_variance=0.1).kernels(inputs).nngp)
    weights = np.random.default_rng(1).dirichlet(np.ones(8))
    return kernel[:8, :8], kernel[8:, :8], np.diag(kernel)[8:], weights


@in_float64
def checks() -> list[Check]:
    train, cross, own, weights = _kernels()
    drawn = drawn_initial(train, cross, own, weights, 2**14, jax.random.key(0))
    solved = np.linalg.solve(train, cross.T)
    error = np.abs(drawn.at_nodes.T @ drawn.at_nodes / 2**14 - train).max() / train.max()
    # What the squared loss makes of them has a closed form, with the same variance in all.
    rule, ntk = (
        ns.GradientFlow(5.0),
        np.asarray(ns.MLP(2, bias_variance=0.1).kernels(np.random.default_rng(0).normal(size=(14, 3))).ntk),
    )
    law = ns.predict_outputs(
        ns.MLP(2, bias_variance=0.1),
        rule,
        *(lambda x: (x[:8], np.zeros(8), x[8:]))(np.random.default_rng(0).normal(size=(14, 3))),
    )
    values, vectors = np.linalg.eigh(ntk[:8, :8] / 8)
    operator = ntk[8:, :8] @ (vectors * np.asarray(rule.filter(values))) @ vectors.T / 8
    after = drawn.at_points - drawn.at_nodes @ operator.T
    return [
        compare("mean at test points given the nodes", drawn.at_nodes @ solved, drawn.at_points, 1e-9),
        compare(
            "variance at test points given the nodes", own - np.sum(cross.T * solved, axis=0), np.asarray(drawn.variance), 1e-9
        ),
        Check("covariance of 16,384 draws at the nodes, relative", float(error), 0.02),
        compare("variance after training under squared loss", law.variance, np.mean(after**2, axis=0) + drawn.variance, 0.05),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    nodes, line = np.linspace(-2, 2, 5), np.linspace(-3, 3, 161)
    network = ns.MLP(1, "erf", bias_variance=0.3)
    inputs = np.stack([np.concatenate([nodes, line]), np.ones(166)], axis=1)
    kernel = np.asarray(network.kernels(3 * inputs).nngp)
    drawn = drawn_initial(kernel[:5, :5], kernel[5:, :5], np.diag(kernel)[5:], np.full(5, 0.2), 4, jax.random.key(1))
    for row, at_nodes, color in zip(drawn.at_points[:2], drawn.at_nodes, ("#31688e", "#35b779"), strict=False):
        spread = np.sqrt(np.asarray(drawn.variance))
        axes.plot(line, row, color=color)
        axes.fill_between(line, row - spread, row + spread, color=color, alpha=0.25, lw=0)
        axes.plot(nodes, at_nodes, "o", color=color)
    axes.set(xlabel="input", ylabel="output at initialisation", title="drawn at five nodes; the rest is kept as a variance")
    return drawing


DERIVATION = Derivation(
    label="D12.2",
    title="Random outputs at initialisation, drawn where training sees them",
    statement=r"$f_0 = \psi\cdot\xi$ at the nodes, and Gaussian at test points given that, with mean $\psi(x)\cdot\xi$ and "
    r"variance "
    r"$K(x, x) - |\psi(x)|^2$, $\psi(x) = K(x, X)\sqrt wV\Lambda^{-1/2}$.",
    assumptions=["outputs at initialisation are Gaussian with the NNGP kernel: infinitely wide networks"],
    builds_on=["D4.4", "D12.1"],
    code=["ntk_shortcuts.methods.any_loss.initial"],
    source="this project; conditional Gaussian laws are textbook",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

"""D13.4: minibatches as counts at nodes. Run by itself, or as `ntk-shortcuts derive D13.4`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, main, told_apart
from ntk_shortcuts.laws.two_features.mixture import mixture_nodes
from ntk_shortcuts.methods.flow.equation import FlowRules, Labels, Start
from ntk_shortcuts.methods.flow.optimizers import Descent, Member, draw_batch
from ntk_shortcuts.numerics import in_float64

B = sp.Symbol("B", positive=True)


def steps() -> list[Step]:
    # Two nodes and the rest: one draw's covariance, and that of B independent ones, averaged.
    p, q = sp.symbols("p q", positive=True)
    one = sp.Matrix([[p * (1 - p), -p * q], [-p * q, q * (1 - q)]])
    indicators = {(1, 0): p, (0, 1): q, (0, 0): 1 - p - q}
    mean, second = sp.zeros(2, 1), sp.zeros(2, 2)
    for indicator, chance in indicators.items():
        drawn = sp.Matrix(indicator)
        mean, second = mean + chance * drawn, second + chance * drawn * drawn.T
    assert sp.simplify(second - mean * mean.T - one) == sp.zeros(2, 2)
    a, b = sp.symbols("a b", real=True)
    gradient = sp.Matrix([a, b])
    assert sp.expand((gradient.T * one * gradient)[0] - (p * a**2 + q * b**2 - (p * a + q * b) ** 2)) == 0
    return [
        Step(
            r"A sample lies at node $m$ with label $y$ with probability $p_{my} = w_mP(y\mid z_m)$, of a quadrature that is "
            r"exact for polynomials up to some degree. A batch of $B$ has counts $c$ of a multinomial, and the gradient",
            r"\hat G = \frac1B\sum_{my}c_{my}\nabla\ell(f(z_m), y)",
        ),
        Step(r"Its mean is the gradient of the risk over the nodes,", r"E\hat G = \sum_{my}p_{my}\nabla\ell(f(z_m), y)"),
        Step(
            r"and its covariance, by that of a multinomial, $\mathrm{diag}\,p - pp^T$ over $B$,",
            r"\mathrm{Cov}\,\hat G = \frac1B\Big(\sum_{my}p_{my}\nabla\ell\,\nabla\ell^T - E\hat G\,E\hat G^T\Big)",
        ),
        Step(
            r"Both are the quadrature of what batches of the law's own samples have: Adam's second moments see the same "
            r"noise, without any sample being drawn from the law.",
            r"E\,\hat G_j^2 = (E\hat G_j)^2 + \mathrm{Var}\,\hat G_j",
        ),
    ]


def _member(nodes, weights, positive) -> tuple[Descent, Member]:
    rules = FlowRules(jnp.asarray(0.0), jnp.asarray(0.0), "squared", False, False, 1, "float64")
    descent = Descent(None, jnp.asarray(0.1), rules, optax.sgd, 16, None)
    start = Start(None, nodes, jnp.zeros(len(nodes)), Labels(positive, weights, None))
    return descent, Member(start, jax.random.key(0))


def _gradients(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a linear network at fixed weights, squared loss: by batches at nodes, by batches of samples, and at full risk."""
    model, weight = ns.GenerativeModel((0.8, 0.9), (4.0, 1.0)), np.array([0.1, 0.05])
    nodes, weights = mixture_nodes(model, 16)
    positive = (1 + model.class_expectation(nodes)) / 2
    descent, member = _member(nodes, weights, positive)
    _, batch = jax.jit(jax.vmap(lambda i: draw_batch(descent, i, member, jnp.zeros(0, int))))(jnp.arange(number))
    u = np.asarray(nodes) * np.array([4.0, 1.0])

    def slope(at, share, label):
        return np.einsum("sb,sb,sbk->sk", share, at @ weight - label, at)

    rows = u[np.asarray(batch.rows)]
    at_nodes = slope(rows, np.asarray(batch.positive), 1.0) + slope(rows, np.asarray(batch.negative), -1.0)
    rng = np.random.default_rng(1)
    labels = rng.choice([-1.0, 1.0], (number, 16))
    noise = rng.normal(size=(number, 16, 2)) @ np.linalg.cholesky(np.asarray(model.covariance)).T
    samples = (labels[..., None] * np.asarray(model.means) + noise) * np.array([4.0, 1.0])
    sampled = slope(samples, np.full((number, 16), 1 / 16), labels)
    whole = np.asarray(weights) * (u @ weight - (2 * np.asarray(positive) - 1)) @ u
    return at_nodes, sampled, whole


@in_float64
def checks() -> list[Check]:
    number = 20_000
    at_nodes, sampled, whole = _gradients(number)
    error = np.std(at_nodes, axis=0) / np.sqrt(number)
    spread = np.array([np.var(part, axis=0) for part in (at_nodes, sampled)])
    # The variance of a sample variance, from the fourth moments of what was drawn.
    fourth = [np.mean((part - part.mean(0)) ** 4, axis=0) for part in (at_nodes, sampled)]
    scatter = np.sqrt(sum((f - v**2) / number for f, v in zip(fourth, spread, strict=True)))
    difference = float(np.max(np.abs(spread[0] - spread[1]) / scatter))
    without = float(np.max(np.abs(2 * spread[0] - spread[1]) / scatter))
    return [
        Check("z-score of the mean gradient against the risk's", float(np.max(np.abs(at_nodes.mean(0) - whole) / error)), 4.0),
        Check("z-score of its variance against batches of samples", difference, 4.0),
        told_apart("batches half as large", without),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    at_nodes, sampled, whole = _gradients(6000)
    for part, name, color in ((sampled, "batches of samples", "0.7"), (at_nodes, "counts at nodes", "C0")):
        kind = "stepfilled" if color == "0.7" else "step"
        axes.hist(part[:, 0], bins=60, density=True, color=color, label=name, histtype=kind)
    axes.axvline(whole[0], color="k", lw=1, ls=":", label="the risk's")
    axes.set(xlabel="gradient along the shortcut, batches of 16", ylabel="density")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D13.4",
    title="Minibatches as counts at nodes",
    statement=r"A batch of $B$ draws over nodes and labels, with probabilities $w_mP(y\mid z_m)$, has the mean and the "
    r"covariance of the gradient of $B$ samples of the law, to the accuracy of the quadrature.",
    assumptions=["independent samples", "nodes that resolve gradients and their squares"],
    builds_on=["D4.6"],
    code=["ntk_shortcuts.methods.flow.optimizers.draw_batch", "ntk_shortcuts.methods.flow.optimizers"],
    source="worked out for this package",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

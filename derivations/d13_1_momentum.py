"""D13.1: momentum and schedules as a filter, and when steps diverge. Run by itself, or as `ntk-shortcuts derive D13.1`."""

import jax.numpy as jnp
import numpy as np
import optax
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

eta, lam, beta, w, r = sp.symbols("eta lambda beta w r", positive=True)
NESTEROV = (False, True)


def _matrix(nesterov: bool, decay: sp.Expr | int = 0) -> sp.Matrix:
    """A step on (g, m), without what is added."""
    a, b = (1 + beta, beta**2) if nesterov else (1, beta)
    return sp.Matrix([[1 - eta * decay - eta * a * lam, -eta * b], [lam, beta]])


def _bound(nesterov: bool, decay: sp.Expr | int = 0) -> sp.Expr:
    """The rate at which an eigenvalue of the step is -1."""
    return sp.simplify(sp.solve(sp.expand((_matrix(nesterov, decay) + sp.eye(2)).det()), eta)[0])


def steps() -> list[Step]:
    assert sp.simplify(_bound(False) - 2 * (1 + beta) / lam) == 0
    assert sp.simplify(_bound(True) - 2 * (1 + beta) / (lam * (1 + 2 * beta))) == 0
    assert sp.simplify(_bound(False, w) - 2 / (lam / (1 + beta) + w)) == 0
    for nesterov in NESTEROV:
        step = _matrix(nesterov)
        # An eigenvalue of 1 needs eta lambda = 0, and the product of both stays below 1: -1 is where stability ends.
        assert sp.simplify((step - sp.eye(2)).det() - eta * lam) == 0
        assert sp.simplify(step.det() - beta * (1 - (eta * lam if nesterov else 0))) == 0
        # Small rates: one eigenvalue is beta, the other moves by -eta lambda/(1 - beta).
        slow = sp.expand((step - (1 - eta * lam / (1 - beta)) * sp.eye(2)).det())
        assert sp.simplify(slow.subs(eta, 0)) == 0 and sp.simplify(sp.diff(slow, eta).subs(eta, 0)) == 0
    return [
        Step(
            r"Along an eigenfunction of eigenvalue $\lambda$, outputs $f_0 + \lambda g\,(f^* - f_0)$ have the gradient "
            r"$\lambda\,(\lambda g - 1)\,(f^* - f_0)$ in function space, that is $G = \lambda g - 1$ on the scale of $g$. "
            r"The optimiser is linear in its gradients, so that its steps on the parameters are steps of $g$ and of a buffer",
            r"m\leftarrow\beta m + G,\qquad g\leftarrow g - \eta_k m\quad\text{or, Nesterov,}\quad g\leftarrow "
            r"g - \eta_k(G + \beta m)",
        ),
        Step(
            r"from $g = m = 0$: exact for any schedule $\eta_k$, at $\lambda = 0$ too, and a polynomial in $\lambda$. A "
            r"constant rate is a power of one affine map, found by squaring. Its matrix on $(g, m)$ is",
            sp.Eq(sp.Symbol("M"), _matrix(False), evaluate=False),
        ),
        Step(
            r"Its eigenvalues leave the unit disc at $-1$, when",
            sp.Eq(eta, _bound(False), evaluate=False),
        ),
        Step(r"with Nesterov's momentum when", sp.Eq(eta, _bound(True), evaluate=False)),
        Step(
            r"and of both eigenvalues at a small rate one is $\beta$, forgotten, the other",
            sp.Eq(r, 1 - eta * lam / (1 - beta), evaluate=False),
        ),
    ]


def _iterated(rate_of, count: int, momentum: float, nesterov: bool, lam: np.ndarray) -> np.ndarray:
    g, buffer = np.zeros_like(lam), np.zeros_like(lam)
    for step in range(count):
        gradient = lam * g - 1
        buffer = momentum * buffer + gradient
        g = g - rate_of(step) * (gradient + momentum * buffer if nesterov else buffer)
    return g


@in_float64
def checks() -> list[Check]:
    values, schedule = np.array([0.0, 1e-9, 0.01, 0.4, 1.3]), optax.cosine_decay_schedule(0.8, 80)
    found = []
    for nesterov in NESTEROV:
        name = "Nesterov" if nesterov else "heavy ball"
        for kind, rate, rate_of in (("constant", 0.8, lambda k: 0.8), ("cosine", schedule, lambda k: np.asarray(schedule(k)))):
            rule = ns.GradientDescent(rate, [3, 80], 0.9, nesterov)
            expected = np.stack([_iterated(rate_of, count, 0.9, nesterov, values) for count in (3, 80)])
            found.append(
                compare(f"filter, {name}, {kind} rate: step by step", expected, rule.filter(jnp.asarray(values)), 1e-11)
            )
        bound = 3.8 / (2.8 if nesterov else 1.0)
        left = [
            abs(1 - float(ns.GradientDescent(factor * bound, 4_000, 0.9, nesterov).filter(jnp.ones(1))[0]))
            for factor in (0.999, 1.001)
        ]
        found.append(Check(f"{name}: what is left just below the bound", left[0], 1e-3))
        found.append(Check(f"{name}: it grows just above the bound, 1 / what is left", 1 / left[1], 1e-3))
    return found


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    products = jnp.asarray(np.geomspace(1e-4, 1.0, 400))
    rules = {
        "plain": ns.GradientDescent(1.0, 100),
        "momentum 0.9": ns.GradientDescent(1.0, 100, 0.9),
        "Nesterov 0.9": ns.GradientDescent(1.0, 100, 0.9, nesterov=True),
        "momentum 0.9, cosine": ns.GradientDescent(optax.cosine_decay_schedule(1.0, 100), 100, 0.9),
    }
    for (name, rule), color in zip(rules.items(), ("0.6", "C0", "C2", "C1"), strict=True):
        axes.plot(products, products * np.asarray(rule.filter(products)), color=color, label=name)
    flow = ns.GradientFlow(1000.0)
    axes.plot(products, products * np.asarray(flow.filter(products)), "k:", label=r"flow for $100\eta/(1-\beta)$")
    axes.set(xscale="log", xlabel=r"$\eta\lambda$", ylabel=r"learnt after 100 steps, $\lambda g$")
    axes.legend(frameon=False, fontsize="small")
    return drawing


DERIVATION = Derivation(
    label="D13.1",
    title="Momentum and schedules as a filter",
    statement=r"Heavy-ball and Nesterov momentum with any rates $\eta_k$ act on an eigenfunction as a recursion of $g$ and "
    r"its buffer, exact at every step. Constant steps converge where $\eta\lambda < 2(1+\beta)$, with Nesterov's where "
    r"$\eta\lambda < 2(1+\beta)/(1+2\beta)$, and at small rates they are gradient flow for the time $\sum_k\eta_k/(1-\beta)$.",
    assumptions=[
        "a frozen kernel, squared loss",
        "the buffer starts at 0 and the rate multiplies the whole update (optax, PyTorch)",
    ],
    builds_on=["D4.2"],
    code=["ntk_shortcuts.GradientDescent", "ntk_shortcuts.training.momentum"],
    source="Polyak (1964), Nesterov (1983); the filter in this form: this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

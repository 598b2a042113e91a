"""D4.6: the scatter that minibatches keep up. Run by itself, or as `ntk-shortcuts derive D4.6`."""

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main, told_apart
from ntk_shortcuts.methods.flow.minibatches import draw_pieces, minibatches
from ntk_shortcuts.numerics import in_float64

eta, lam, x, sigma, v = sp.symbols("eta lambda x sigma v", positive=True)
B, s = sp.symbols("B s", positive=True)


def of_steps() -> sp.Expr:
    """Stationary variance of c <- c - eta (lambda c - xi), Var xi = sigma^2 / B."""
    return sp.solve(sp.Eq(v, (1 - eta * lam) ** 2 * v + eta**2 * sigma**2 / B), v)[0]


def of_pieces() -> sp.Expr:
    """Stationary variance of c' = -(lambda c - xi) with xi anew after every time s eta, Var xi = sigma^2 / (B s)."""
    kept = sp.exp(-lam * s * eta)
    return sp.solve(sp.Eq(v, kept**2 * v + ((1 - kept) / lam) ** 2 * sigma**2 / (B * s)), v)[0]


def steps() -> list[Step]:
    small = sp.limit(of_steps() / eta, eta, 0) * eta
    assert sp.simplify(small - eta * sigma**2 / (2 * B * lam)) == 0
    ratio = sp.simplify((of_pieces() / small).subs(s, 2 * x / (eta * lam)))
    assert sp.simplify((ratio - sp.tanh(x) / x).rewrite(sp.exp)) == 0
    assert sp.series(sp.tanh(x) / x, x, 0, 4).removeO() == 1 - x**2 / 3
    # What a short time adds does not depend on s.
    gained = ((1 - sp.exp(-lam * s * eta)) / lam) ** 2 * sigma**2 / (B * s) / (s * eta)
    assert sp.simplify(sp.limit(gained, lam, 0) - eta * sigma**2 / B) == 0
    return [
        Step(
            r"In a direction in which the risk is curved by $\lambda$, a step on a batch moves the deviation $c$ from the "
            r"minimum by the gradient and the noise $\xi$ of its $B$ samples. The variance that the steps keep up is",
            sp.Eq(v, of_steps(), evaluate=False),
        ),
        Step(r"At a small learning rate, $\eta\lambda\ll1$,", sp.Eq(v, small, evaluate=False)),
        Step(
            r"A piece of the flow has the $Bs$ samples of $s$ steps for the time $s\eta$: $c\to e^{-\lambda s\eta}c+"
            r"(1-e^{-\lambda s\eta})\,\xi/\lambda$ with $\mathrm{Var}\,\xi=\sigma^2/(Bs)$. While $\lambda s\eta\ll1$ the "
            r"variance grows by $\eta\sigma^2/B$ per unit of time, as that of the steps does.",
            sp.Eq(v, of_pieces(), evaluate=False),
        ),
        Step(
            r"The ratio of the two, with $x=s\eta\lambda/2$. It starts as $1-x^2/3$.",
            sp.Eq(sp.Symbol(r"\frac{v_\mathrm{pieces}}{v_\mathrm{steps}}"), sp.tanh(x) / x, evaluate=False),
        ),
    ]


def _kept_up(curvature: float, rate: float, pieces: int) -> float:
    """Stationary variance of the pieces, sigma = B = 1, by iteration of the moments."""
    kept = np.exp(-curvature * pieces * rate)
    variance = 0.0
    for _ in range(20_000):
        variance = kept**2 * variance + ((1 - kept) / curvature) ** 2 / pieces
    return variance


@in_float64
def checks() -> list[Check]:
    rate, curvatures, lengths = 0.01, np.array([0.5, 2.0, 10.0]), (1, 8, 60)
    got = [_kept_up(c, rate, length) / (rate / (2 * c)) for c in curvatures for length in lengths]
    arguments = np.array([length * rate * c / 2 for c in curvatures for length in lengths])
    # Samples of the pieces: as many as the steps see, with the covariance of sampling.
    batches = minibatches(16, rate, 0.0, 3000.0)
    weights, positive = jnp.array([0.2, 0.3, 0.5]), jnp.array([0.9, 0.4, 0.1])
    drawn = [draw_pieces(key, positive, weights, batches) for key in jax.random.split(jax.random.key(0), 400)]
    pieces = jax.tree.map(lambda *leaves: jnp.stack(leaves), *drawn)
    lengths = np.diff(np.asarray(batches.steps), prepend=0)
    back = jnp.argsort(pieces.order, axis=-1)
    shares = np.asarray(jnp.take_along_axis(pieces.weights, back, axis=-1))
    hot = shares * np.asarray(jnp.take_along_axis(pieces.positive, back, axis=-1))
    count = 16 * lengths[:, None]
    expected = np.asarray(weights * positive * (1 - weights * positive)) / count
    measured = ((hot - np.asarray(weights * positive)) ** 2 * (shares > 0)).sum(0) / 400
    # Where a node may be empty its share of positive labels is undefined, and both products are zero there.
    measured += (np.asarray(weights * positive) ** 2 * (shares == 0)).sum(0) / 400

    def z_score(variance: np.ndarray) -> float:
        z = (measured / variance - 1) / np.sqrt(2 / 400)
        return abs(float(z.sum() / np.sqrt(z.size)))

    return [
        compare("variance of the pieces against tanh(x)/x, by iteration", np.tanh(arguments) / arguments, got, tolerance=1e-9),
        compare("samples of a piece: B times its steps", np.ones_like(shares.sum(-1)), shares.sum(-1)),
        compare("z-score of the variance of counts over 400 draws, all pieces and nodes", 0, z_score(expected), tolerance=4.0),
        told_apart("batches of 32", z_score(expected / 2)),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    arguments = np.geomspace(0.002, 20, 300)
    axes.plot(arguments, np.tanh(arguments) / arguments, color="#31688e", label=r"$\tanh(x)/x$")
    rate = 0.01
    for length, marker, color in ((1, "o", "#440154"), (8, "s", "#35b779"), (60, "^", "#b8860b")):
        curvatures = np.array([0.5, 2.0, 10.0, 50.0])
        points = length * rate * curvatures / 2
        variances = [_kept_up(c, rate, length) / (rate / (2 * c)) for c in curvatures]
        axes.plot(points, variances, marker, color=color, label=f"s = {length}, by iteration")
    axes.set(xscale="log", xlabel=r"$x=s\eta\lambda/2$", ylabel="variance, pieces over steps", ylim=(0, 1.08))
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D4.6",
    title="The scatter that minibatches keep up",
    statement=r"Steps of learning rate $\eta$ on batches of $B$ samples keep up the variance $\eta\sigma^2/(2B\lambda)$ in a "
    r"direction of curvature $\lambda$ and gradient noise $\sigma^2$. A flow that takes the samples of $s$ steps together for "
    r"the time $s\eta$ keeps up $\tanh(x)/x$ of it, $x=s\eta\lambda/2$, and gains the same variance per unit of time before.",
    assumptions=[
        r"a quadratic risk, noise that does not depend on the deviation",
        r"$\eta\lambda\ll1$",
        "drawn with replacement",
    ],
    builds_on=["D4.2"],
    evidence={"the noise of minibatches": "../evidence/finite_networks.md"},
    code=["ntk_shortcuts.methods.flow.minibatches.draw_pieces"],
    source="worked out for this package; the variance of the steps: Mandt, Hoffman & Blei (2017), section 3",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

"""D7.2: what nesting costs, in amplification. Run by itself, or as `ntk-shortcuts derive D7.2`."""

import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

z, other, x = sp.symbols("z z' x", real=True)
alpha, mu, g = sp.symbols("alpha mu g_w", positive=True)


def _label_moment(power: int) -> sp.Expr:
    """E[y z^power] for odd powers: the moment of N(mu, 1)."""
    density = sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)
    return sp.expand(sp.integrate(sp.expand((mu + x) ** power) * density, (x, -sp.oo, sp.oo)))


def _truncated(kernel: sp.Expr) -> sp.Expr:
    """To order alpha^4."""
    poly = sp.Poly(sp.expand(kernel), alpha)
    return sum(value * alpha**power for (power,), value in poly.terms() if power <= 4)


def _small_kernel(depth: int) -> sp.Expr:
    """k^(depth)(z, z') to order alpha^4, by the small-field map of D7.1 without bias, k' = g k (1 - g k_11 - g k_22)."""
    kernel = alpha**2 * z * other
    for _ in range(depth):
        own = [kernel.subs({a: b}) for a, b in ((other, z), (z, other))]
        kernel = _truncated(g * kernel * (1 - g * own[0] - g * own[1]))
    return kernel


def _availability(depth: int) -> sp.Expr:
    """alpha_eff^2 = E[y k(z, z') y'] / mu^2 to order alpha^4."""
    poly = sp.Poly(_small_kernel(depth), z, other)
    return sp.factor(sum(c * _label_moment(i) * _label_moment(j) for (i, j), c in poly.terms()) / mu**2)


def _sign_moment() -> sp.Expr:
    """E[y sign z]: what a saturated layer keeps of the label."""
    # z = mu + x: P(x > -mu) - P(x < -mu) is the weight between -mu and mu.
    density = sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)
    return sp.simplify(sp.integrate(density, (x, -mu, mu)))


def steps() -> list[Step]:
    assert [_label_moment(power) for power in (1, 3)] == [mu, mu**3 + 3 * mu]
    for depth in range(4):
        gains = sum(g**j for j in range(1, depth + 1))
        assert sp.expand(_availability(depth) - g**depth * alpha**2 * (1 - 2 * (3 + mu**2) * alpha**2 * gains)) == 0
    kept = _sign_moment()
    assert sp.simplify(kept - sp.erf(mu / sp.sqrt(2))) == 0
    # Amplification that makes up for one layer at gain 1: alpha'^2 (1 - 2 (3 + mu^2) alpha'^2) = alpha^2.
    rate = sp.Symbol("r")
    made_up = alpha * (1 + rate * alpha**2)
    balance = sp.Poly(sp.expand(_availability(1).subs(g, 1).subs(alpha, made_up) - alpha**2), alpha).coeff_monomial(alpha**4)
    (solution,) = sp.solve(balance, rate)
    assert sp.expand(solution - 3 - mu**2) == 0
    return [
        Step(
            r"At first a network that is linear in its inputs grows along $E[k(z,z')y']$ of each feature. Its overlap with the "
            r"label, in units in which a feature without nesting has $\alpha^2$, is the availability",
            r"\alpha_{eff}^2=\frac{E[y\,k(z,z')\,y']}{\mu^2},\quad E[yz]=\mu",
        ),
        Step(
            r"Small $\alpha$, $g_b=0$: the map of D7.1, with $E[yz^3]=\mu^3+3\mu$. One layer, then $\eta$ of them:",
            sp.Eq(sp.Symbol("alpha_eff") ** 2, _availability(1)),
        ),
        Step(
            "Each further layer adds a power of the gain to the sum.",
            r"\alpha_{eff}^2=g_w^\eta\alpha^2\left(1-2(3+\mu^2)\alpha^2\sum_{j=1}^\eta g_w^j\right)+O(\alpha^6)",
        ),
        Step(
            r"Exchange rate at gain 1: one more layer is made up for by a factor of amplification",
            sp.Eq(sp.Symbol("alpha'") / alpha, 1 + solution * alpha**2),
        ),
        Step(
            r"Large $\alpha$: tanh becomes a sign and the first layer $k\to\mathrm{sign}(zz')$, of which the label keeps "
            r"$E[y\,\mathrm{sign}\,z]=2\rho-1$:",
            sp.Eq(sp.Symbol("E[y sign z]"), kept),
        ),
        Step(
            r"Later layers see a variance $g_w\tau_\eta$ and correlation $\pm1$. The availability is bounded at every "
            r"amplification: "
            r"a competing feature without nesting that has more is not caught up with.",
            r"\alpha_{eff}\to\sqrt{\tau_\eta}\,\frac{2\rho-1}{\mu},\quad \tau_1=1,\quad "
            r"\tau_{\eta+1}=E\tanh^2(\sqrt{g_w\tau_\eta}\,g),\ g\sim N(0,1)",
        ),
    ]


def _label_rule(mean: float, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of N(mean, 1)."""
    nodes = np.arange(-8.5, 8.55, spacing)
    weights = np.exp(-(nodes**2) / 2)
    return mean + nodes, weights / weights.sum()


def _from_code(strength: float, depth: int, rho: float, weight: float = 1.0, spacing: float = 0.25) -> float:
    model = ns.GenerativeModel((rho, 0.9), (strength, 1.0), nesting=(depth, 0), nesting_gain=weight)
    mean = float(model.means[0])
    nodes, weights = _label_rule(mean, spacing)
    gram = np.asarray(model.gram(np.stack([nodes, np.zeros_like(nodes)], axis=1)))
    return float(weights @ gram @ weights) / mean**2


def _one_layer(strength: float, mean: float) -> float:
    """E over the unit's slope G of (E_z tanh(alpha z G))^2: the same number with the integrals the other way round."""
    nodes, weights = np.polynomial.legendre.leggauss(300)
    slopes, mass = 4.5 * (nodes + 1), weights * np.exp(-((4.5 * (nodes + 1)) ** 2) / 2)
    latents, density = (mean + 9 * nodes, weights * np.exp(-((9 * nodes) ** 2) / 2))
    response = np.tanh(strength * slopes[:, None] * latents) @ (density / density.sum())
    return float(response**2 @ (mass / mass.sum())) / mean**2


def _saturation(depth: int, weight: float = 1.0) -> float:
    level = mpmath.mpf(1)
    for _ in range(depth - 1):
        root = mpmath.sqrt(weight * level)
        level = 2 * mpmath.quad(lambda v, root=root: mpmath.tanh(root * v) ** 2 * mpmath.npdf(v), [0, 3, 12])
    return float(level)


@in_float64
def checks() -> list[Check]:
    mean = float(ns.GenerativeModel((0.85, 0.9)).means[0])
    strengths = (1e-3, 0.2, 0.7, 1.0)  # a spacing of 0.1 is at rounding up to there
    swapped = [_from_code(s, 1, 0.85, spacing=0.1) / _one_layer(s, mean) - 1 for s in strengths]
    # The coefficient of alpha^4 by Richardson's extrapolation in alpha^2, up to three layers and two gains.
    coefficients = []
    for depth, weight in ((1, 1.0), (2, 1.0), (3, 1.5)):
        gains = sum(weight**j for j in range(1, depth + 1))
        rates = [
            (1 - _from_code(s, depth, 0.85, weight) / (weight**depth * s**2)) / (2 * (3 + mean**2) * gains * s**2)
            for s in (4e-3, 8e-3, 16e-3)
        ]
        first = [(4 * rates[0] - rates[1]) / 3, (4 * rates[1] - rates[2]) / 3]
        coefficients.append((16 * first[0] - first[1]) / 15 - 1)
    # The approach to saturation at depth 1 goes as 1/alpha.
    limit = (2 * 0.85 - 1) ** 2 / mean**2
    gaps = [1 - _one_layer(s, mean) / limit for s in (8.0, 16.0)]
    return [
        compare("availability from the code's Gram against the integrals the other way round, relative", 0, swapped),
        # Rounding of 1e-16 over alpha^2, and alpha^6 left by the extrapolation.
        compare("coefficient of alpha^4 from the code, 1 to 3 layers, relative", 0, coefficients, tolerance=1e-6),
        # At alpha = 8 and 16 the next order in 1/alpha still shows.
        compare("order in 1/alpha of the approach to saturation, against 1", 1, np.log2(gaps[0] / gaps[1]), tolerance=0.1),
    ]


def _matched(strength: float, depth: int, core: float) -> float:
    """The amplification without nesting of the same early bias, on an infinitely fine probe grid.

    With v the ratio of weights times means, its reliance is v - 1 up to v = 1 and 1 - 1/v beyond.
    """
    model = ns.GenerativeModel((0.85, 0.9), (strength, core), nesting=(depth, 0))
    means = np.asarray(model.means)
    nodes, weights = _label_rule(means[0], 0.25)
    probes = (np.arange(150) + 0.5) / 150 * 3 * means[0]
    latents, other_latents = (np.stack([v, np.zeros_like(v)], axis=1) for v in (probes, nodes))
    response = np.asarray(model.gram(latents, other_latents)) @ weights
    found = np.mean(2 * np.minimum(1, response / (3 * core**2 * means[1] ** 2)) - 1)
    ratio = 1 + found if found < 0 else 1 / (1 - found)
    return core * means[1] / means[0] * np.sqrt(ratio)


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    strengths = np.geomspace(0.05, 6, 9)
    mean = float(ns.GenerativeModel((0.85, 0.9)).means[0])
    for depth, color, style in ((0, "k", "-"), (1, "C0", "--"), (2, "C1", "-."), (3, "C2", ":")):
        values = strengths if not depth else [np.sqrt(_from_code(s, depth, 0.85)) for s in strengths]
        axes.loglog(strengths, values, style, color=color, label=rf"$\eta={depth}$")
        if depth:
            axes.axhline(np.sqrt(_saturation(depth)) * 0.7 / mean, color=color, lw=0.7)
            marked = (0.3, 3.0)
            axes.plot(marked, [_matched(s, depth, 0.4) for s in marked], "o", ms=4, color=color)
    axes.plot([], [], "o", ms=4, color="0.4", label="same early bias")
    axes.set(xlabel=r"amplification $\alpha$", ylabel=r"availability $\alpha_{eff}$", ylim=(0.04, 2))
    axes.legend(loc="upper left")
    return drawing


DERIVATION = Derivation(
    label="D7.2",
    title="What nesting costs, in amplification",
    statement=r"A nested feature of predictivity $\rho$ has at first the availability of an amplification "
    r"$\alpha_{eff}^2=E[yk(z,z')y']/\mu^2=g_w^\eta\alpha^2(1-2(3+\mu^2)\alpha^2\sum_{j=1}^\eta g_w^j)+O(\alpha^6)$. "
    r"At gain 1 a layer is made up for by a factor $1+(3+\mu^2)\alpha^2$ in $\alpha$. As $\alpha\to\infty$ it saturates at "
    r"$\alpha_{eff}=\sqrt{\tau_\eta}(2\rho-1)/\mu$, so that beyond this no amplification makes up for nesting.",
    assumptions=[
        r"$d\to\infty$, $g_b=0$",
        "early times, a network whose kernel is linear in the inner product of its inputs",
        "availability measured by the overlap of the response with the label",
    ],
    builds_on=["D7.1"],
    code=["ntk_shortcuts.laws.two_features.embedding.latent_moments"],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

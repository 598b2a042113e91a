"""D10.1: the fourth cumulant of one hidden layer. Run by itself, or as `ntk-shortcuts derive D10.1`."""

import jax.numpy as jnp
import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

q, sigma, n, g, tau = sp.symbols("q sigma_w n g tau", positive=True)
S = sp.Symbol("S", positive=True)
NORMAL = sp.exp(-(g**2) / 2) / sp.sqrt(2 * sp.pi)


def _cumulant(second: sp.Expr, fourth: sp.Expr) -> sp.Expr:
    """kappa_4 = E f^4 - 3 (E f^2)^2 for f | S ~ N(0, S), from the moments of phi of n independent units."""
    # E f^4 = 3 E S^2 by the fourth derivative of the conditional characteristic function.
    assert sp.diff(sp.exp(-S * tau**2 / 2), tau, 4).subs(tau, 0) == 3 * S**2
    bias = sp.Symbol("b", real=True)
    mean = sigma**2 * second + bias
    # n diagonal and n (n - 1) off-diagonal terms.
    square = (sigma**2 / n) ** 2 * (n * fourth + n * (n - 1) * second**2) + 2 * bias * sigma**2 * second + bias**2
    return sp.factor(sp.expand(3 * square - 3 * mean**2))


def _moments(side: str) -> tuple[sp.Expr, sp.Expr]:
    """E phi^2 and E phi^4 of sqrt(q) g."""
    halves = [2 * sp.integrate((sp.sqrt(q) * g) ** power * NORMAL, (g, 0, sp.oo)) for power in (2, 4)]
    return tuple(value / 2 for value in halves) if side == "relu" else tuple(halves)


def steps() -> list[Step]:
    second, fourth = sp.symbols("phi_2 phi_4", positive=True)
    general = _cumulant(second, fourth)
    assert sp.simplify(general - 3 * sigma**4 / n * (fourth - second**2)) == 0
    relu, linear = (_cumulant(*_moments(side)) for side in ("relu", "linear"))
    # Erf by its first two terms at small q, where it is 2/sqrt(pi) times linear.
    x = sp.Symbol("x", real=True)
    slope = sp.series(sp.erf(x), x, 0, 2).removeO() / x
    small = linear * slope**4
    # Saturated: phi^2 = 1 leaves nothing.
    assert general.subs({second: 1, fourth: 1}) == 0
    return [
        Step(
            r"Given the hidden units, the output is a sum of independent Gaussians: $f\mid S\sim N(0,S)$ with",
            r"S=\frac{\sigma_w^2}{n}\sum_{j=1}^n\phi_j^2+\sigma_b^2",
        ),
        Step(
            r"$E f^4=3E S^2$ and $E f^2=E S$, so that $\kappa_4=3\,\mathrm{Var}\,S$; with $\phi_k=E\phi^k$ over independent "
            r"units",
            sp.Eq(sp.Symbol("kappa_4"), general),
        ),
        Step(
            r"ReLU, half of the Gaussian's second and fourth moments, with $q=\sigma_w^2|x|^2/d+\sigma_b^2$:",
            sp.Eq(sp.Symbol("kappa_4^ReLU"), relu),
        ),
        Step(r"Linear:", sp.Eq(sp.Symbol("kappa_4^linear"), linear)),
        Step(
            r"Erf: $E\,\mathrm{erf}^2=\frac2\pi\arcsin\frac{2q}{1+2q}$, and $E\,\mathrm{erf}^4$ is a one-dimensional integral. "
            r"At small $q$ it is linear with slope $2/\sqrt\pi$, and at large $q$, where $\phi^2=1$, the cumulant vanishes.",
            rf"\kappa_4^{{erf}}={sp.latex(small)}+O(q^3)",
        ),
        Step("In all cases", r"\kappa_4=\frac{3\sigma_w^4}{n}\left(E\phi^4-(E\phi^2)^2\right)"),
    ]


def _network(activation: str, width: int, gain: float, offset: float) -> ns.MLP:
    return ns.MLP(1, activation, width=width, weight_variance=gain, bias_variance=offset)


def _exact(activation: str, variance: float) -> mpmath.mpf:
    """Var phi^2 by adaptive quadrature."""
    if activation == "erf":
        function = mpmath.erf
    elif activation == "tanh":
        function = mpmath.tanh
    else:
        function = {"relu": lambda x: max(x, 0), "linear": lambda x: x}[activation]
    root = mpmath.sqrt(variance)
    # A steep unit turns within a few 1/root of 0.
    half = sorted([1 / root, 3 / root, 6 / root, 1, 3, 12])
    ends = [-end for end in reversed(half) if end <= 12] + [0] + [end for end in half if end <= 12]
    second, fourth = (mpmath.quad(lambda x, k=k: function(root * x) ** k * mpmath.npdf(x), ends) for k in (2, 4))
    return fourth - second**2


@in_float64
def checks() -> list[Check]:
    random = np.random.default_rng(4)
    closed, integrated = [], []
    forms = {name: sp.lambdify((q, sigma, n), _cumulant(*_moments(name)), "mpmath") for name in ("relu", "linear")}
    # The last input is tiny, the one before large.
    x = np.concatenate([random.normal(size=(3, 5)), [np.full(5, 30.0)], [np.full(5, 1e-4)]])
    for activation, width, gain, offset in (
        ("relu", 1, 2.0, 0.0),
        ("linear", 30, 0.7, 0.4),
        ("erf", 8, 1.5, 0.0),
        ("tanh", 8, 1.5, 0.2),
    ):
        found = np.asarray(ns.finite_width.output_fourth_cumulant(_network(activation, width, gain, offset), x))
        for mine, point in zip(found, x, strict=True):
            variance = gain * mpmath.fsum(mpmath.mpf(float(entry)) ** 2 for entry in point) / 5 + mpmath.mpf(offset)
            if activation in forms:
                closed.append(float(mine / forms[activation](variance, mpmath.sqrt(gain), width) - 1))
            # A saturated unit's phi^2 is 1, and its variance a difference from that.
            scale = min(variance, 1) ** 2 if activation in ("erf", "tanh") else variance**2
            with mpmath.workdps(40):
                other = 3 * mpmath.mpf(gain) ** 2 / width * _exact(activation, variance)
            integrated.append(float((mine - other) / (3 * gain**2 / width * scale)))
    # Networks drawn at random, by the squares of their hidden units: kappa_4 = 3 Var S.
    units = np.sqrt(1.5 * np.mean(x[0] ** 2) + 0.2) * random.normal(size=(40000, 8))
    conditional = 1.5 * np.mean(np.tanh(units) ** 2, axis=1) + 0.2
    squares = (conditional - conditional.mean()) ** 2
    predicted = float(ns.finite_width.output_fourth_cumulant(_network("tanh", 8, 1.5, 0.2), x[:1])[0])
    score = (3 * squares.mean() - predicted) / (3 * squares.std() / np.sqrt(len(squares)))
    return [
        compare("ReLU and linear against the closed form, relative", 0, closed),
        compare("ReLU, linear, erf and tanh against adaptive quadrature", 0, integrated),
        Check("z-score of 3 Var S over 40000 drawn hidden layers of 8 tanh units", abs(float(score)), 4.0),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    q_values = np.geomspace(1e-2, 1e3, 80)
    styles = (("linear", "k", "-"), ("relu", "C0", "--"), ("erf", "C1", "-."), ("tanh", "C2", ":"))
    for activation, color, style in styles:
        network = _network(activation, 1, 1.0, 0.0)
        x = jnp.sqrt(q_values)[:, None]
        variance = jnp.diagonal(network.kernels(x).nngp)
        axes.semilogx(
            q_values, ns.finite_width.output_fourth_cumulant(network, x) / variance**2, style, color=color, label=activation
        )
    axes.set(xlabel=r"pre-activation variance $q$", ylabel=r"$n\,\kappa_4/K^2$ at $\sigma_b=0$")
    axes.legend()
    return drawing


DERIVATION = Derivation(
    label="D10.1",
    title="The fourth cumulant of one hidden layer",
    statement=r"The output of a network with one hidden layer of $n$ units has at initialisation the fourth cumulant "
    r"$\kappa_4=3\,\mathrm{Var}\,S=\frac{3\sigma_w^4}{n}(E\phi^4-(E\phi^2)^2)$, exactly: $15\sigma_w^4q^2/(4n)$ for ReLU and "
    r"$6\sigma_w^4q^2/n$ for linear units of pre-activation variance $q$.",
    assumptions=["Gaussian weights and biases, independent", "one hidden layer", "any width, one input"],
    builds_on=["D3.1"],
    code=["ntk_shortcuts.finite_width.output_fourth_cumulant"],
    source="Antognini (2019), and this project for the exact form",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

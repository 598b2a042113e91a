"""D1.2: the Bayes-optimal latent direction. Run by itself, or as `ntk-shortcuts derive D1.2`."""

import mpmath
import numpy as np
import sympy as sp
from scipy.stats import multivariate_normal

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main

mu_s, mu_c, z_s, z_c = sp.symbols("mu_s mu_c z_s z_c", real=True)
sigma = sp.Symbol("sigma", real=True)
mu, z = sp.Matrix([mu_s, mu_c]), sp.Matrix([z_s, z_c])
Sigma = sp.Matrix([[1, sigma], [sigma, 1]])


def _log_density(label: int) -> sp.Expr:
    """Log of N(z; label mu, Sigma), without its constant."""
    return -((z - label * mu).T * Sigma.inv() * (z - label * mu))[0] / 2


def direction() -> sp.Matrix:
    return (Sigma.inv() * mu).applyfunc(sp.factor)


def steps() -> list[Step]:
    log_ratio = sp.simplify(_log_density(1) - _log_density(-1))
    assert sp.simplify(log_ratio - 2 * (direction().T * z)[0]) == 0
    expected = (mu - sigma * sp.Matrix([mu_c, mu_s])) / (1 - sigma**2)
    assert sp.simplify(direction() - expected) == sp.zeros(2, 1)
    # Accuracy of sign(w . z): its margin w . mu / sqrt(w' Sigma w) is stationary in w at w*, and only its scale is free.
    w_s, w_c = sp.symbols("w_s w_c", real=True)
    w = sp.Matrix([w_s, w_c])
    margin = (w.T * mu)[0] / sp.sqrt((w.T * Sigma * w)[0])
    slopes = [sp.diff(margin, x).subs({w_s: direction()[0], w_c: direction()[1]}) for x in w]
    assert [sp.simplify(slope) for slope in slopes] == [0, 0]
    return [
        Step(
            r"With equally likely classes, the more probable class is the sign of the log likelihood ratio. Both classes "
            r"have the covariance $\Sigma$, so the quadratic terms of the two Gaussian exponents cancel.",
            sp.Eq(sp.Symbol(r"\log\frac{p(z|+)}{p(z|-)}"), log_ratio, evaluate=False),
        ),
        Step(
            r"It is linear in $z$, with coefficients $2\Sigma^{-1}\mu$.", sp.Eq(sp.Symbol("w^*"), direction(), evaluate=False)
        ),
        Step(
            r"The accuracy of $\mathrm{sign}(w\cdot z)$ is $\Phi$ of the margin $w\cdot\mu/\sqrt{w^\top\Sigma w}$, which is "
            r"stationary at $w = w^*$ (both derivatives vanish there).",
            r"w^* = \Sigma^{-1}\mu",
        ),
    ]


def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    settings = [(0.5, 0.9, 0.3), (0.5, 0.5, 0.6), (0.9, 0.9, 0.999), (0.7, 0.999999, -0.99), (0.8, 0.9, 0.0)]
    settings += [(*rng.uniform(0.5, 1, 2), rng.uniform(-0.95, 0.95)) for _ in range(8)]
    exact, got, angles, code_angles = [], [], [], []
    for rho_s, rho_c, correlation in settings:
        model = ns.GenerativeModel((rho_s, rho_c), correlation=correlation)
        means = np.asarray(model.means)
        got.append(np.asarray(model.bayes_direction))
        with mpmath.workdps(40):
            covariance = mpmath.matrix([[1, correlation], [correlation, 1]])
            exact.append([float(x) for x in mpmath.lu_solve(covariance, mpmath.matrix(list(means)))])
        if abs(correlation) < 0.95 and means.any():
            angles.append(_best_angle(means, correlation, np.arctan2(*got[-1][::-1])))
            code_angles.append(np.arctan2(*got[-1][::-1]))
    model = ns.GenerativeModel((0.7, 0.9), correlation=-0.4)
    points = rng.normal(size=(50, 2))
    log_ratio = np.subtract(
        *[multivariate_normal(s * np.asarray(model.means), np.asarray(model.covariance)).logpdf(points) for s in (1, -1)]
    )
    return [
        compare("direction against a linear solve in 40 digits", exact, got),
        compare(
            "log likelihood ratio of scipy's densities against 2 w* . z",
            log_ratio,
            2 * points @ np.asarray(model.bayes_direction),
        ),
        compare("angle of largest accuracy, by a root search", angles, code_angles),
    ]


def _best_angle(means: np.ndarray, correlation: float, start: float) -> float:
    """Where the margin of the direction (cos, sin) is stationary in the angle, by differentiation in 30 digits."""
    with mpmath.workdps(30):

        def margin(angle):
            c, s = mpmath.cos(angle), mpmath.sin(angle)
            return (c * means[0] + s * means[1]) / mpmath.sqrt(1 + 2 * correlation * c * s)

        return float(mpmath.findroot(lambda angle: mpmath.diff(margin, angle), (start - 0.05, start + 0.03)))


def figure():
    from matplotlib.figure import Figure
    from scipy.special import ndtr

    model = ns.GenerativeModel((0.85, 0.9), correlation=0.6)
    means, covariance, best = (np.asarray(x) for x in (model.means, model.covariance, model.bayes_direction))
    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2)
    axis = np.linspace(-4, 4, 161)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1)
    for label, color in ((1, "C0"), (-1, "C1")):
        left.contour(axis, axis, multivariate_normal(label * means, covariance).pdf(grid), levels=4, colors=color)
        left.annotate(
            f"y = {label:+d}".replace("-", "\N{MINUS SIGN}"),
            label * np.array([2.1, 3.45]),
            color=color,
            ha="center",
            va="center",
        )
    left.plot(axis, -axis * best[0] / best[1], color="black", label=r"$w^*\cdot z=0$")
    left.set(xlabel=r"$z_s$", ylabel=r"$z_c$", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
    left.legend(loc="lower right", frameon=False, fontsize="small", handlelength=1, borderaxespad=0.1)
    angles = np.linspace(-90, 180, 400)
    directions = np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))])
    margin = means @ directions / np.sqrt(np.einsum("ia,ij,ja->a", directions, covariance, directions))
    right.plot(angles, ndtr(margin), color="black")
    optimum = np.degrees(np.arctan2(best[1], best[0]))
    right.axvline(optimum, color="C2", linestyle="--")
    right.annotate(
        rf"$w^*$: {optimum:.1f}°", (optimum, 0.3), xytext=(-4, 0), textcoords="offset points", color="C2", ha="right"
    )
    right.set(xlabel="angle of w to the shortcut axis (°)", ylabel="accuracy of sign(w · z)", xticks=[-90, 0, 90, 180])
    return drawing


DERIVATION = Derivation(
    label="D1.2",
    title="Bayes-optimal direction",
    statement=r"The classifier of least error is $\mathrm{sign}(w^*\cdot z)$ with $w^*=\Sigma^{-1}\mu$, that is "
    r"$w^*_s=(\mu_s-\sigma\mu_c)/(1-\sigma^2)$ and $w^*_c=(\mu_c-\sigma\mu_s)/(1-\sigma^2)$.",
    assumptions=[r"$P(y = \pm 1) = 1/2$", r"$z \mid y \sim N(y\mu, \Sigma)$ with the same $\Sigma$", r"$|\sigma| < 1$"],
    builds_on=["D1.1"],
    code=["ntk_shortcuts.GenerativeModel.bayes_direction"],
    source="linear discriminant analysis (Fisher, 1936); Hermann et al. (2024), section 3",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

"""D1.3: the class expectation given the latents. Run by itself, or as `ntk-shortcuts derive D1.3`."""

import itertools

import mpmath
import numpy as np
import sympy as sp
from scipy.stats import multivariate_normal

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main

mu_s, mu_c, z_s, z_c, sigma = sp.symbols("mu_s mu_c z_s z_c sigma", real=True)
mu, z = sp.Matrix([mu_s, mu_c]), sp.Matrix([z_s, z_c])
Sigma = sp.Matrix([[1, sigma], [sigma, 1]])


def steps() -> list[Step]:
    plus, minus = (sp.exp(-((z - y * mu).T * Sigma.inv() * (z - y * mu))[0] / 2) for y in (1, -1))
    posterior = (plus - minus) / (plus + minus)
    # Dividing both by exp(-(z' S^-1 z + mu' S^-1 mu)/2) leaves exp(+-w . z).
    common = sp.exp(-((z.T * Sigma.inv() * z)[0] + (mu.T * Sigma.inv() * mu)[0]) / 2)
    field = (mu.T * Sigma.inv() * z)[0]
    remainders = [sp.simplify(sp.expand_log(sp.log(p / common), force=True) - y * field) for p, y in ((plus, 1), (minus, -1))]
    assert remainders == [0, 0]
    v, q = sp.symbols("v q", positive=True)
    reduced = posterior.subs({plus: common * sp.exp(v), minus: common * sp.exp(-v)})
    assert sp.simplify(reduced.rewrite(sp.exp) - sp.tanh(v).rewrite(sp.exp)) == 0
    # v = w . z has the law N(y q, q): y averages to tanh v under it as well, which fixes E[y v] = q.
    density = sp.exp(-((v - q) ** 2) / (2 * q)) / sp.sqrt(2 * sp.pi * q)
    mirrored = density.subs(v, -v)
    assert sp.simplify(mirrored / density - sp.exp(-2 * v)) == 0
    return [
        Step(
            r"Bayes' rule with equal class weights.",
            r"E[y \mid z] = \frac{p(z \mid +) - p(z \mid -)}{p(z \mid +) + p(z \mid -)}",
        ),
        Step(
            r"With $v = w^*\cdot z$, each density is one common factor times $e^{\pm v}$.",
            r"p(z \mid \pm) = C(z)\, e^{\pm v}, \quad C \propto e^{-(z^\top\Sigma^{-1}z + \mu^\top\Sigma^{-1}\mu)/2}",
        ),
        Step(r"The common factor cancels.", r"E[y \mid z] = \frac{e^{v} - e^{-v}}{e^{v} + e^{-v}} = \tanh(w^*\cdot z)"),
    ]


def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    settings = [
        (0.5, 0.5, 0.6),
        (0.5, 0.9, 0.0),
        (0.9, 0.9, 0.99),
        (0.6, 0.95, -0.9),
        *rng.uniform([0.5, 0.5, -0.9], 0.95, (4, 3)),
    ]
    exact, got = [], []
    for rho_s, rho_c, correlation in settings:
        model = ns.GenerativeModel((rho_s, rho_c), correlation=correlation)
        # Zero, tiny, and so far out that the densities underflow in float64.
        points = np.concatenate([[[0, 0], [1e-200, 0], [1e-9, -1e-9], [40, 40], [-60, 20]], rng.normal(size=(8, 2))])
        got.append(np.asarray(model.class_expectation(points)))
        exact.append([_posterior(np.asarray(model.means), correlation, point) for point in points])
    # E[tanh(w . z) z] over p(z) must be E[y z] = mu. Trapezoidal rule: tanh has its poles at |Im w . z| = pi/2.
    model = ns.GenerativeModel((0.85, 0.9), correlation=0.6)
    step = 0.2
    axis = np.arange(-10, 10 + step / 2, step)
    latents = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = sum(
        multivariate_normal(y * np.asarray(model.means), np.asarray(model.covariance)).pdf(latents) / 2 for y in (1, -1)
    )
    weighted = density * np.asarray(model.class_expectation(latents)) * step**2
    return [
        compare("posterior against the two densities in 60 digits", exact, got),
        compare("E[E[y | z] z] by the trapezoidal rule against E[y z] = mu", model.means, weighted @ latents),
    ]


def _posterior(means: np.ndarray, correlation: float, point: np.ndarray) -> float:
    with mpmath.workdps(60):
        determinant = 1 - mpmath.mpf(float(correlation)) ** 2
        densities = []
        for y in (1, -1):
            a, b = (mpmath.mpf(float(x)) - y * mpmath.mpf(float(m)) for x, m in zip(point, means, strict=True))
            densities.append(mpmath.exp(-(a**2 - 2 * correlation * a * b + b**2) / (2 * determinant)))
        return float((densities[0] - densities[1]) / (densities[0] + densities[1]))


def figure():
    from matplotlib.figure import Figure

    model = ns.GenerativeModel((0.85, 0.9), correlation=0.6)
    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2)
    axis = np.linspace(-4, 4, 81)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    values = np.asarray(model.class_expectation(grid)).reshape(81, 81)
    filled = left.contourf(axis, axis, values, levels=np.linspace(-1, 1, 11), cmap="PuOr")
    left.set(xlabel=r"$z_s$", ylabel=r"$z_c$", aspect="equal")
    drawing.colorbar(filled, ax=left, label=r"$E[y\,|\,z]$", location="top", ticks=[-1, -0.6, -0.2, 0.2, 0.6, 1])
    # The mean label of samples, in bins of w* . z, with two standard errors.
    rng = np.random.default_rng(0)
    labels = rng.choice([-1.0, 1.0], 4000)
    latents = labels[:, None] * np.asarray(model.means) + rng.normal(size=(4000, 2)) @ np.asarray(model.whitening).T
    field = latents @ np.asarray(model.bayes_direction)
    edges = np.linspace(-3, 3, 13)
    bins = [labels[(field >= low) & (field < high)] for low, high in itertools.pairwise(edges)]
    middles = (edges[:-1] + edges[1:]) / 2
    right.errorbar(middles, [b.mean() for b in bins], [2 * b.std() / len(b) ** 0.5 for b in bins], fmt="o", ms=3, color="C1")
    line = np.linspace(-3, 3, 100)
    right.plot(line, np.tanh(line), color="black")
    right.set(xlabel=r"$w^*\cdot z$", ylabel="mean label: samples, tanh")
    return drawing


DERIVATION = Derivation(
    label="D1.3",
    title="Class expectation given the latents",
    statement=r"$E[y \mid z] = \tanh(w^*\cdot z)$ with $w^*=\Sigma^{-1}\mu$ of D1.2: the target of training on infinite data.",
    assumptions=[r"$P(y = \pm 1) = 1/2$", r"$z \mid y \sim N(y\mu, \Sigma)$ with the same $\Sigma$", r"$|\sigma| < 1$"],
    builds_on=["D1.2"],
    code=["ntk_shortcuts.GenerativeModel.class_expectation"],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

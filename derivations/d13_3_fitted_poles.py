"""D13.3: an average over data sets from a rational fit of the filter. Run by itself, or as `ntk-shortcuts derive D13.3`."""

import jax.numpy as jnp
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

lam, s, c = sp.symbols("lambda s c")
RULES = {
    "60 steps": ns.GradientDescent(0.5, 60, 0.9),
    "300 steps": ns.GradientDescent(0.5, 300, 0.9),
    "3000 steps": ns.GradientDescent(0.5, 3000, 0.9),
}


def steps() -> list[Step]:
    # lambda/(lambda - s) is 0 at lambda = 0 and one pole of g after division by lambda.
    assert sp.simplify(c * lam / (lam - s) / lam - c / (lam - s)) == 0
    # A bounded error of lambda g bounds that of the fitted outputs, eigenvalue by eigenvalue.
    error = sp.Function("epsilon")(lam)
    assert sp.simplify((error / lam) * lam - error) == 0
    return [
        Step(
            r"Of a data set with Gram matrix $K$, outputs at its points are $\lambda g(\lambda)$ of $K/N$ on the labels. "
            r"Momentum and schedules make $g$ a polynomial. It is entire, but no substitution turns its powers into "
            r"exponentials as in D4.5, and closed contours take as many points as it has turns.",
            None,
        ),
        Step(
            r"The average needs a sum of resolvents on the spectrum only: with all eigenvalues in $[0, \Lambda]$ and",
            r"\Big|\lambda g(\lambda) - \mathrm{Re}\sum_kc_k\frac{\lambda}{\lambda - s_k}\Big| \le \epsilon\quad"
            r"(0\le\lambda\le\Lambda),",
        ),
        Step(
            r"every data set's outputs at its points, and so their average, are those of the sum up to",
            r"\epsilon\,\frac{|y|}{\sqrt N}\quad\text{(root mean square)}",
        ),
        Step(
            r"wherever the poles are. AAA finds them: 3 or 4 pairs once the modes that momentum lets oscillate have decayed "
            r"as $\beta^{k/2}$, some tens before. Least squares in $\lambda/(\lambda - s_k)$ then give $c_k$; a sum of few "
            r"steps, whose own poles are far away and cancel, has poles on an ellipse around the spectrum instead.",
            r"g(\lambda)\approx\mathrm{Re}\sum_k\frac{c_k}{\lambda - s_k}",
        ),
    ]


@in_float64
def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    found = []
    for name, rule in RULES.items():
        poles = rule.rational(None, 1.0)
        values = jnp.asarray(np.concatenate([rng.uniform(0, 1, 300), np.geomspace(1e-9, 1, 200)]))
        found.append(compare(f"lambda g on [0, 1], {name}", values * rule.filter(values), values * poles(values), 2e-5))
        # A Gram matrix: resolvents of the whole matrix against powers of it.
        root = rng.normal(size=(12, 30))
        matrix = root @ root.T
        matrix /= np.linalg.eigvalsh(matrix)[-1]
        labels, g, buffer = rng.choice([-1.0, 1.0], 12), np.zeros(12), np.zeros(12)
        for _ in range(int(rule.steps)):
            buffer = 0.9 * buffer + matrix @ g - labels
            g = g - 0.5 * buffer
        each = zip(np.asarray(poles.poles), np.asarray(poles.residues), strict=True)
        summed = sum((r * np.linalg.solve(matrix - p * np.eye(12), labels)).real for p, r in each)
        error = np.linalg.norm(matrix @ (summed - g)) / np.sqrt(12)
        found.append(Check(f"a data set's outputs, root mean square, {name}", float(error), 2e-5))
    return found


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    for (name, rule), color in zip(RULES.items(), ("C0", "C1", "C2"), strict=True):
        poles = np.asarray(rule.rational(None, 1.0).poles)
        axes.scatter(np.real(poles), np.imag(poles), s=14, color=color, label=f"{name}: {len(poles)}")
    axes.axhline(0, color="0.8", lw=0.8)
    axes.plot([0, 1], [0, 0], color="k", lw=2)
    axes.set_xscale("symlog", linthresh=1e-3)
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set(xlabel=r"Re $s$ (the spectrum in black)", ylabel=r"Im $s$", ylim=(-1e-4, None))
    axes.legend(frameon=False, title="momentum 0.9, poles")
    return drawing


DERIVATION = Derivation(
    label="D13.3",
    title="Averages over data sets for filters without a contour",
    statement=r"A sum of resolvents that is $\lambda g(\lambda)$ on the spectrum to $\epsilon$ gives outputs averaged over "
    r"data sets to $\epsilon$, wherever its poles lie. For momentum, schedules and weight decay it is fitted, with 3 to 64.",
    assumptions=[r"all eigenvalues of data sets in $[0, \Lambda]$", "the averaged resolvents themselves: D9.2 and D11.1"],
    builds_on=["D4.5", "D9.2", "D11.1"],
    code=["ntk_shortcuts.GradientDescent.rational", "ntk_shortcuts.training.fitted_poles.fitted_poles"],
    source="Nakatsukasa, Sete & Trefethen (2018) for the algorithm AAA; its use here: this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

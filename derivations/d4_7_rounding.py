"""D4.7: what rounding does to a trained output. Run by itself, or as `ntk-shortcuts derive D4.7`."""

import equinox as eqx
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels import Kernels
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.laws.two_features.polar import latent_rays
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.training.frozen_kernel import FrozenKernel, trained_outputs, unresolved_part
from ntk_shortcuts.training.rounding import error_directions, mean_rounding
from ntk_shortcuts.training.spectral import Spectrum, apply_filter, gains, last_gain

b, d, t, tau, s = sp.symbols("b d t tau s", positive=True)
a = b + d  # two eigenvalues that differ


def steps() -> list[Step]:
    # Daletskii and Krein: in the eigenbasis, (delta g(S))_ij = g[a, b] (delta S)_ij with the divided difference of g.
    assert sp.simplify((1 / a - 1 / b) / (a - b) + 1 / (a * b)) == 0

    def gain(eigenvalue: sp.Symbol) -> sp.Expr:
        return (1 - sp.exp(-eigenvalue * t)) / eigenvalue

    difference = (gain(a) - gain(b)) / (a - b)
    decay = sp.exp(-a * s - b * tau)
    triangle = sp.integrate(sp.integrate(decay, (tau, 0, t - s)), (s, 0, t))
    square = sp.integrate(sp.integrate(decay, (tau, 0, t)), (s, 0, t))
    assert sp.simplify(sp.expand(triangle + difference)) == 0
    assert sp.simplify(sp.expand(square - gain(a) * gain(b))) == 0
    # Turning the square by half and exchanging s and tau maps the half s + tau > t onto the triangle, where the decay is less:
    # the exponents differ by (a + b) (s + tau - t) after the exchange, and it is positive there.
    exchanged = sp.expand((a * s + b * tau) - (a * (t - tau) + b * (t - s)))
    assert sp.expand(exchanged - (a + b) * (s + tau - t)) == 0
    assert sp.limit(sp.limit(triangle / square, d, 0), b, 0) == sp.Rational(1, 2)
    # A mode left out has g = 0.
    assert sp.simplify((gain(a) - 0) / (a - 0) - gain(a) / a) == 0
    # The mean square of r^T E q, for entries of E that are independent, of mean 0 and variance v.
    r, q, E = (sp.Matrix(2, n, sp.symbols(f"{name}:{2 * n}")) for name, n in (("r", 1), ("q", 1), ("E", 2)))
    form = sp.expand((r.T * E * q)[0] ** 2)
    v = sp.Symbol("v", positive=True)
    entries = sp.Poly(form, *E)
    mean = sum(c * (v if sorted(powers) == [0, 0, 0, 2] else 0) for powers, c in entries.terms())
    assert sp.expand(mean - v * r.dot(r) * q.dot(q)) == 0
    # Parts that fall by a factor c a decade: those beyond the last two decades over these.
    c, n = sp.symbols("c n", positive=True)
    beyond, last = c**2 / (1 - c), 1 + c
    assert sp.simplify(sp.summation(c**n, (n, 2, sp.oo)).args[0][0] - beyond) == 0
    assert sp.simplify(beyond / last - c**2 / (1 - c**2)) == 0
    assert sp.simplify((beyond / last).subs(c, 1 / sp.sqrt(2))) == 1 and sp.simplify(sp.diff(beyond / last, c)).subs(c, 0.5) > 0
    return [
        Step(
            r"A change of a symmetric matrix changes a function of it, in its eigenbasis, by divided differences. For "
            r"$g=1/\lambda$ (the end of training) exactly",
            r"\frac{g(a)-g(b)}{a-b} = -g(a)\,g(b), \qquad\text{so}\quad \delta\,g(S) = -g(S)\,\delta S\,g(S).",
        ),
        Step(
            r"For gradient flow the divided difference is an integral over a triangle, and $g(a)g(b)$ that of the same "
            r"function over the square that holds it. The function is larger on the triangle: the ratio is between 1/2 and 1.",
            r"-\frac{g(a)-g(b)}{a-b} = \int_{s+\tau\leq t}e^{-as-b\tau}\,ds\,d\tau, \qquad "
            r"g(a)\,g(b) = \int_{s,\,\tau\leq t}e^{-as-b\tau}\,ds\,d\tau",
        ),
        Step(
            r"Modes below the resolution are left out, $g=0$. Between one of them and a kept mode the divided difference is "
            r"$g(a)/a$, at most $g(a)\,g(\lambda_0)$ for the smallest one kept, where its training is finished.",
            r"\frac{g(a)-0}{a-0} = \frac{g(a)}{a}",
        ),
        Step(
            r"Rounding has no preferred direction: entries of $\delta S$ are independent, of variance $v$. For any two vectors",
            r"E\,(r^\top\delta S\,q)^2 = v\,|r|^2\,|q|^2, \qquad v = \epsilon^2\lambda_{\max}^2/M",
        ),
        Step(
            r"With $r=g(S)k$, $q=g(S)b$, and the roundings of $k$ and $b$ themselves, the mean $k^\top g(S)b$ is off by",
            r"E\,\delta m^2 = \frac{\epsilon^2}{M}\left(\lambda_{\max}^2|g(S)k|^2\left(|g(S)b|^2+g(\lambda_0)^2|b_0|^2\right)"
            r"+|g(S)k|^2|b|^2+|k|^2|g(S)b|^2\right)",
        ),
        Step(
            r"What the modes left out would add themselves is taken to be as much as those do that are kept within two decades "
            r"of them, if the spectrum goes on in the two decades above (below a gap there is nothing, as with linear "
            r"networks). Where parts fall by a factor c a decade, what is left out is at most that up to $c=1/\sqrt2$; where "
            r"they grow, as with smooth kernels at infinite time far from the data, nothing bounds it, and this is what tells.",
            r"\delta m_0(x) = \sum_{\lambda_0\leq\lambda_i<100\lambda_0}g(\lambda_i)\,(k^\top v_i)(v_i^\top b),\qquad "
            r"\frac{c^2+c^3+\cdots}{1+c} = \frac{c^2}{1-c^2}\leq 1,\qquad \lambda_0 = M\epsilon\lambda_{\max}",
        ),
    ]


def _left_out(rule) -> tuple[float, float]:
    """What the modes beyond the resolution add at a point, and the estimate of it from those above, by the code.

    Eigenvalues fall by 10 from one to the next, what a mode adds to the output at the end of training by 2.
    """
    size, kept = 24, 15  # 1e-14 is above the cut at 5e-15
    eigenvalues, parts = 10.0 ** -np.arange(size), 0.5 ** np.arange(size)
    square, row = np.diag(eigenvalues), (eigenvalues * parts)[None]
    kernel = FrozenKernel(Kernels(square, square), Kernels(row, row), None, np.ones(size))
    spectrum = Spectrum(eigenvalues[::-1], np.arange(size)[::-1] < kept, np.eye(size)[:, ::-1])
    estimate = unresolved_part(kernel, np.ones(size), spectrum, gains(rule, spectrum, None))
    return float(np.sum(parts[kept:])), float(estimate[0])


_compiled = eqx.filter_jit(trained_outputs)
_ENLARGED = 1e-8  # in place of 4 roundings of 2.2e-16


def _expected(matrix, target, rows, rule) -> np.ndarray:
    """Root mean square of the code's draws, at each probe."""
    columns = np.concatenate([target[:, None], error_directions(len(matrix), matrix.dtype, 4000)], axis=1)
    filtered, spectrum = apply_filter(matrix, columns, rule, num_samples=None)
    draws = mean_rounding(spectrum, last_gain(rule, spectrum, None), target, rows, filtered[:, 0], filtered[:, 1:])
    return np.sqrt(np.mean(np.square(draws), axis=0))


def _random_errors(rule, count: int = 400) -> np.ndarray:
    """Root mean square change of the mean at three probes under random errors, over what the code expects, per probe."""
    rng = np.random.default_rng(0)
    size = 12
    vectors = np.linalg.qr(rng.normal(size=(size, size)))[0]
    eigenvalues = np.logspace(0, -4, size)
    matrix, target, rows = vectors * eigenvalues @ vectors.T, rng.normal(size=size), rng.normal(size=(3, size))

    def outputs(matrix, target, rows):
        kernels = [Kernels(k, k) for k in (matrix, rows)]
        return _compiled(*kernels, None, np.ones(size), target, rule, None).mean

    exact = outputs(matrix, target, rows)
    changes = []
    for _ in range(count):
        noise = rng.normal(size=(size, size))
        moved = matrix + _ENLARGED / np.sqrt(size) * (noise + noise.T) / np.sqrt(2)
        at_target, at_rows = rng.normal(size=size) / np.sqrt(size), rng.normal(size=(3, size)) / np.sqrt(size)
        changed = outputs(
            moved,
            target + _ENLARGED * np.linalg.norm(target) * at_target,
            rows + _ENLARGED * np.linalg.norm(rows, axis=1, keepdims=True) * at_rows,
        )
        changes.append(np.asarray(changed - exact))
    expected = _expected(matrix, target, rows, rule) * _ENLARGED / (4 * np.finfo(np.float64).eps)
    return np.sqrt(np.mean(np.square(changes), axis=0)) / expected


GAPS = np.logspace(-3, -12, 19)


def _on_the_boundary(gaps) -> tuple[np.ndarray, np.ndarray]:
    """Mean output of a linear network at a probe on the Bayes boundary, where it is 0, and its expected rounding.

    Predictivities are equal and the correlation is 1 - gap, so that the data vary by the gap in the probe's direction.
    """
    found = []
    for gap in gaps:
        model = ns.GenerativeModel(predictivity=(0.85, 0.85), correlation=1 - gap)
        rays = latent_rays(model, 64, 48, True)
        probe = np.array([[1.0, -1.0]])
        kernels = [LawKernel(model, ns.MLP(0))(points, rays.points) for points in (rays.points, probe)]
        law = trained_outputs(*kernels, None, rays.mass, rays.slope, ns.GradientFlow(np.inf), None)
        root = np.sqrt(rays.mass)
        square, row = (np.asarray(k.ntk) * root for k in kernels)
        found.append((abs(float(law.mean[0])), *_expected(root[:, None] * square, root * rays.slope, row, ns.Ridge(0.0))))
    return tuple(np.array(found).T)


@in_float64
def checks() -> list[Check]:
    end, flow = _random_errors(ns.Ridge(0.0)), _random_errors(ns.GradientFlow(30.0))
    actual, expected = _on_the_boundary(GAPS)
    size = np.sqrt(np.mean((actual / expected) ** 2))
    beyond, estimate = _left_out(ns.Ridge(0.0))
    return [
        # Within two decades of the cut are 1e-14 and 1e-13: 2^-14 + 2^-13 for 2^-14.
        compare("part left out over its estimate, c = 1/2: 1/3", 1 / 3, beyond / estimate, tolerance=1e-2),
        # The symmetry of the errors adds (r . q)^2; 400 draws have a standard error of 4 %.
        compare("t = inf: root mean square of random errors over the formula", 1.2, end, tolerance=0.3),
        compare("gradient flow, where it is between half of it and it", 0.85, flow, tolerance=0.45),
        # The code takes four roundings for one; outputs that are all rounding say how many there are, and processors differ.
        compare(
            "actual rounding over the expected, on the boundary: 1/16 to 4", np.log(0.5), np.log(size), tolerance=np.log(8)
        ),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(4.6, 3.2), dpi=150, layout="constrained")
    axes = drawing.subplots()
    actual, expected = _on_the_boundary(GAPS)
    axes.loglog(GAPS, expected, "-", color="C0", label="expected rounding")
    axes.loglog(GAPS, actual, "o", color="C1", ms=4, label="output, exactly 0 without it")
    axes.axhline(1, color="black", lw=0.8, ls=":")
    axes.annotate("size of a learnt output", (GAPS[0], 1), ha="right", va="bottom", xytext=(0, 1), textcoords="offset points")
    axes.set(xlabel=r"$1-\sigma$", ylabel="mean output on the Bayes boundary")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D4.7",
    title="Rounding of a trained output",
    statement=r"The mean output $m=k^\top g(S)b$ is off by rounding, in the mean square over errors without a preferred "
    r"direction, by $\frac{\epsilon^2}{M}\left(\lambda_{\max}^2|g(S)k|^2(|g(S)b|^2+g(\lambda_0)^2|b_0|^2)+|g(S)k|^2|b|^2+"
    r"|k|^2|g(S)b|^2\right)$, with $b_0$ the part of the target in the modes that are left out, $\lambda_0$ the smallest "
    r"eigenvalue kept and $M$ the size of the matrix.",
    assumptions=[
        "first order in the errors; those of different entries are independent",
        r"exact for $t=\infty$ and ridge 0; for gradient flow at most twice the error, and about it for descent below "
        r"$\eta\lambda=1$",
        "the code takes four roundings of the floating-point format for one: entries of kernels hold 2 to 8 (measured)",
        "the modes left out add as much as the last ones kept, none below a gap of two decades: an estimate and no bound; on "
        "infinite data only",
    ],
    builds_on=["D4.4"],
    code=["ntk_shortcuts.training.rounding.mean_rounding", "ntk_shortcuts.training.frozen_kernel.unresolved_part"],
    source="Daletskii & Krein (1965) for the derivative of a matrix function; this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

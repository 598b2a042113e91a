"""D9.1: deterministic equivalent of kernel regression, scalar form. Run by itself, or as `ntk-shortcuts derive D9.1`."""

import jax
import mpmath
import numpy as np
import sympy as sp

from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main, told_apart
from ntk_shortcuts.methods.average.deterministic_equivalent import scalar_kappa
from ntk_shortcuts.numerics import in_float64

lam, N, M, kappa = sp.symbols("lambda N M kappa", positive=True)
s, delta, c = sp.symbols("s delta c", real=True)


def _rank_one_residual() -> sp.Matrix:
    """Q k - Q_0 k / (1 + k.Q_0 k / N) for Q^-1 = Q_0^-1 + k k^T / N, in two dimensions."""
    a, b, d, u, v = sp.symbols("a b d u v", real=True)
    inverse, k = sp.Matrix([[a, b], [b, d]]), sp.Matrix([u, v])
    without, whole = inverse.inv(), (inverse + k * k.T / N).inv()
    return sp.simplify(whole * k - without * k / (1 + (k.T * without * k)[0] / N))


def steps() -> list[Step]:
    assert _rank_one_residual() == sp.zeros(2, 1)
    # An eigenvalue of (T/(1 + delta) - s)^-1 T, in terms of kappa = -s (1 + delta).
    term = lam / (lam / (1 + delta) - s)
    assert sp.simplify(term - (1 + delta) * (lam / (lam + kappa)).subs(kappa, -s * (1 + delta))) == 0
    # delta = (1 + delta) D / N with D = sum lambda/(lambda + kappa), and kappa = -s (1 + delta): eliminate delta.
    D = sp.Symbol("D", positive=True)
    solved = sp.solve([delta - (1 + delta) * D / N, kappa + s * (1 + delta)], [delta, s], dict=True)[0]
    assert sp.simplify(kappa * (1 - D / N) + solved[s]) == 0
    # The mean of a component c of the target.
    mean = lam * c / (1 + delta) / (lam / (1 + delta) - s)
    assert sp.simplify(mean - (lam / (lam + kappa) * c).subs(kappa, -s * (1 + delta))) == 0
    # The right-hand side of the fixed point is increasing and concave: one positive root for s < 0.
    right = lam * kappa / (lam + kappa)
    assert sp.simplify(sp.diff(right, kappa) - (lam / (lam + kappa)) ** 2) == 0
    assert sp.simplify(sp.diff(right, kappa, 2) + 2 * lam**2 / (lam + kappa) ** 3) == 0
    flat = _flat()
    assert sp.simplify(flat + s - M / N * lam * flat / (lam + flat)) == 0
    return [
        Step(
            r"The resolvent predictor is $f = \frac1N\sum_n y_n\langle k_x, Qk_n\rangle$, $Q = (S - s)^{-1}$, $S = "
            r"\frac1N\sum_n k_n \otimes k_n$, with $k_n$ the kernel section at sample $n$. Leaving out one sample (a change "
            r"of rank one),",
            r"Qk_n = \frac{Q_{-n}k_n}{1 + \delta},\qquad \delta = \tfrac1N\langle k_n, Q_{-n}k_n\rangle",
        ),
        Step(
            r"Under the assumptions $\delta$ is the same number for all samples, $\delta = \frac1N\mathrm{tr}\,TQ$. "
            r"Averaging $1 = (S - s)Q = \frac1N\sum_n k_n \otimes Q_{-n}k_n/(1 + \delta) - sQ$ over data sets, with $T = "
            r"E\,k \otimes k$,",
            r"Q = \Big(\frac{T}{1 + \delta} - s\Big)^{-1},\qquad \delta = \frac1N\sum_i\frac{\lambda_i}{\lambda_i/(1 + "
            r"\delta) - s}",
        ),
        Step(
            r"In terms of $\kappa = -s(1 + \delta)$ each term is $(1 + \delta)\lambda_i/(\lambda_i + \kappa)$, and $\delta$ "
            r"is eliminated. For a flat spectrum of $M$ eigenvalues the equation is quadratic (Marchenko & Pastur):",
            sp.Eq(kappa, flat),
        ),
        Step(
            r"The mean prediction is $\langle k_x, Q\,E[yk]\rangle/(1 + \delta)$: a target component $c_i$ is learnt to the "
            r"fraction $L_i$,",
            r"E f = \sum_iL_ic_i\phi_i,\qquad L_i = \frac{\lambda_i}{\lambda_i + \kappa}",
        ),
        Step(
            r"The equation for $\kappa$ has one positive root for $s < 0$, its right-hand side being increasing and concave:",
            r"\kappa = -s + \frac1N\sum_i\frac{\lambda_i\kappa}{\lambda_i + \kappa}",
        ),
    ]


def _flat() -> sp.Expr:
    """The root that is positive for s < 0."""
    roots = sp.solve(sp.expand((kappa + s) * (lam + kappa) - M / N * lam * kappa), kappa)
    numbers = {lam: 2, M: 3, N: 5, s: -1}
    (root,) = [root for root in roots if root.subs(numbers) > 0]
    return root


_code = jax.jit(scalar_kappa)


def _polynomial_root(pole: complex, eigenvalues: np.ndarray, samples: float) -> complex:
    """The root of the equation times all its denominators that has the Stieltjes sign, in 40 digits."""
    with mpmath.workdps(40):
        values = [mpmath.mpf(float(value)) for value in eigenvalues]

        def times(first: list, second: list) -> list:
            product = [mpmath.mpc(0)] * (len(first) + len(second) - 1)
            for i, a in enumerate(first):
                for j, b in enumerate(second):
                    product[i + j] += a * b
            return product

        total = [mpmath.mpc(1), mpmath.mpc(pole)]
        for value in values:
            total = times(total, [1, value])
        for i, value in enumerate(values):
            term = [value / samples, mpmath.mpf(0)]
            for other in values[:i] + values[i + 1 :]:
                term = times(term, [1, other])
            total = [t - (term[j - 1] if j else 0) for j, t in enumerate(total)]
        roots = mpmath.polyroots(total, maxsteps=500, extraprec=200)
        if pole.imag:
            good = [root for root in roots if root.imag < -1e-25]
        else:
            good = [root for root in roots if root.real > 1e-25 and abs(root.imag) < 1e-25]
        (root,) = good
        return complex(root)


def _parts(values: np.ndarray) -> np.ndarray:
    return np.stack([values.real, values.imag])


def _sampled(samples: int, ridge: float, data_sets: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Learnt fractions of a few modes over data sets of Gaussian features: mean, standard error; and the eigenvalues."""
    random = np.random.default_rng(0)
    eigenvalues = 1.0 / np.arange(1, 151) ** 1.2
    modes = [0, 2, 5, 10]
    target = np.zeros(len(eigenvalues))
    target[modes] = 1
    learnt = []
    for _ in range(data_sets):
        g = random.normal(size=(samples, len(eigenvalues)))
        x = g * np.sqrt(eigenvalues)
        weights = np.linalg.solve(x.T @ x / samples + ridge * np.eye(len(eigenvalues)), x.T @ (g @ target) / samples)
        learnt.append((np.sqrt(eigenvalues) * weights)[modes])
    learnt = np.array(learnt)
    return learnt.mean(axis=0), learnt.std(axis=0) / np.sqrt(data_sets), eigenvalues


@in_float64
def checks() -> list[Check]:
    random = np.random.default_rng(1)
    exact, got = [], []
    for eigenvalues in (random.uniform(0.01, 1, 5), np.array([1.0, 0.3, 1e-3, 1e-6, 0.0])):
        for pole in (-1e-3 + 0j, -1e-9 + 0j, 0.1 + 0.02j, 0.02 + 1e-3j, -0.3 + 0.5j):
            exact.append(_polynomial_root(pole, eigenvalues[eigenvalues > 0], 3.0))
            got.append(complex(_code(np.asarray(pole), eigenvalues, 3.0)))
    exact, got = np.array(exact).reshape(2, -1), np.array(got).reshape(2, -1)
    far = [0, 1, 2, 4]
    flat = sp.lambdify((s, lam, M, N), _flat())
    settings = [(-0.1, 0.7, 5, 3.0), (-1e-6, 0.7, 5, 3.0), (-1e-6, 0.7, 5, 20.0)]
    of_flat = [_code(np.asarray(a + 0j), np.full(int(m), b), n).real for a, b, m, n in settings]
    samples, ridge = 300, 0.02
    mean, error, eigenvalues = _sampled(samples, ridge, 60)
    root = float(_code(np.asarray(-ridge + 0j), eigenvalues, float(samples)).real)
    fractions = eigenvalues / (eigenvalues + root)
    naive = eigenvalues / (eigenvalues + ridge)
    modes = [0, 2, 5, 10]
    score, wrong = (float(np.max(np.abs(mean - f[modes]) / error)) for f in (fractions, naive))
    return [
        compare(
            "kappa, s real or away from the spectrum, against polynomial roots", *(_parts(k[:, far]) for k in (exact, got))
        ),
        # The continuation takes four Newton steps per turn, which leaves 2e-10 this near to the spectrum.
        compare("kappa, s = 0.02 + 0.001i, against polynomial roots", *(_parts(k[:, 3]) for k in (exact, got)), 1e-8),
        compare("kappa of a flat spectrum, s < 0, against the quadratic's root", [flat(*entry) for entry in settings], of_flat),
        Check("z-score of the learnt fractions over 60 data sets, N = 300, the largest of 4 modes", score, 4.0),
        told_apart("kappa = -s", wrong),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    ridge, counts = 0.02, np.geomspace(20, 1000, 30)
    eigenvalues = 1.0 / np.arange(1, 151) ** 1.2
    roots = np.array([float(_code(np.asarray(-ridge + 0j), eigenvalues, float(count)).real) for count in counts])
    few = [20, 60, 200, 600]
    sampled = [_sampled(count, ridge, 30)[:2] for count in few]
    for index, (mode, style, marker, colour) in enumerate(
        ((0, "-", "o", "C0"), (2, "--", "s", "C1"), (5, "-.", "^", "C2"), (10, ":", "v", "black"))
    ):
        axes.semilogx(counts, eigenvalues[mode] / (eigenvalues[mode] + roots), style, color=colour, label=f"mode {mode + 1}")
        means, errors = zip(*[(m[index], e[index]) for m, e in sampled], strict=True)
        axes.errorbar(few, means, 2 * np.array(errors), fmt=marker, mfc="none", color=colour)
    axes.set(xlabel="samples N", ylabel="learnt fraction", ylim=(0, 1))
    axes.legend(frameon=False, ncols=2, title="lines: theory; symbols: 30 data sets, two standard errors")
    return drawing


DERIVATION = Derivation(
    label="D9.1",
    title="Deterministic equivalent of kernel regression, scalar form",
    statement=r"With $\lambda_i, \phi_i$ the eigenvalues and eigenfunctions of the kernel under the data law, the resolvent "
    r"predictor at $s$ (a ridge of strength $-sN$) on $N$ samples has mean $\sum_i\frac{\lambda_i}{\lambda_i + "
    r"\kappa}c_i\phi_i$, with $\kappa = -s + \frac1N\sum_i\frac{\lambda_i\kappa}{\lambda_i + \kappa}$.",
    assumptions=[
        r"independent samples; to leading order in $1/N$",
        r"the leverage $\frac1N\langle k_z, Qk_z\rangle$ of a sample is replaced by its average over the data law: "
        r"$\phi_i(z)^2 \to 1$",
        r"$s < 0$, or complex $s$ off the spectrum, where the root with $-\mathrm{Im}\,\kappa/\mathrm{Im}\,s > 0$ is taken",
    ],
    builds_on=["D4.5"],
    code=["ntk_shortcuts.methods.average.deterministic_equivalent.scalar_kappa"],
    source="Simon et al. (2021), Canatar, Bordelon & Pehlevan (2021); here by leaving out one sample",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

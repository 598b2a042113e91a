"""D14.4: exponents of learning curves. Run by itself, or as `ntk-shortcuts derive D14.4`."""

import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, lines, main

alpha, beta, kappa, count, u = sp.symbols("alpha beta kappa N u", positive=True)
spectral = ns.analysis.spectral_learning_curve


def steps() -> list[Step]:
    # sum_i 1/(1 + kappa i^alpha) as an integral, u = kappa i^alpha; checked at a number where sympy has it.
    for a in (2, 3):
        integral = sp.integrate(1 / (1 + u**a), (u, 0, sp.oo))
        assert sp.simplify(integral - (sp.pi / a) / sp.sin(sp.pi / a)) == 0
    # Outside: the target that is not learnt, from i = N on; inside: (kappa/lambda)^2 c^2.
    i = sp.Symbol("i", positive=True)
    outside = sp.integrate(i**-3, (i, count, sp.oo))
    assert sp.simplify(outside - count**-2 / 2) == 0
    return [
        Step(
            r"With $\lambda_i = i^{-\alpha}$ and no ridge, $N = \sum_i\lambda_i/(\lambda_i + \kappa)$ is an integral,",
            r"N = \int_0^\infty\frac{di}{1 + \kappa i^\alpha} = \kappa^{-1/\alpha}\,\frac{\pi/\alpha}{\sin(\pi/\alpha)},"
            r"\qquad\kappa\propto N^{-\alpha}",
        ),
        Step(
            r"What is left of a target with $c_i^2 = i^{-\beta}$: modes beyond about N are not learnt, those below are to "
            r"$\kappa/\lambda_i$,",
            lines(
                r"\sum_i(1 - L_i)^2c_i^2\approx\sum_{i > N}i^{-\beta} + \kappa^2\sum_{i < N}i^{2\alpha - \beta}\propto "
                r"N^{1 - \beta} + N^{-2\alpha}\max(1, N^{2\alpha - \beta + 1}),",
                r"a = \min(2\alpha, \beta - 1)",
            ),
        ),
        Step(
            r"At a fixed time or ridge every pole $s$ of the filter keeps a distance from 0, and for large N",
            r"\kappa_s = -s + \frac1N\sum_i\frac{\lambda_i\kappa_s}{\lambda_i + \kappa_s} = -s + O(1/N),\qquad "
            r"m_N = m_\infty + O(1/N),\quad\mathrm{Var}f = O(1/N)",
        ),
        Step(
            r"A mean sign $2\Phi(m/s) - 1$ is smooth in m and s² where s > 0, and over test points on both sides of a "
            r"boundary the terms of order s cancel: biases and accuracies tend to those of infinite data like",
            r"|v(N) - v(\infty)|\propto N^{-1}",
        ),
    ]


def _circle(count: int, repeats: int, decays: tuple[float, float]) -> float:
    """Kernel regression on points of a circle: mean squared error over data sets, eigenfunctions root(2) cos, sin."""
    rng, order = np.random.default_rng(count), np.arange(1, 400)
    index = np.repeat(2 * order, 2) - np.tile([1, 0], len(order))
    values, coefficients = index ** -decays[0], index ** (-decays[1] / 2)

    def functions(angles: np.ndarray) -> np.ndarray:
        waves = np.stack([np.cos(angles[:, None] * order), np.sin(angles[:, None] * order)], axis=2)
        return np.sqrt(2) * waves.reshape(len(angles), -1)

    errors = []
    for _ in range(repeats):
        train, test = functions(rng.uniform(0, 2 * np.pi, count)), functions(rng.uniform(0, 2 * np.pi, 400))
        weights = np.linalg.lstsq((train * values) @ train.T, train @ coefficients, rcond=1e-13)[0]
        errors.append(np.mean(((test * values) @ (train.T @ weights) - test @ coefficients) ** 2))
    return float(np.mean(errors))


def checks() -> list[Check]:
    i = np.arange(1.0, 40_001.0)
    counts = [100, 200, 400, 800]
    slow, fast = (spectral(i**-a, i ** (-b / 2), counts) for a, b in ((1.5, 2.2), (2.0, 7.0)))
    order = np.arange(1.0, 799.0)
    predicted = spectral(order**-1.5, order**-1.1, [20, 60]).values
    sampled = [_circle(count, 60, (1.5, 2.2)) for count in (20, 60)]
    return [
        compare("min(2 alpha, beta - 1) = 1.2, the tail of the target", 1.2, slow.exponent, 0.05),
        compare("min(2 alpha, beta - 1) = 4, the filter", 4.0, fast.exponent, 0.1),
        compare("the exponents from the decays themselves", [1.2, 4.0], [slow.theory, fast.theory], 0.03),
        compare("test errors against 60 data sets on a circle", sampled, predicted, 0.03),
    ]


def figure():
    from matplotlib.figure import Figure

    from ntk_shortcuts.plotting import plot_learning_curve

    drawing = Figure(figsize=(5.2, 3.4), dpi=150, layout="constrained")
    i = np.arange(1.0, 20_001.0)
    curves = {
        rf"$\alpha$ = {a}, $\beta$ = {b}": spectral(i**-a, i ** (-b / 2), [25, 50, 100, 200, 400, 800, 1600])
        for a, b in ((1.5, 2.2), (2.0, 7.0), (1.5, 1.5))
    }
    axes = drawing.subplots()
    plot_learning_curve(curves, distance=True, label="test error", ax=axes)
    axes.set_ylim(1e-17, 10)  # room for the key
    return drawing


DERIVATION = Derivation(
    label="D14.4",
    title="Exponents of learning curves",
    statement=r"With $\lambda_i\propto i^{-\alpha}$ and $c_i^2\propto i^{-\beta}$ the error of kernel regression falls like "
    r"$N^{-\min(2\alpha, \beta - 1)}$; at a fixed time or ridge biases and accuracies tend to those of infinite data like 1/N.",
    assumptions=[r"no noise and no ridge for the first; $\alpha > 1$", r"N above the modes that are learnt for the second"],
    code=[
        "ntk_shortcuts.analysis.spectral_learning_curve",
        "ntk_shortcuts.analysis.learning_curve",
        "ntk_shortcuts.plotting.plot_learning_curve",
    ],
    source="Bordelon, Canatar & Pehlevan (2020), Spigler, Geiger & Wyart (2020) for the exponents; Simon et al. (2021) for the "
    "fixed point",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

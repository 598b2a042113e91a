"""D14.5: clusters that are a majority and a minority. Run by itself, or as `ntk-shortcuts derive D14.5`."""

import numpy as np
import sympy as sp
from scipy.special import ndtr

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.nodes.gaussian import sobol_normal

s, v, c, t = sp.symbols("s v c t", positive=True)
q1, q2, gap, penalty, level = sp.symbols("q_1 q_2 delta gamma k", positive=True)
x, y = sp.symbols("x y", positive=True)
INSIDE = (0.01, 0.25, 1.0)


def _moments() -> None:
    """Of clusters of covariance v at +-s along two axes, of shares q_i: E[z z'] and E[y z]."""
    axes = [sp.Matrix([1, 0]), sp.Matrix([0, 1])]
    clusters = [(share / 2, label, label * s * axis) for share, axis in zip((q1, q2), axes, strict=True) for label in (-1, 1)]
    second = sum((share * (v * sp.eye(2) + mean * mean.T) for share, _, mean in clusters), sp.zeros(2))
    first = sum((share * label * mean for share, label, mean in clusters), sp.zeros(2, 1))
    # The shares sum to 1.
    assert sp.simplify((second - sp.diag(q1 * s**2 + v, q2 * s**2 + v)).subs(q2, 1 - q1)) == sp.zeros(2)
    assert first == sp.Matrix([q1 * s, q2 * s])


def steps() -> list[Step]:
    _moments()
    # Each weight obeys its own linear equation, from 0 on.
    q = sp.Symbol("q", positive=True)
    moment = q * s**2 + v
    weight = q * s / moment * (1 - sp.exp(-c * moment * t))
    assert sp.simplify(sp.diff(weight, t) - c * (q * s - moment * weight)) == 0 and weight.subs(t, 0) == 0
    # At infinity the ratio times that of the eigenvalues is that of the shares.
    first, second = (share * s**2 + v for share in (q1, q2))
    ratio = (q1 * s / first) / (q2 * s / second)
    assert sp.simplify(ratio * first / second - q1 / q2) == 0
    # It is 1 without variance, rises with it where q1 > q2, and tends to that of the shares.
    assert sp.simplify(ratio.subs(v, 0) - 1) == 0 and sp.limit(ratio, v, sp.oo) == q1 / q2
    slope = sp.factor(sp.diff(ratio, v).subs(q1, q2 + gap))
    assert slope.is_positive
    # In time it falls: d log(ratio)/dt = h(lambda_1 t)/t - h(lambda_2 t)/t with h(x) = x/(e^x - 1), which falls since
    # e^x - 1 - x e^x does from 0 on.
    h = x / (sp.exp(x) - 1)
    numerator = sp.exp(x) - 1 - x * sp.exp(x)
    assert sp.simplify(sp.diff(h, x) * (sp.exp(x) - 1) ** 2 - numerator) == 0
    assert numerator.subs(x, 0) == 0 and sp.simplify(sp.diff(numerator, x) + x * sp.exp(x)) == 0
    # From that of the shares on: w_i = c q_i s t early.
    assert sp.simplify(sp.diff(weight, t).subs(t, 0) - c * q * s) == 0
    # Labels of another size, and a penalty on the square of the output, which has the same second moment.
    loss = moment * x**2 / 2 - level * q * s * x + penalty / 2 * moment * x**2
    assert sp.simplify(sp.diff(loss, x).subs(x, level * q * s / ((1 + penalty) * moment))) == 0
    # The margin of a centre is s w_i/|w|: the lesser of both is largest where they are equal.
    angle = sp.Symbol("a", positive=True)
    assert sp.solveset(sp.cos(angle) - sp.sin(angle), angle, sp.Interval(0, sp.pi / 2)) == sp.FiniteSet(sp.pi / 4)
    # y f of a point of cluster i is normal: mean s w_i, variance v |w|^2.
    accuracy = (1 + sp.erf(s * x / sp.sqrt(2 * v * (x**2 + y**2)))) / 2
    assert sp.simplify(accuracy.subs({x: level * x, y: level * y}) - accuracy) == 0
    return [
        Step(
            r"Clusters of the variance $v$ at $\pm s$ along axis $i$, of the share $q_i$: $E[zz^\top]$ is diagonal and "
            r"$E[yz_i] = q_is$. The kernel of a linear network of $L$ hidden layers is $c\,z\cdot z'$ with "
            r"$c = (L+1)\sigma_w^{2(L+1)}/d$, and so the axes are the eigenfunctions; along the majority's the eigenvalue is "
            r"the larger,",
            r"\lambda_i = c\,(q_is^2 + v)",
        ),
        Step(
            r"Gradient flow on the population moves each weight by itself, $\dot w_i = c\,q_is - \lambda_iw_i$ from 0 on: "
            r"in the time $1/\lambda_i$,",
            r"w_i(t) = \frac{q_is}{q_is^2 + v}\,\big(1 - e^{-\lambda_it}\big)",
        ),
        Step(
            r"At infinity the preference is what the eigenvalues leave of that of the shares: 1 for $v = 0$ only, rising with "
            r"$v$ to $q_1/q_2$,",
            r"\frac{w_1(\infty)}{w_2(\infty)} = \frac{q_1}{q_2}\,\frac{q_2s^2 + v}{q_1s^2 + v} = "
            r"\frac{q_1}{q_2}\,\frac{\lambda_2}{\lambda_1}",
        ),
        Step(
            r"It is least there. In time the ratio falls from that of the shares, as $x/(e^x-1)$ falls with $x$,",
            r"\frac{q_1}{q_2} \ge \frac{w_1(t)}{w_2(t)} = \frac{w_1(\infty)}{w_2(\infty)}\,"
            r"\frac{1 - e^{-\lambda_1t}}{1 - e^{-\lambda_2t}} \ge \frac{w_1(\infty)}{w_2(\infty)} \ge 1",
        ),
        Step(
            r"The margin of the output does not matter. Labels $\pm k$, and a penalty $\tfrac\gamma2f^2$ added to the loss, "
            r"scale both weights alike. The margin $s\,w_i/|w|$ itself would be largest, for centres of both kinds, at "
            r"$w_1 = w_2$: a preference beyond that is not the margin's,",
            r"w_i(\infty) = \frac{k}{1 + \gamma}\,\frac{q_is}{q_is^2 + v}",
        ),
        Step(
            r"Among the points of majority and minority, $yf$ is normal with mean $s\,w_i$ and variance $v\,|w|^2$. Accuracies "
            r"are those of a direction, whatever its length,",
            r"a_i = \Phi\Big(\frac{s}{\sqrt v}\,\frac{w_i}{\sqrt{w_1^2 + w_2^2}}\Big)",
        ),
    ]


def closed_form(share: float, inside: float, times: np.ndarray, speed: float, far: float = 2.0) -> dict[str, np.ndarray]:
    """Eigenvalues (2,), weights (T, 2) and accuracies (T, 2), of majority and minority."""
    shares = np.array([share, 1 - share])
    moments = shares * far**2 + inside
    weights = shares * far / moments * -np.expm1(-speed * moments * np.asarray(times)[:, None])
    sides = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    return {"eigenvalues": speed * moments, "weights": weights, "accuracies": ndtr(far / np.sqrt(inside) * sides)}


def _weights(law: ns.Clusters, network: ns.MLP, times: np.ndarray) -> np.ndarray:
    """(T, 2), the outputs at two probes."""
    options = {"method": "population", "random_init": False, "tolerance": 1e-3, "probes": np.eye(2)}
    return np.asarray(ns.predict(law, network, ns.GradientFlow(times), **options).mean)


def _accuracies(law: ns.Clusters, network: ns.MLP, inside: float, count: int = 8192) -> np.ndarray:
    """(1, 2) at infinity, from the outputs at points of the positive clusters, which mirror the others."""
    normal = np.sqrt(inside) * np.asarray(sobol_normal(2, count))
    points = np.concatenate([normal + center for center in 2 * np.eye(2)])
    options = {"method": "population", "random_init": False, "tolerance": 1e-3, "probes": points}
    outputs = np.asarray(ns.predict(law, network, ns.GradientFlow(np.inf), **options).mean)
    return np.mean(outputs.reshape(1, 2, count) > 0, axis=2)


def checks() -> list[Check]:
    shallow, deep = (ns.MLP(0), 2 / 100), (ns.MLP(1, activation="linear"), 2 * 4 / 100)
    found: dict[str, list] = {name: [] for name in ("eigenvalues", "weights", "accuracies")}
    expected: dict[str, list] = {name: [] for name in found}
    for network, speed in (shallow, deep):
        for share in (0.7, 0.97):
            for inside in INSIDE:
                law = ns.Clusters.imbalanced(share, covariance=inside)
                times = np.array([0.2, 2.0, np.inf]) / speed
                for name, values in closed_form(share, inside, times, speed).items():
                    expected[name].append(values[-1:] if name == "accuracies" else values)
                found["eigenvalues"].append(ns.kernel_spectrum(law, network, modes=2, tolerance=0.01).eigenvalues)
                found["weights"].append(_weights(law, network, times))
                found["accuracies"].append(_accuracies(law, network, inside))
    # Labels of half the size and a penalty of 1/2: minimised over 200,000 points.
    rng = np.random.default_rng(0)
    label, rare = rng.choice((-1, 1), 200_000), rng.random(200_000) < 0.1
    points = rng.normal(size=(200_000, 2)) / 2
    points[np.arange(len(points)), rare.astype(int)] += 2 * label
    fitted = np.linalg.solve(1.5 * points.T @ points, 0.5 * points.T @ label)
    plain = closed_form(0.9, 0.25, np.array([np.inf]), 0.02)["weights"][0]
    return [
        compare(
            "eigenvalues, of networks without and with a hidden layer", expected["eigenvalues"], found["eigenvalues"], 1e-6
        ),
        compare("weights at three times", expected["weights"], found["weights"], 2e-3),
        compare("accuracies, at 8192 points of majority and minority", expected["accuracies"], found["accuracies"], 2e-3),
        compare("smaller labels, and a penalty on the output: weights of 200,000 points", plain * 0.5 / 1.5, fitted, 3e-3),
    ]


def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(7.6, 3.2), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2)
    times = np.geomspace(1, 3000, 80)
    few = np.geomspace(2, 2000, 7)
    for inside, color in zip(INSIDE, ("C0", "C1", "C2"), strict=True):
        exact = closed_form(0.9, inside, times, 0.02)["weights"]
        law = ns.Clusters.imbalanced(0.9, covariance=inside)
        weights = _weights(law, ns.MLP(0), few)
        left.plot(times, exact[:, 0] / exact[:, 1], color=color, label=f"v = {inside:g}")
        left.plot(few, weights[:, 0] / weights[:, 1], "o", color=color, ms=4)
    left.axhline(9, color="gray", ls=":")
    left.annotate(r"$q_1/q_2$", (1000, 9), xytext=(0, -11), textcoords="offset points", color="gray")
    left.axhline(1, color="gray", ls=":")
    left.set(xscale="log", xlabel="training time t", ylabel=r"preference $w_1/w_2$", ylim=(0.5, 9.6))
    left.legend(title="points: predicted", loc="upper right", bbox_to_anchor=(0.99, 0.86))
    insides = np.geomspace(0.01, 4, 60)
    for share, color in zip((0.7, 0.9, 0.97), ("C0", "C1", "C2"), strict=True):
        exact = np.array([closed_form(share, inside, np.array([np.inf]), 0.02)["accuracies"][0] for inside in insides])
        right.plot(insides, exact[:, 0], color=color, label=f"majority {share:g}")
        right.plot(insides, exact[:, 1], "--", color=color)
    right.plot(insides, ndtr(2 / np.sqrt(2 * insides)), color="gray", ls=":", label="$w_1 = w_2$")
    right.set(xscale="log", xlabel="variance within clusters v", ylabel="accuracy at infinity", ylim=(0.5, 1.02))
    right.legend(title="minority dashed", loc="lower left")
    return drawing


DERIVATION = Derivation(
    label="D14.5",
    title="A majority and a minority of clusters, and what a linear network prefers",
    statement=r"For clusters of the variance $v$ at $\pm s$ along two axes, of the shares $q_1 > q_2$, the axes are the "
    r"eigenfunctions of a linear network. The majority's has the larger eigenvalue; at infinity the weights still "
    r"differ, by $\frac{q_1}{q_2}\frac{\lambda_2}{\lambda_1}$, unless $v = 0$; and no scale of the output alters that.",
    assumptions=[
        r"$z \mid g \sim N(\pm s\,e_i, v\,I)$ with the shares $q_i/2$, $q_1 + q_2 = 1$, the label the sign",
        r"a linear network of infinite width without biases, its output 0 at the start",
        r"gradient flow of the squared loss on infinite data",
    ],
    builds_on=["D3.1", "D4.1"],
    code=["ntk_shortcuts.laws.clusters.presets.imbalanced"],
    source="Lim, Kim & Moon (2026), whose abstract states the three claims; the closed form is this project's",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

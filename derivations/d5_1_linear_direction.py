"""D5.1: the output direction of a linear network at all times. Run by itself, or as `ntk-shortcuts derive D5.1`."""

import mpmath
import numpy as np
import sympy as sp
from scipy.linalg import expm
from scipy.special import roots_hermitenorm

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

t, tau, Delta, c, s = sp.symbols("t tau Delta c s", positive=True)
m, r = sp.symbols("m r", real=True)
mu_s, mu_c, sigma = sp.symbols("mu_s mu_c sigma", real=True)
alpha_s, alpha_c = sp.symbols("alpha_s alpha_c", positive=True)
level = sp.Symbol("l", integer=True, nonnegative=True)
mu, A = sp.Matrix([mu_s, mu_c]), sp.diag(alpha_s, alpha_c)
Sigma = sp.Matrix([[1, sigma], [sigma, 1]])


def steps() -> list[Step]:
    # Slopes in the inner product: K_l = s K_(l-1), Theta_l = K_l + s Theta_(l-1), both s at l = 0 (times 1/d).
    theta = sp.Function("theta")
    slope = sp.rsolve(theta(level + 1) - s ** (level + 2) - s * theta(level), theta(level), {theta(0): s})
    assert sp.simplify(slope - (level + 1) * s ** (level + 1)) == 0
    # Moments of u = A z with z = y mu + noise: the law of z is symmetric and y^2 = 1.
    y, e_s, e_c = sp.symbols("y e_s e_c")
    u = A * (y * mu + sp.Matrix([e_s, e_c]))
    averages = {e_s**2: 1, e_c**2: 1, e_s * e_c: sigma, y**2: 1}
    second = (u * u.T).applyfunc(lambda x: sp.expand(x).subs(averages).subs({y * e_s: 0, y * e_c: 0}).subs({e_s: 0, e_c: 0}))
    assert sp.simplify(second - A * (Sigma + mu * mu.T) * A) == sp.zeros(2)
    # Exponential of a symmetric 2 x 2 matrix C = tau + M, M traceless, M^2 = Delta^2.
    M = sp.Matrix([[m, r], [r, -m]])
    assert sp.simplify(M * M - (m**2 + r**2) * sp.eye(2)) == sp.zeros(2)
    decay = sp.exp(-tau * t) * (sp.cosh(Delta * t) * sp.eye(2) - sp.sinh(Delta * t) / Delta * M)
    residual = (decay.diff(t) + (tau * sp.eye(2) + M) * decay).subs(r, sp.sqrt(Delta**2 - m**2))
    assert residual.applyfunc(lambda x: sp.simplify(sp.expand(x))) == sp.zeros(2)
    assert decay.subs(t, 0) == sp.eye(2)
    # End of training: C^-1 b, by Sherman and Morrison.
    C, b = c * A * (Sigma + mu * mu.T) * A, c * A * mu
    w_star = Sigma.inv() * mu
    end = A.inv() * w_star / (1 + (mu.T * w_star)[0])
    assert sp.simplify(C * end - b) == sp.zeros(2, 1)
    return [
        Step(
            r"Linear layers multiply the inner product's slope by $s=\sigma_w^2$; $\Theta^l=K^l+s\,\Theta^{l-1}$ from "
            r"$\Theta^0=K^0$ has, for $l$ hidden layers, the slope times $d$",
            sp.Eq(theta(level), sp.factor(slope), evaluate=False),
        ),
        Step(
            r"On odd functions $\Theta=c\,u\cdot u'$ with $u=Az$, and the output stays $w\cdot u$. By D1.3 the target "
            r"enters as $E[u\,E[y|z]]=E[u\,y]=A\mu$; the second moment is $E[uu^\top]=A(\Sigma+\mu\mu^\top)A$.",
            r"\dot w = b - C w, \quad C = c\,A(\Sigma+\mu\mu^\top)A, \quad b = c\,A\mu",
        ),
        Step(
            r"The flow from 0. With $\tau=\frac12\mathrm{tr}\,C$ and $\Delta^2=\tau^2-\det C$, Cayley and Hamilton give the "
            r"exponential in closed form.",
            r"e^{-Ct} = e^{-\tau t}\left(\cosh\Delta t - \frac{\sinh\Delta t}{\Delta}(C-\tau)\right)",
        ),
        Step(
            r"The end of training does not know the amplifications: $Aw_\infty$ is the Bayes direction, scaled.",
            r"A\,w_\infty = A\,C^{-1}b = \frac{w^*}{1+\mu\cdot w^*}",
        ),
        Step(r"So at all times", r"w_t = \left(I-e^{-Ct}\right)C^{-1}b = g(C)\,b"),
    ]


TIMES = np.array([0.0, 1e-9, 1.0, 30.0, 500.0, np.inf])


def _settings(rng):
    fixed = [
        ((0.85, 0.9), (1.0, 1.0), 0.6),
        ((0.9, 0.9), (2.0, 2.0), 0.0),
        ((0.5, 0.9), (8.0, 1.0), 0.6),
        ((0.6, 0.9), (0.1, 1), 0.99),
    ]
    drawn = [(rng.uniform(0.5, 0.95, 2), 10 ** rng.uniform(-0.5, 0.8, 2), rng.uniform(-0.9, 0.9)) for _ in range(3)]
    return [ns.GenerativeModel(tuple(rho), tuple(alpha), sigma) for rho, alpha, sigma in fixed + drawn]


def closed_form(model, slope: float, time: float) -> list[float]:
    """A w_t in 40 digits."""
    with mpmath.workdps(40):
        alpha, mean = ([mpmath.mpf(float(x)) for x in values] for values in (model.amplification, model.means))
        corr, c_ = mpmath.mpf(float(model.correlation)), mpmath.mpf(slope)
        moment = [[1 + mean[0] ** 2, corr + mean[0] * mean[1]], [corr + mean[0] * mean[1], 1 + mean[1] ** 2]]
        C = mpmath.matrix([[c_ * alpha[i] * moment[i][j] * alpha[j] for j in range(2)] for i in range(2)])
        end = mpmath.lu_solve(C, mpmath.matrix([c_ * alpha[i] * mean[i] for i in range(2)]))
        if time < np.inf:
            half = (C[0, 0] + C[1, 1]) / 2
            gap = mpmath.sqrt(((C[0, 0] - C[1, 1]) / 2) ** 2 + C[0, 1] ** 2)
            ratio = mpmath.sinh(gap * time) / gap if gap else mpmath.mpf(time)
            identity = mpmath.eye(2)
            decay = mpmath.exp(-half * time) * (mpmath.cosh(gap * time) * identity - ratio * (C - half * identity))
            end = end - decay * end
        return [float(alpha[i] * end[i]) for i in range(2)]


@in_float64
def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    flow = ns.GradientFlow(TIMES)
    exact, got = [], []
    for model in _settings(rng):
        got.append(np.asarray(ns.linear.output_direction(model, ns.MLP(0, weight_variance=50.0), flow)))
        exact.append([closed_form(model, 0.5, time) for time in TIMES])
    model = ns.GenerativeModel((0.8, 0.9), (3.0, 1.0), 0.4)
    deep = ns.linear.output_direction(model, ns.MLP(2, "linear", weight_variance=2.0, bias_variance=0.3), flow)
    relu = ns.linear.output_direction(model, ns.MLP(1, "relu", weight_variance=2.0), flow)
    # The odd parts of E[relu relu] and E[step step] cos(angle) are both a quarter of those of a linear unit.
    slopes = [3 * 2.0**3 / 100, 2 * 2.0**2 / 100 / 4]
    others = [[closed_form(model, slope, time) for time in TIMES] for slope in slopes]
    return [
        compare("direction against the closed form in 40 digits, depth 0", exact, got),
        compare("two hidden layers with biases: slope 3 sigma_w^6 / d", others[0], deep),
        compare("one hidden layer of ReLU: slope sigma_w^4 / (2 d)", others[1], relu),
        compare("flow of the weights on quadrature nodes, by a matrix exponential", *_on_nodes(model)),
    ]


def _on_nodes(model) -> tuple[np.ndarray, np.ndarray]:
    """A w_t from the population risk on Gauss-Hermite nodes of the two classes, and from the code."""
    nodes, masses = roots_hermitenorm(3)  # exact for the quadratic risk
    grid = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2) @ np.asarray(model.whitening).T
    share = np.outer(masses, masses).ravel() / masses.sum() ** 2 / 2
    u = np.concatenate([grid + np.asarray(model.means), grid - np.asarray(model.means)]) * np.asarray(model.amplification)
    shares, labels = np.tile(share, 2), np.repeat([1.0, -1.0], len(grid))
    slope, time = 0.02, TIMES[3]
    generator = np.zeros((3, 3))
    generator[:2, :2] = -slope * (u.T * shares) @ u
    generator[:2, 2] = slope * (u.T * shares) @ labels
    weights = expm(generator * time)[:2, 2]
    code = ns.linear.output_direction(model, ns.MLP(0, weight_variance=2.0), ns.GradientFlow(TIMES))
    return weights * np.asarray(model.amplification), np.asarray(code)[3]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    times = np.concatenate([[0.0], np.logspace(-1, 4, 120)])
    for ratio, color in ((0.5, "#440154"), (1.0, "#31688e"), (2.0, "#35b779"), (8.0, "#c8b200")):
        model = ns.GenerativeModel((0.85, 0.9), (ratio, 1.0))
        path = np.asarray(ns.linear.output_direction(model, ns.MLP(0), ns.GradientFlow(times)))
        axes.plot(path[:, 0], path[:, 1], color=color, label=rf"$\alpha_s/\alpha_c$ = {ratio:g}")
    axes.plot(*path[-1], "ko", zorder=3)
    axes.annotate(r"$w^*/(1+\mu\cdot w^*)$", path[-1], xytext=(8, -4), textcoords="offset points")
    axes.set(xlabel=r"$v_s$", ylabel=r"$v_c$", xlim=(0, 0.7), ylim=(0, 0.5))
    axes.legend(frameon=False, title="from t = 0 at the origin", loc="lower right")
    return drawing


DERIVATION = Derivation(
    label="D5.1",
    title="Output direction of a linear network",
    statement=r"On infinite data a linear network's mean output is $m(z)=v_t\cdot z$ with $v_t=A\,g(C)\,b$, "
    r"$C=cA(\Sigma+\mu\mu^\top)A$, $b=cA\mu$, $A=\mathrm{diag}(\alpha)$; for gradient flow $w_t=(I-e^{-Ct})C^{-1}b$, which "
    r"ends in $v_\infty=w^*/(1+\mu\cdot w^*)$. With $L$ hidden layers $c=(L+1)\sigma_w^{2(L+1)}/d$.",
    assumptions=[
        "infinite data, squared loss, infinite width",
        "no nesting; orthogonal feature directions (d to infinity)",
        "mean over initialisations; biases only add even functions",
        "one hidden layer of ReLU without biases has the same form with a quarter of the slope: its odd part is linear",
    ],
    builds_on=["D1.3", "D3.1", "D4.1"],
    code=["ntk_shortcuts.linear.output_direction"],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

"""D4.4: mean and covariance over initialisations. Run by itself, or as `ntk-shortcuts derive D4.4`."""

import numpy as np
import sympy as sp
from scipy.linalg import expm
from scipy.special import ndtr

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels import Kernels
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.outputs.signs import expected_sign
from ntk_shortcuts.training.frozen_kernel import trained_outputs

t, tau, lam, y, kappa = sp.symbols("t tau lambda y kappa", positive=True)
f0, h0 = sp.symbols("f_0 h_0", real=True)
f = sp.Function("f")


def steps() -> list[Step]:
    # One mode from a random start f_0 on the data and h_0 at the probe.
    on_data = sp.dsolve(sp.Derivative(f(t), t) + lam * (f(t) - y), f(t), ics={f(0): f0}).rhs
    at_probe = h0 + sp.integrate(kappa * (y - on_data.subs(t, tau)), (tau, 0, t))
    gain = (1 - sp.exp(-lam * t)) / lam
    assert sp.simplify(at_probe - (h0 + kappa * gain * (y - f0))) == 0
    # Covariance of a linear map of the joint Gaussian (f_0(x), f_0(x'), f_0(X)), entry by entry, for two data points.
    A, B = sp.Matrix(1, 2, sp.symbols("A_1 A_2")), sp.Matrix(1, 2, sp.symbols("A'_1 A'_2"))
    k11, k12, k22 = sp.symbols("K_11 K_12 K_22")
    data = sp.Matrix([[k11, k12], [k12, k22]])
    left, right = sp.Matrix(1, 2, sp.symbols("k_1 k_2")), sp.Matrix(1, 2, sp.symbols("k'_1 k'_2"))
    both = sp.Symbol("k_xx'")
    joint = sp.Matrix(sp.BlockMatrix([[sp.zeros(1, 2), left], [sp.zeros(1, 2), right], [left.T.row_join(right.T), data]]))
    joint[0, 0], joint[0, 1], joint[1, 0], joint[1, 1] = sp.symbols("a b b c")
    joint = joint.subs(sp.Symbol("b"), both)
    maps = sp.Matrix([[1, 0, -A[0], -A[1]], [0, 1, -B[0], -B[1]]])
    covariance = (maps * joint * maps.T)[0, 1]
    formula = both + (A * data * B.T)[0] - (A * right.T)[0] - (left * B.T)[0]
    assert sp.expand(covariance - formula) == 0
    # A linear network has K proportional to Theta: one mode keeps the share exp(-2 lambda t) of its variance.
    share = sp.simplify((1 - lam * gain) ** 2)
    assert sp.simplify(share - sp.exp(-2 * lam * t)) == 0
    # A probe among the data, as every point is where the law itself is the data.
    assert sp.simplify(at_probe.subs({h0: f0, kappa: lam}) - on_data) == 0
    m, s, x = sp.Symbol("m", real=True), sp.Symbol("s", positive=True), sp.Symbol("x", real=True)
    positive = sp.integrate(sp.exp(-((x - m) ** 2) / (2 * s**2)) / (s * sp.sqrt(2 * sp.pi)), (x, 0, sp.oo))
    assert sp.simplify((2 * positive - 1 - sp.erf(m / (s * sp.sqrt(2)))).rewrite(sp.erf)) == 0
    return [
        Step(
            r"The flow of one mode from a random start, $f_0$ on the data and $h_0$ at the probe; the filter $g$ of D4.1 to "
            r"D4.3 acts on $y-f_0$.",
            sp.Eq(sp.Symbol("h_t"), h0 + kappa * sp.Symbol("g") * (y - f0), evaluate=False),
        ),
        Step(r"For all modes, with $A=\Theta(x,X)\,\frac1Ng(\Theta/N)$:", r"f(x) = f_0(x) + A\,(y - f_0(X))"),
        Step(r"At infinite width $f_0$ is Gaussian with mean 0 and covariance $K$, so the mean is", r"m(x) = A\,y"),
        Step(
            r"and the covariance that of the linear map $(1,-A)$ of $(f_0(x), f_0(X))$:",
            r"\mathrm{cov}(x,x') = K(x,x') + A\,K(X,X)\,A'^\top - A\,K(X,x') - K(x,X)\,A'^\top",
        ),
        Step(
            r"With infinitely many samples $\frac1N\Theta$ is the integral operator $T$ of the law, every point is one of the "
            r"data ($h_0=f_0$ and $\kappa=\lambda$ in step 1), and labels are their mean $f^*$:",
            r"f_t = f_0 + T\,g(T)\,(f^* - f_0)",
        ),
        Step(
            r"A decision is the sign of an output. Where that is Gaussian with mean $m$ and standard deviation $s$, and $\Phi$ "
            r"is the normal distribution function,",
            r"E\,\mathrm{sign}f = 2\,\Phi(m/s) - 1",
        ),
    ]


@in_float64
def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    points, probes, labels, time = rng.normal(size=(6, 3)), rng.normal(size=(4, 3)), rng.choice([-1.0, 1.0], 6), 2.5
    probes[0] = points[0]
    network = ns.MLP(1, "erf", bias_variance=0.3)
    law = ns.predict_outputs(network, ns.GradientFlow(time), points, labels, probes, full_covariance=True)
    everything = np.concatenate([probes, points])
    kernels = network.kernels(everything)
    ntk, nngp = np.asarray(kernels.ntk), np.asarray(kernels.nngp)
    # The flow of probes and data together, and its exponential, in place of filters and eigenvectors.
    generator = np.zeros((10, 10))
    generator[:, 4:] = -ntk[:, 4:] / 6
    flow = expm(generator * time)
    target = np.concatenate([np.zeros(4), labels])
    # df/dt = G (f - (0, y)) leaves what is constant in it: f = (0, y) + e^{Gt} (f_0 - (0, y)).
    mean = (target - flow @ target)[:4]
    covariance = (flow @ nngp @ flow.T)[:4, :4]

    # Weights of a linear network with biases, whose flow is a matrix exponential in weight space.
    linear = ns.MLP(0, weight_variance=1.5, bias_variance=0.4)
    linear_law = ns.predict_outputs(linear, ns.GradientFlow(time), points, labels, probes, full_covariance=True)
    design = np.concatenate([np.sqrt(1.5 / 3) * everything, np.full((10, 1), np.sqrt(0.4))], axis=1)
    curvature = design[4:].T @ design[4:] / 6
    decay = expm(-curvature * time)
    optimum = np.linalg.solve(curvature, design[4:].T @ labels / 6)
    weights = optimum - decay @ optimum
    spread = design[:4] @ decay @ decay.T @ design[:4].T

    # Weighted points, here one that counts twice: the flow with 2/7 and 1/7 in place of 1/6.
    shares = np.array([2.0, 1, 1, 1, 1, 1]) / 7
    blocks = Kernels(nngp[4:, 4:], ntk[4:, 4:]), Kernels(nngp[:4, 4:], ntk[:4, 4:])
    weighted = trained_outputs(*blocks, nngp[:4, :4], shares, labels, ns.GradientFlow(time), None)
    generator[:, 4:] = -ntk[:, 4:] * shares
    weighted_flow = expm(generator * time)
    deviation = np.sqrt(np.diag(covariance))
    return [
        compare("mean against the exponential of the joint flow", mean, law.mean),
        compare("covariance against the exponential of the joint flow", covariance, law.variance),
        compare("linear network: mean from its weights", design[:4] @ weights, linear_law.mean),
        compare("linear network: covariance from its weights", spread, linear_law.variance),
        compare("weighted points: mean", (target - weighted_flow @ target)[:4], weighted.mean),
        compare("weighted points: covariance", (weighted_flow @ nngp @ weighted_flow.T)[:4, :4], weighted.variance),
        compare(
            "expected sign against the normal distribution", 2 * ndtr(mean / deviation) - 1, expected_sign(mean, deviation)
        ),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    panels = drawing.subplots(1, 3, sharey=True)
    points, labels = np.array([[-1.5], [-0.4], [0.3], [1.2]]), np.array([-1.0, 1.0, -1.0, 1.0])
    axis = np.linspace(-2.5, 2.5, 101)
    times = [0.0, 10.0, 1000.0]
    network = ns.MLP(1, "erf", weight_variance=6.0, bias_variance=0.3)
    law = ns.predict_outputs(network, ns.GradientFlow(times), points, labels, axis[:, None], full_covariance=False)
    for axes, time, mean, variance in zip(panels, times, np.asarray(law.mean), np.asarray(law.variance), strict=True):
        axes.fill_between(axis, mean - 2 * np.sqrt(variance), mean + 2 * np.sqrt(variance), color="C0", alpha=0.25, lw=0)
        axes.plot(axis, mean, color="C0")
        axes.plot(points[:, 0], labels, "o", color="C1", ms=4)
        axes.set(xlabel="x", title=f"t = {time:g}", ylim=(-5.5, 5.5))
    panels[0].set_ylabel("output: mean, two standard deviations")
    return drawing


DERIVATION = Derivation(
    label="D4.4",
    title="Mean and covariance over initialisations",
    statement=r"With $A=\Theta(x,X)\frac1Ng(\Theta/N)$ the trained outputs are Gaussian with mean $m(x)=A\,y$ and covariance "
    r"$K(x,x')+A\,K(X,X)\,A'^\top-A\,K(X,x')-K(x,X)\,A'^\top$. Points of weights $w$ replace $\frac1Ng(\Theta/N)$ by "
    r"$\sqrt w\,g(\sqrt w\,\Theta\sqrt w)\sqrt w$.",
    assumptions=[
        "infinite width: Gaussian outputs at initialisation with covariance K, and a kernel that does not move",
        "any training rule that is a filter (D4.1 to D4.3)",
    ],
    builds_on=["D4.1", "D4.3"],
    evidence={"networks of width 512": "../evidence/validate.md"},
    code=[
        "ntk_shortcuts.predict_outputs",
        "ntk_shortcuts.training.frozen_kernel.trained_outputs",
        "ntk_shortcuts.outputs.signs.expected_sign",
    ],
    source="Lee et al. (2019), equations 14 to 16",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

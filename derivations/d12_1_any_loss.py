"""D12.1: any loss with a frozen kernel. Run by itself, or as `ntk-shortcuts derive D12.1`."""

import numpy as np
import sympy as sp
from scipy.integrate import solve_ivp
from scipy.special import expit, lambertw

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.training.function_flow import FunctionFlow
from ntk_shortcuts.training.losses import resolve_loss

f, u = sp.symbols("f u", real=True)
P, t, K = sp.symbols("P t K", positive=True)


def _force() -> sp.Expr:
    """c of the logistic loss, from its definition."""
    loss = {y: sp.log(1 + sp.exp(-y * f)) for y in (1, -1)}
    return -P * sp.diff(loss[1], f) - (1 - P) * sp.diff(loss[-1], f)


def _gradient() -> sp.Expr:
    """The flow of q of a risk over two nodes in two modes, less the gradient's."""
    q, w = sp.Matrix(sp.symbols("q1 q2")), sp.symbols("w1 w2")
    phi = sp.Matrix(2, 2, sp.symbols("a b c d"))
    risk = sp.Function("R1"), sp.Function("R2")
    outputs = phi * q
    whole = sum(w[z] * risk[z](outputs[z]) for z in range(2))
    forces = [-sp.diff(risk[z](f), f).subs(f, outputs[z]).doit() for z in range(2)]
    moved = phi.T * sp.Matrix([w[z] * forces[z] for z in range(2)])
    return sp.simplify((moved + sp.Matrix([sp.diff(whole, x) for x in q])).norm())


def steps() -> list[Step]:
    assert _gradient() == 0
    c = _force()
    assert sp.simplify(c - (P - 1 / (1 + sp.exp(-f)))) == 0
    target = 2 * P - 1
    assert sp.simplify(c.subs(f, 0) - target / 2) == 0
    assert sp.simplify(sp.diff(c, f).subs(f, 0)) == -sp.Rational(1, 4)
    odds = sp.log(P / (1 - P))
    assert sp.simplify(c.subs(f, odds)) == 0
    assert sp.simplify(sp.exp(odds.subs(P, (1 + sp.tanh(u)) / 2)).rewrite(sp.exp) - sp.exp(2 * u)) == 0
    # One certain node: f' = K/(1 + e^f) keeps f + e^f - K t.
    assert sp.simplify((1 + sp.exp(f)) * K / (1 + sp.exp(f)) - K) == 0
    return [
        Step(
            r"Gradient flow on the mean of $\ell(f, y)$ moves outputs by the kernel; a node $z$ of weight $w_z$ holds $y = "
            r"\pm1$ "
            r"with probabilities $P_\pm = (1 \pm E[y|z])/2$.",
            r"\frac{df(x)}{dt} = \sum_zw_z\Theta(x, z)\,c_z(f(z)),\qquad c_z(f) = -P_+\ell'(f, 1) - P_-\ell'(f, -1)",
        ),
        Step(
            r"With $\Theta(x, x') = \varphi(x)\cdot\varphi(x')$ and $f = f_0 + \varphi\cdot q$ it is gradient flow of a "
            r"function of $q$ "
            r"(checked for two nodes), convex where the loss is, and symmetric in its curvature:",
            r"\dot q = \sum_zw_zc_z\varphi(z) = -\nabla_qR,\qquad \nabla^2_qR = -\sum_zw_zc'_z\,\varphi(z)\varphi(z)^T",
        ),
        Step(r"Logistic loss, s the logistic function:", r"c_z(f) = P_+ - s(f)"),
        Step(
            r"Early on, with $f^* = E[y|z] = 2P_+ - 1$, it is half of the squared loss' flow, $c = f^* - f$, and its decay "
            r"rates are a "
            r"quarter of those:",
            r"c_z(f) = \tfrac12f^* - \tfrac14f + O(f^3)",
        ),
        Step(
            r"It stands still at the log-odds; for two Gaussian classes, $f^* = \tanh(w^*\cdot z)$,",
            r"c_z(f) = 0\ \Leftrightarrow\ f = \log\frac{P_+}{P_-} = 2\,w^*\cdot z",
        ),
        Step(
            r"Where labels are certain and some outputs separate them nothing stands still. One node of label $+1$ and "
            r"kernel $K$:",
            r"f' = \frac{K}{1 + e^f},\qquad f + e^f = 1 + Kt,\qquad f \to \log Kt",
        ),
        Step(
            r"The outputs stay odd where law and loss are symmetric, $\ell(-f, -y) = \ell(f, y)$, and $f_0 = 0$: the odd "
            r"part of the kernel "
            r"is all that acts. That of one hidden layer of ReLU without biases is the linear kernel of the same variance "
            r"(D3.3):",
            r"f_t^{\mathrm{ReLU}} = f_t^{\mathrm{linear}}\quad\text{at all }t",
        ),
    ]


def _problem(kernel, weights, targets) -> FunctionFlow:
    nodes = Nodes.of(np.arange(float(len(weights)))[:, None], weights, targets)
    return FunctionFlow(resolve_loss("logistic"), nodes, kernel, np.zeros((1, len(weights))))


@in_float64
def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    kernel = np.asarray(ns.MLP(2, bias_variance=0.1).kernels(rng.normal(size=(20, 4))).ntk)
    weights, targets = rng.dirichlet(np.ones(20)), rng.uniform(-0.9, 0.9, 20)
    problem, times = _problem(kernel, weights, targets), np.array([1.0, 30.0, 1000.0])
    code = problem.outputs(problem.flow(times), kernel)[:, 0]
    solved = solve_ivp(
        lambda _, a: (1 + targets) / 2 - expit(kernel @ (weights * a)),
        (0, 1000),
        np.zeros(20),
        "LSODA",
        times,
        rtol=1e-10,
        atol=1e-12,
    )
    reference = (kernel @ (weights[:, None] * solved.y)).T
    single, late = _problem(np.array([[3.0]]), np.ones(1), np.ones(1)), np.array([1e-2, 1.0, 1e2, 1e4, 1e6])
    # f + e^f = 1 + K t by Lambert's function.
    level = 1 + 3 * late
    exact = level - lambertw(np.exp(np.minimum(level, 700))).real
    large = level > 700
    guess = np.log(level[large])
    for _ in range(50):
        guess = np.log(level[large] - guess)
    exact[large] = guess
    certain = single.outputs(single.flow(late), np.array([[3.0]]))[:, 0, 0]
    odds = problem.outputs(problem.flow(np.array([np.inf])), kernel)[0, 0]
    early = problem.outputs(problem.flow(np.array([1e-7])), kernel)[0, 0]
    model = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
    options = {"method": "population", "loss": "logistic", "random_init": False, "tolerance": 0.05}
    linear, relu = (ns.predict_bias(model, ns.MLP(depth), ns.GradientFlow([3.0, 300.0]), **options).mean for depth in (0, 1))
    return [
        compare("outputs against SciPy's LSODA", reference, code, 1e-5),
        compare("one certain node, f + e^f = 1 + K t up to t = 1e6", exact, certain, 1e-6),
        compare("the limit against the log-odds", np.log((1 + targets) / (1 - targets)), odds, 1e-6),
        compare("early: half of the target's part", kernel @ (weights * targets) * 1e-7 / 2, early, 1e-6),
        compare("one hidden layer of ReLU against the linear network", linear, relu, 1e-9),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    times = np.geomspace(0.1, 1e4, 60)
    for target, color in ((1.0, "#440154"), (0.9, "#31688e"), (0.5, "#35b779")):
        problem = _problem(np.ones((1, 1)), np.ones(1), np.array([target]))
        axes.plot(
            times, problem.outputs(problem.flow(times), np.ones((1, 1)))[:, 0, 0], color=color, label=f"E[y] = {target:g}"
        )
        axes.plot(times, target * -np.expm1(-times), "--", color=color)
        if target < 1:
            axes.axhline(np.log((1 + target) / (1 - target)), color=color, lw=0.6)
    axes.set(xscale="log", xlabel="time", ylabel="output at one node", title="logistic loss (dashed: squared)")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D12.1",
    title="Any loss with a frozen kernel",
    statement=r"With $\Theta = \varphi\cdot\varphi$ and $f = f_0 + \varphi\cdot q$, gradient flow under a loss $\ell$ is "
    r"$\dot q = "
    r"\sum_zw_zc_z(f(z))\,\varphi(z)$, $c_z(f) = -P_+\ell'(f, 1) - P_-\ell'(f, -1)$: gradient flow of a convex function. For "
    r"the "
    r"logistic loss $c_z = P_+ - s(f)$, half of the squared loss' flow at first, and the log-odds in the end.",
    assumptions=[
        "the kernel does not move; time = learning rate x steps",
        r"the loss is the mean of $\ell(f, y)$, convex in $f$, and $\ell(-f, -y) = \ell(f, y)$",
        "the limit: as far as the kernel's eigenvalues are above the resolution of the arithmetic",
    ],
    builds_on=["D3.3", "D4.1"],
    evidence={"losses": "../evidence/losses.md"},
    code=["ntk_shortcuts.training.function_flow"],
    source="Jacot et al. (2018) for the flow in function space; Soudry et al. (2018) for separable data; this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

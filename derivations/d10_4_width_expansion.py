"""D10.4: moments at finite width to first order, any activation. Run by itself, or as `ntk-shortcuts derive D10.4`."""

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, lines, main
from ntk_shortcuts.kernels.finite_width.expansion import expand_in_width
from ntk_shortcuts.numerics import in_float64

# q is the variance of a layer while it is averaged over, q_0 that of the first.
q, q0, w, n, a, x = sp.symbols("q q_0 w n a x", positive=True)


def _mean(polynomial: sp.Expr, variance: sp.Expr = q) -> sp.Expr:
    """E over x ~ N(0, variance) of a polynomial in x."""
    terms = sp.Poly(sp.expand(polynomial), x).terms()
    return sp.expand(sum(c * variance ** (k // 2) * sp.factorial2(k - 1) for (k,), c in terms if k % 2 == 0))


def _relu_mean(polynomial: sp.Expr) -> sp.Expr:
    """E over x ~ N(0, q) of 1[x > 0] times an even polynomial in x."""
    return sp.expand(_mean(polynomial) / 2)


def _recursion(depth: int, phi: sp.Expr, mean, start: sp.Expr) -> dict[str, sp.Expr]:
    """The recursion without biases from q = theta = start, symbolically; of ReLU with phi = x and mean = _relu_mean."""
    state = {"q": start, "t": start, "mq": 0, "mt": 0, "qq": 0, "qt": 0, "tt": 0, "F": 0, "B": 0}
    slope = sp.diff(phi, x)
    g, chi = w * mean(phi**2), w * mean(slope**2)
    for _ in range(depth):
        at = lambda f, s=state: sp.expand(sp.sympify(f).subs(q, s["q"]))  # noqa: E731
        t, s = state["t"], state
        to_q, to_t = w * phi**2, w * (phi**2 + slope**2 * t)
        fluctuation = [at(mean(f * h)) - at(mean(f)) * at(mean(h)) for f, h in ((to_q, to_q), (to_q, to_t), (to_t, to_t))]
        g1, chi0 = at(sp.diff(g, q)), at(chi)
        n1, n2 = (at(sp.diff(g, q, k) + sp.diff(chi, q, k) * t) for k in (1, 2))
        state = {
            "q": at(g),
            "t": at(g + chi * t),
            "mq": g1 * s["mq"] + at(sp.diff(g, q, 2)) * s["qq"] / 2,
            "mt": n1 * s["mq"] + chi0 * s["mt"] + n2 * s["qq"] / 2 + at(sp.diff(chi, q)) * (s["qt"] + 2 * s["F"]),
            "qq": g1**2 * s["qq"] + fluctuation[0],
            "qt": g1 * (n1 * s["qq"] + chi0 * s["qt"]) + fluctuation[1],
            "tt": n1**2 * s["qq"] + 2 * n1 * chi0 * s["qt"] + chi0**2 * s["tt"] + fluctuation[2],
            "F": w**2 * (at(mean((phi * slope) ** 2)) * t + at(mean(phi * slope * x) / q) ** 2 * s["F"]),
            "B": w**2 * (at(mean(slope**4)) * t**2) + chi0**2 * s["B"],
        }
        state = {name: sp.expand(value) for name, value in state.items()}
    return state


def _exact_mean_of_two_layers(phi: sp.Expr, start: sp.Expr) -> sp.Expr:
    """E Theta of two hidden layers at any width n, without biases, by conditioning on the first; phi quadratic."""
    slope = sp.diff(phi, x)
    square, chi, both = w * phi**2, w * slope**2 * start, phi**2 * slope**2

    def first(f: sp.Expr) -> sp.Expr:
        return _mean(f, start)

    # Given the first layer: q' = mean of `square`, H = mean of `square` + (w theta / n) sum_k W_k^2 phi'_k^2. Means of products
    # of two means over n independent units:
    def product(f: sp.Expr, h: sp.Expr) -> sp.Expr:
        return first(f * h) / n + (1 - 1 / n) * first(f) * first(h)

    # E phi'(z)^2 H = E phi'^2 E H + Cov, with phi'^2 = c_0 + c_1 z + c_2 z^2 and
    # Cov(z^2, H) = 2 (w theta / n) (w / n) sum phi_k^2 phi'_k^2; phi^2 gives w E phi(z)^2 once more.
    c0, c2 = (sp.expand(slope**2).coeff(x, k) for k in (0, 2))
    squares = sp.Poly(sp.expand(phi**2), x)
    g = sum(
        c * sp.factorial2(k - 1) * (first(square) if k == 2 else product(square, square))
        for (k,), c in squares.terms()
        if k in (2, 4)
    )
    backward = c0 * first(square + chi) + c2 * product(square, square + chi) + 2 * c2 * w**2 * start / n * first(both)
    return sp.expand(w * (g + backward))


def steps() -> list[Step]:
    # Conditional laws of one layer: h = (z, W), z = sqrt(w) W.v, by Gaussian regression of W on z.
    phi = x + a * x**2
    exact = _exact_mean_of_two_layers(phi, q0)
    found = _recursion(2, phi, _mean, q0)
    assert sp.expand(exact.coeff(n, 0) - found["t"]) == 0
    shift = sp.factor(exact.coeff(n, -1))
    assert sp.expand(shift - found["mt"]) == 0 and shift != 0
    relu = [_recursion(depth, x, _relu_mean, q0) for depth in (1, 2)]
    relative = [sp.simplify((r["tt"] + 2 * r["B"]) / r["t"] ** 2) for r in relu]
    # n times the relative variance of D10.3 at L = 1, and its limit at L = 2.
    assert relative == [3, sp.Rational(58, 9)]
    assert all(r["mt"] == r["mq"] == 0 for r in relu)
    assert [sp.simplify(3 * r["qq"] / r["q"] ** 2) for r in relu] == [15, 30]
    return [
        Step(
            r"Given the layers below, the units of a layer are independent: $z_i=\sigma_wW_i\cdot v+\sigma_bb_i$ with "
            r"$v=\phi/\sqrt n$ of the layer below, and its NTK is "
            r"$H'_{ij}=\delta_{ij}(\ldots)+\frac{\sigma_w^2}nW_i^TGW_j$ with $G_{kl}=\phi'_k\phi'_lH_{kl}$. "
            r"Regressing $W$ on $z$:",
            lines(
                r"E[H'_{ij}\mid z]=\delta_{ij}\theta'+\frac{F'}n\,\frac{z_iz_j-\delta_{ij}q'}{q'^2},"
                r"\quad F'=\sigma_w^4v^TGv,",
                r"\mathrm{Var}\,H'_{ij}=(1+\delta_{ij})\frac{B'}n,\quad B'=\frac{\sigma_w^4}n\mathrm{tr}\,G^2",
            ),
        ),
        Step(
            r"The same two laws one layer below give $v^TGv$ and $\mathrm{tr}\,G^2/n$ to leading order: the diagonal has "
            r"$n$ terms of order 1, the rest $n^2$ of mean $F\,z_kz_l/(nq^2)$ and of square $B/n$.",
            r"F'=\sigma_w^4\left(E_q[\phi^2\phi'^2]\,\theta+(E_q[\phi\phi'z]/q)^2F\right),\qquad "
            r"B'=\sigma_w^4\left(E_q[\phi'^4]\,\theta^2+(E_q\phi'^2)^2B\right)",
        ),
        Step(
            r"$q'$ and $\theta'$ are means over the $n$ units given $(q,\theta)$. With $J$ the derivative of what they tend "
            r"to, their covariance is that of $(q,\theta)$ carried on plus that of one unit over $n$.",
            lines(
                r"q'=\sigma_w^2\overline{\phi^2}+\sigma_b^2,\qquad"
                r"\theta'=r_w\sigma_w^2\overline{\phi^2}+r_b\sigma_b^2+\sigma_w^2\overline{\phi'^2H},",
                r"M'=JMJ^T+\mathrm{Cov}(\sigma_w^2\phi^2,\ r_w\sigma_w^2\phi^2+\sigma_w^2\phi'^2\theta)",
            ),
        ),
        Step(
            r"Their means: the curvature of the map, and the dependence of $H$ on its own $z$, with "
            r"$E_q[\phi'^2(z^2-q)]/q^2=2\,\partial_qE_q\phi'^2$.",
            r"m'=Jm+\tfrac12\nabla^2:M+(0,\ 2\sigma_w^2F\,\partial_qE_q\phi'^2)",
        ),
        Step(
            r"Check at $L=2$ with $\phi=x+ax^2$, where $E\,\Theta$ is a polynomial in $1/n$ by conditioning on the first layer "
            r"($w=\sigma_w^2$, no biases). Its coefficient of $1/n$ is that of the recursion:",
            rf"m_\theta={sp.latex(shift)}",
        ),
        Step(
            r"Check with ReLU: $m=0$, and $n\,\mathrm{Var}\,\Theta/\Theta^2$ is $3$ at $L=1$ and $58/9$ at $L=2$, as D10.3 "
            r"has it for $n\to\infty$. At the readout:",
            r"E\,\Theta=\Theta_\infty+\frac{m_\theta}n,\quad\mathrm{Var}\,\Theta=\frac{M_{\theta\theta}+2B}n,\quad"
            r"\mathrm{Var}f=K+\frac{m_q}n,\quad\kappa_4=\frac{3M_{qq}}n",
        ),
    ]


def _simulated(activation: str, depth: int, width: int, count: int) -> np.ndarray:
    network = ns.MLP(depth, activation, width, bias_variance=0.1)
    point = jnp.array([[0.6, -0.8]])
    draw = jax.jit(lambda keys: jax.lax.map(lambda k: ns.empirical_ntk(network, network.init(k, 2), point)[0, 0], keys))
    return np.asarray(draw(jax.random.split(jax.random.key(depth), count)))


@in_float64
def checks() -> list[Check]:
    phi = x + a * x**2
    symbolic, numeric = [], []
    for slope in (0.1, 0.4):
        network = ns.MLP(2, lambda z, s=slope: z + s * z**2, 10, weight_variance=0.8)
        layers = network.layers(2)
        for square in (0.5, 1.5):
            found = expand_in_width(jnp.array([square]), layers, network.activation)
            exact = _recursion(2, phi, _mean, q0)
            at = {q0: 0.8 * square, w: 0.8, a: slope}
            symbolic += [float(exact[name].subs(at)) for name in ("q", "t", "mq", "mt", "qq", "qt", "tt", "F", "B")]
            numeric += [float(leaf[0]) for leaf in found]
    scores = []
    for activation, depth, width in (("tanh", 2, 64), ("gelu", 2, 64)):
        sample = _simulated(activation, depth, width, 1500)
        moments = ns.finite_width.finite_width_moments(
            ns.MLP(depth, activation, width, bias_variance=0.1), jnp.array([[0.6, -0.8]])
        )
        mean, variance = float(moments.ntk_mean[0]), float(moments.ntk_variance[0])
        squares = (sample - mean) ** 2
        root = np.sqrt(len(sample))
        scores += [(sample.mean() - mean) / sample.std() * root, (squares.mean() - variance) / squares.std() * root]
    return [
        compare("the recursion in code against sympy's, a quadratic activation", symbolic, numeric, tolerance=1e-11),
        Check("z-score of mean and variance over 1500 drawn networks, tanh and GELU", float(np.abs(scores).max()), 4.0),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    widths = np.geomspace(8, 512, 25)
    for activation, marker, color in (("tanh", "o", "C0"), ("gelu", "s", "C1")):
        network = ns.MLP(2, activation, 8, bias_variance=0.1)
        found = expand_in_width(jnp.array([0.5]), network.layers(2), network.activation)
        variance = float(found.ntk_variance[0] + 2 * found.across[0])
        axes.loglog(widths, np.sqrt(variance / widths) / float(found.ntk[0]), color=color, label=activation)
        for width in (8, 32, 128):
            sample = _simulated(activation, 2, width, 600)
            axes.loglog(width, sample.std() / sample.mean(), marker, color=color)
    axes.plot([], [], "o", color="0.4", label="600 drawn networks")
    axes.set(xlabel="width $n$", ylabel=r"relative std of $\Theta(x,x)$", title="two hidden layers, biases")
    axes.legend()
    return drawing


DERIVATION = Derivation(
    label="D10.4",
    title="Finite width to first order, any activation",
    statement=r"At one input, $E\,\Theta=\Theta_\infty+m_\theta/n$, $\mathrm{Var}\,\Theta=(M_{\theta\theta}+2B)/n$ and "
    r"$\kappa_4=3M_{qq}/n$ up to $O(1/n^2)$, with $m$, $M$, $F$ and $B$ from one recursion over layers; exact for $L\le1$.",
    assumptions=["Gaussian parameters, all hidden layers of width $n$", "at initialisation, one input"],
    builds_on=["D10.3"],
    code=["ntk_shortcuts.finite_width.finite_width_moments", "ntk_shortcuts.kernels.finite_width.expansion.expand_in_width"],
    source="this project; the tensors are those of Roberts, Yaida & Hanin (2022), chapters 4 and 8",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

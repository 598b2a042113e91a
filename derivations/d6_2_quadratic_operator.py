"""D6.2: moments of the data law, and the operator of a quadratic kernel. Run by itself, or as `ntk-shortcuts derive D6.2`."""

import itertools

import jax.numpy as jnp
import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.methods import quadratic
from ntk_shortcuts.numerics import in_float64

ms, mc, s1, s2, s12, ts, tc = sp.symbols("m_s m_c S_ss S_cc S_sc t_s t_c", real=True)
us, uc, vs, vc = sp.symbols("u_s u_c u'_s u'_c", real=True)
t, rate = sp.symbols("t a_1", positive=True)
mean = sp.Matrix([ms, mc])
spread = sp.Matrix([[s1, s12], [s12, s2]])
second = spread + mean * mean.T


def _moment(powers: tuple[int, int]) -> sp.Expr:
    """E u_s^i u_c^j of the mixture of N(m, S) and N(-m, S), a derivative of its moment generating function at 0."""
    tilt = sp.Matrix([ts, tc])
    generating = sp.cosh(tilt.dot(mean)) * sp.exp((tilt.T * spread * tilt)[0] / 2)
    return sp.expand(sp.diff(generating, *[(s, k) for s, k in zip((ts, tc), powers, strict=True) if k]).subs({ts: 0, tc: 0}))


def _wick(i: int, j: int, k: int, m: int) -> sp.Expr:
    pairs = second[i, j] * second[k, m] + second[i, k] * second[j, m] + second[i, m] * second[j, k]
    return sp.expand(pairs - 2 * mean[i] * mean[j] * mean[k] * mean[m])


def _features(a: sp.Symbol, b: sp.Symbol) -> sp.Matrix:
    return sp.Matrix([1, a**2, sp.sqrt(2) * a * b, b**2])


def _even_moments() -> sp.Matrix:
    """E phi phi^T of the even features, term by term from the moments."""
    features = _features(us, uc)
    products = features * features.T
    known = {powers: _moment(powers) for total in (2, 4) for powers in [(k, total - k) for k in range(total + 1)]}
    known[(0, 0)] = sp.Integer(1)
    return products.applyfunc(lambda entry: sum(value * known[powers] for powers, value in sp.Poly(entry, us, uc).terms()))


def steps() -> list[Step]:
    for indices in itertools.combinations_with_replacement(range(2), 4):
        assert sp.expand(_moment((indices.count(0), indices.count(1))) - _wick(*indices)) == 0
    for i, j in ((0, 0), (0, 1), (1, 1)):
        assert sp.expand(_moment(((i == 0) + (j == 0), (i == 1) + (j == 1))) - second[i, j]) == 0
    even = _features(us, uc).dot(_features(vs, vc))
    assert sp.expand(even - 1 - (us * vs + uc * vc) ** 2) == 0
    # Every power, hence every filter: (A G)^k A = A^(1/2) (A^(1/2) G A^(1/2))^k A^(1/2).
    p, q = sp.symbols("p q", positive=True)
    gram = sp.Matrix(2, 2, sp.symbols("G_0 G_1 G_1 G_2", real=True))
    root = sp.diag(p, q)
    for power in range(4):
        left, right = (root**2 * gram) ** power * root**2, root * (root * gram * root) ** power * root
        assert (left - right).expand() == sp.zeros(2, 2)
    # Gradient flow of w along an eigenvector of C with eigenvalue c.
    c, b = sp.symbols("c b", positive=True)
    along = sp.Function("w")
    (flow,) = [sp.dsolve(sp.Eq(along(t).diff(t), rate * (b - c * along(t))), along(t), ics={along(0): 0})]
    filtered = rate * b * (1 - sp.exp(-rate * c * t)) / (rate * c)
    assert sp.simplify(flow.rhs - filtered) == 0
    # Any filter of a 2 x 2 matrix from its eigenvalues; numbers g_1, g_2 stand for g at them.
    x, y, g1, g2, angle = sp.symbols("lambda_1 lambda_2 g_1 g_2 theta", real=True)
    turn = sp.Matrix([[sp.cos(angle), -sp.sin(angle)], [sp.sin(angle), sp.cos(angle)]])
    matrix, exact = turn * sp.diag(x, y) * turn.T, turn * sp.diag(g1, g2) * turn.T
    by_values = g1 * sp.eye(2) - (g1 - g2) / (x - y) * (matrix.adjugate() - y * sp.eye(2))
    assert sp.simplify(exact - by_values) == sp.zeros(2, 2)
    # Its determinant and adjugate on b, free of the cancellation that C itself brings along.
    alpha_s, alpha_c, mu_s, mu_c, sigma = sp.symbols("alpha_s alpha_c mu_s mu_c sigma", real=True)
    scale, mu = sp.diag(alpha_s, alpha_c), sp.Matrix([mu_s, mu_c])
    covariance = sp.Matrix([[1, sigma], [sigma, 1]])
    operator = scale * (covariance + mu * mu.T) * scale
    determinant = (1 - sigma) * (1 + sigma) + (mu_s - mu_c) ** 2 + 2 * (1 - sigma) * mu_s * mu_c
    assert sp.expand(operator.det() - (alpha_s * alpha_c) ** 2 * determinant) == 0
    difference = sp.Matrix([mu_s - mu_c + (1 - sigma) * mu_c, mu_c - mu_s + (1 - sigma) * mu_s])
    expected = sp.Matrix([alpha_s * alpha_c**2 * difference[0], alpha_c * alpha_s**2 * difference[1]])
    assert (operator.adjugate() * scale * mu - expected).expand() == sp.zeros(2, 1)
    return [
        Step(
            r"The moment generating function of the mixture is $\cosh(\tau\cdot m)\,e^{\tau^\top S\tau/2}$. Second moments:",
            r"E[uu^\top]=M=S+mm^\top",
        ),
        Step(
            r"Its fourth derivatives at 0 are three pairings less twice the means, because $\pm m$ is not Gaussian.",
            r"E[u_iu_ju_ku_l]=M_{ij}M_{kl}+M_{ik}M_{jl}+M_{il}M_{jk}-2m_im_jm_km_l",
        ),
        Step(
            r"An odd function meets $a_1u\cdot u'$, an even one $a_0+a_2(u\cdot "
            r"u')^2=\phi^\top\mathrm{diag}(a_0,a_2,a_2,a_2)\,\phi'$ "
            r"with",
            sp.Eq(sp.Symbol("phi"), _features(us, uc), evaluate=False),
        ),
        Step(
            r"On $f=w\cdot\phi$ the operator is $Tf=\phi^\top AGw$ with $A$ the diagonal of weights and $G=E\phi\phi^\top$, "
            r"and $Tf^*=\phi^\top A\,E[\phi y]$. A filter of it, made symmetric by $A^{1/2}$:",
            r"T g(T)f^*=\phi^\top A^{1/2}\,g(A^{1/2}GA^{1/2})\,A^{1/2}E[\phi y]",
        ),
        Step(
            r"The random start $f_0=\phi^\top\xi$, $\xi\sim N(0,\mathrm{diag}(a^{NNGP}))$, lies in the same span: it keeps "
            r"$(1-H G)\xi$ with $H=A^{1/2}g(A^{1/2}GA^{1/2})A^{1/2}$, so that",
            r"\mathrm{Var} f(x)=\sum_j\left(\phi(x)^\top(1-HG)\right)_j^2a^{NNGP}_j",
        ),
        Step(
            r"The even sector has $E[\phi y]=0$. In the odd one $\phi=u$, $A=a_1$, $G=C=M$ and $E[uy]=m=b$; along each "
            r"eigenvector of $C$ gradient flow $\dot w=a_1(b-Cw)$ gives the filter.",
            r"m_t(z)=u\cdot w_t,\qquad w_t=(1-e^{-a_1Ct})C^{-1}b",
        ),
        Step(
            r"A filter of a $2\times2$ matrix needs its eigenvalues $\lambda_1\ge\lambda_2$ only, not its eigenvectors:",
            r"g(C)\,b=g(\lambda_1)\,b-\frac{g(\lambda_1)-g(\lambda_2)}{\lambda_1-\lambda_2}\,(\mathrm{adj}(C)\,b-\lambda_2b)",
        ),
        Step(
            r"The entries of $C$ hold $\lambda_2$ to the rounding of $\lambda_1$ only. It is $\det C/\lambda_1$, and for the "
            r"data law both $\det C$ and $\mathrm{adj}(C)\,b$ are sums in which nothing cancels as $\sigma\to1$ with equal "
            r"means, whatever the ratio of amplifications:",
            r"\frac{\det C}{\alpha_s^2\alpha_c^2}=(1-\sigma^2)+(\mu_s-\mu_c)^2+2(1-\sigma)\mu_s\mu_c,\qquad"
            r"\frac{(\mathrm{adj}(C)\,b)_s}{\alpha_s\alpha_c^2}=\mu_s-\mu_c+(1-\sigma)\mu_c",
        ),
    ]


def _models() -> list[ns.GenerativeModel]:
    random = np.random.default_rng(1)
    drawn = [
        ns.GenerativeModel(random.uniform(0.5, 0.99, 2), np.exp(random.normal(size=2)), random.uniform(-0.9, 0.9))
        for _ in range(3)
    ]
    return [*drawn, ns.GenerativeModel((0.5, 0.5), correlation=0.0), ns.GenerativeModel((0.5, 0.9999), (1e-3, 30.0), 0.99)]


def _quadrature(model: ns.GenerativeModel, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both moment matrices by Gauss-Hermite nodes, exact for polynomials of this degree."""
    nodes, mass = np.polynomial.hermite_e.hermegauss(8)
    noise = np.stack([axis.ravel() for axis in np.meshgrid(nodes, nodes, indexing="ij")], axis=1)
    mass = np.outer(mass, mass).ravel() / mass.sum() ** 2
    totals = []
    factor = np.linalg.cholesky(np.asarray(model.covariance))
    for features in (lambda u: u, lambda u: np.asarray(quadratic.even_features(jnp.asarray(u)))):
        parts = [features((sign * np.asarray(model.means) + noise @ factor.T) * weights) for sign in (1, -1)]
        totals.append(sum(part.T @ (mass[:, None] * part) for part in parts) / 2)
    return tuple(totals)


def _flow(operator: mpmath.matrix, time: float) -> mpmath.matrix:
    """(1 - exp(-t M)) M^-1 in mpmath, from the exponential of a matrix."""
    return (mpmath.eye(operator.rows) - mpmath.expm(-mpmath.mpf(time) * operator)) * operator**-1


def _mean_error(model: ns.GenerativeModel, slope: float, time: float) -> float:
    """Largest error of the mean's weights in the latents, relative to the larger weight."""
    found = np.asarray(quadratic.odd_weights(model, jnp.asarray(slope), ns.GradientFlow(time)))
    found = found * np.asarray(model.amplification)
    with mpmath.workdps(60):
        scale = mpmath.diag([mpmath.mpf(float(a)) for a in model.amplification])
        mu = mpmath.matrix([mpmath.mpf(float(m)) for m in model.means])
        sigma = mpmath.mpf(float(model.correlation))
        operator = slope * scale * (mpmath.matrix([[1, sigma], [sigma, 1]]) + mu * mu.T) * scale
        values, vectors = mpmath.eigsy(operator)
        kept = [1 - (mpmath.exp(-mpmath.mpf(time) * value) if np.isfinite(time) else 0) for value in values]
        gains = mpmath.diag([k / value for k, value in zip(kept, values, strict=True)])
        exact = slope * scale * vectors * gains * vectors.T * scale * mu
        exact = np.array([float(value) for value in exact])
    return float(np.max(np.abs(found - exact)) / max(np.max(np.abs(exact)), np.finfo(float).tiny))


@in_float64
def checks() -> list[Check]:
    even = sp.lambdify((ms, mc, s1, s2, s12), _even_moments(), "mpmath")
    symbolic, integrated = [], []
    for model in _models():
        alpha, means = np.asarray(model.amplification), np.asarray(model.means)
        found = [np.asarray(values) for values in quadratic.moments(model)]
        m, covariance = alpha * means, np.outer(alpha, alpha) * np.asarray(model.covariance)
        exact = np.array(even(*m, covariance[0, 0], covariance[1, 1], covariance[0, 1]).tolist(), float)
        symbolic.append((found[1] - exact) / np.where(exact == 0, 1, np.abs(exact)))
        for mine, other in zip(found, _quadrature(model, alpha), strict=True):
            size = np.sqrt(np.outer(np.diag(other), np.diag(other)))
            integrated.append(((mine - other) / size).ravel())

    model = ns.GenerativeModel((0.7, 0.9), (3.0, 0.8), 0.4)
    probes = np.array([[1.0, -1.0], [0.3, 2.0], [0.0, 1.0], [0.0, 0.0]])
    points = probes * np.asarray(model.amplification)
    moments = quadratic.moments(model)
    ntk, nngp = np.array([0.9, 0.03, 0.03, 0.03]), np.array([0.4, 0.02, 0.02, 0.02])
    cases = (
        (points, np.array([0.2, 0.2]), np.array([0.1, 0.1]), moments[0]),
        (np.asarray(quadratic.even_features(jnp.asarray(points))), ntk, nngp, moments[1]),
    )
    variances = []
    for features, weights, start, gram in cases:
        for time in (0.0, 0.5, 20.0):
            arguments = (jnp.asarray(features), jnp.asarray(weights), jnp.asarray(start), gram)
            variance = quadratic.kernel_variance(ns.GradientFlow(time), *arguments)
            with mpmath.workdps(40):
                # The unsymmetric form (1 - exp(-t A G)) (A G)^-1 A, from the flow of the weights itself.
                scaled = mpmath.diag(list(weights)) * mpmath.matrix(np.asarray(gram).tolist())
                filtered = _flow(scaled, time) * mpmath.diag(list(weights))
                rows = mpmath.matrix(features.tolist())
                kept = rows * (mpmath.eye(len(weights)) - filtered * mpmath.matrix(np.asarray(gram).tolist()))
                spreads = [sum(kept[i, j] ** 2 * start[j] for j in range(len(start))) for i in range(rows.rows)]
            variances += list(np.asarray(variance) - np.array([float(value) for value in spreads]))
    extremes = [
        ns.GenerativeModel((1 - 3e-8, 1 - 3e-8), (1e6, 1.0), 1 - 1e-8),
        ns.GenerativeModel((0.9, 0.9 + 1e-9), (1.0, 1e6), 1 - 1e-8),
        ns.GenerativeModel((0.5, 1 - 1e-12), (1e-3, 1e3), 1e-9 - 1),
    ]
    means = [_mean_error(model, 0.2, time) for model in [*_models(), *extremes] for time in (1e-6, 0.5, 20.0, 1e12, np.inf)]
    return [
        compare("moments against the generating function's, relative", 0, symbolic),
        compare("moments against Gauss-Hermite quadrature", 0, np.concatenate(integrated)),
        compare("mean against the flow in 60 digits, extreme laws too, relative", 0, means),
        compare("variance of both sectors against the exponential in 40 digits", 0, variances),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    ratios = np.geomspace(0.25, 16, 60)
    odd, even = [], []
    for ratio in ratios:
        second_moments, fourth = quadratic.moments(ns.GenerativeModel(amplification=(ratio, 1.0)))
        total = float(jnp.trace(second_moments))
        # One hidden layer of ReLU, sigma_w^2 = 2: a_0, a_1, a_2 of D6.1, times d.
        root = np.sqrt(np.array([4 * total / (2 * np.pi), *[4 * (np.pi - 1) / (2 * np.pi * total)] * 3]))
        odd.append(np.linalg.eigvalsh(2 * np.asarray(second_moments))[::-1] / total)
        even.append(np.linalg.eigvalsh(root[:, None] * np.asarray(fourth) * root)[::-1] / total)
    styles = ("-", "--", "-.", ":")
    for group, color, name in ((odd, "C0", "odd"), (even, "C1", "even")):
        for k in range(np.shape(group)[1]):
            axes.loglog(ratios, np.array(group)[:, k], styles[k], color=color, label=f"{name}, {k + 1}")
    axes.set(xlabel=r"amplification ratio $\alpha_s/\alpha_c$", ylabel=r"eigenvalue $\times\, d/R^2$")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return drawing


DERIVATION = Derivation(
    label="D6.2",
    title="Gaussian moments and the operator of a quadratic kernel",
    statement=r"Under the data law with $m=\mathrm{diag}(\alpha)\mu$, $M=E[uu^\top]$, the operator of the quadratic kernel of "
    r"D6.1 is the $2\times2$ matrix $a_1M$ on odd functions and the $4\times4$ matrix $A^{1/2}GA^{1/2}$ on even ones, "
    r"$A=\mathrm{diag}(a_0,a_2,a_2,a_2)$, $G$ the moments of $(1,u_s^2,\sqrt2u_su_c,u_c^2)$, with fourth moments "
    r"$MM+MM+MM-2mmmm$. The mean output is $u\cdot(1-e^{-a_1Mt})M^{-1}m$ under gradient flow.",
    assumptions=[
        "the kernel is the quadratic polynomial of D6.1",
        r"$z\mid y\sim N(y\mu,\Sigma)$ with equal class weights, infinite data",
        "squared loss, so that training is a filter of the operator",
    ],
    builds_on=["D1.3", "D6.1"],
    code=[
        "ntk_shortcuts.methods.quadratic.moments",
        "ntk_shortcuts.methods.quadratic.odd_weights",
        "ntk_shortcuts.methods.quadratic.kernel_variance",
    ],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

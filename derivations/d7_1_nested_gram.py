"""D7.1: inner products of nested features. Run by itself, or as `ntk-shortcuts derive D7.1`."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.laws.two_features.embedding import _sum_of_independent
from ntk_shortcuts.numerics import in_float64

gain, bias = sp.symbols("g_w g_b", positive=True)
q11, q22, q12 = sp.symbols("q_11 q_22 q_12", real=True)


def _field_covariance() -> tuple[sp.Expr, sp.Expr]:
    """E[a b] of fields sqrt(g_w) V x + sqrt(g_b) beta at two inputs of three dimensions, and what it should be."""
    first, second = sp.symbols("x_:3", real=True), sp.symbols("x'_:3", real=True)
    draws = sp.symbols("V_:3 beta")
    fields = [
        sp.sqrt(gain) * sum(v * entry for v, entry in zip(draws, values, strict=False)) + sp.sqrt(bias) * draws[3]
        for values in (first, second)
    ]
    product = sp.Poly(sp.expand(fields[0] * fields[1]), *draws)
    # Independent unit Gaussians: only squares of one draw survive, with expectation 1.
    covariance = sum(value for powers, value in product.terms() if max(powers) == 2)
    return sp.expand(covariance), sp.expand(gain * sum(a * b for a, b in zip(first, second, strict=True)) + bias)


def _small_fields() -> sp.Expr:
    """E tanh(a) tanh(b) to fourth order in the fields, from derivatives of the bivariate moment generating function."""
    s, t, x = sp.symbols("s t x", real=True)
    generating = sp.exp((q11 * s**2 + 2 * q12 * s * t + q22 * t**2) / 2)
    series = sp.Poly(sp.series(sp.tanh(x), x, 0, 5).removeO(), x)
    total = 0
    for (i,), first in series.terms():
        for (j,), second in series.terms():
            if i + j <= 4:
                total += first * second * sp.diff(generating, s, i, t, j).subs({s: 0, t: 0})
    return sp.factor(sp.expand(total))


def steps() -> list[Step]:
    covariance, expected = _field_covariance()
    assert sp.expand(covariance - expected) == 0
    small = _small_fields()
    assert sp.expand(small - q12 * (1 - q11 - q22)) == 0
    # The area of a sum of independent parts, from norms N_i, inner products k_i and areas a_i.
    a, b, c, d = sp.symbols("A_s B_s A_c B_c", positive=True)
    ks, kc = sp.symbols("k_s k_c", positive=True)
    norms, norms_c = sp.sqrt(a * b), sp.sqrt(c * d)
    mixed = sp.sqrt(a * d) - sp.sqrt(c * b)
    areas = (a * b - ks**2) + (c * d - kc**2)
    for sign in (1, -1):
        whole = (a + c) * (b + d) - (ks + sign * kc) ** 2
        gap_s, gap_c = norms - ks, norms_c - kc
        gap = gap_s * norms_c + ks * gap_c if sign > 0 else norms * norms_c + ks * kc
        assert sp.expand(whole - areas - sp.expand(mixed**2) - 2 * gap) == 0
    assert sp.expand((norms - ks) * (norms + ks) - (a * b - ks**2)) == 0
    return [
        Step(
            r"A unit's fields at two inputs are centred Gaussians. With $V,\beta$ independent of unit variance:",
            r"E[ab]=g_w\langle x,x'\rangle+g_b",
        ),
        Step(
            r"The inner product of the outputs, $\frac1d\sum_i\tanh a_i\tanh b_i$, is a mean over independent units and tends "
            r"to "
            r"its expectation. A feature starts from $k^{(0)}=\alpha^2zz'$:",
            r"k^{(\eta+1)}=E[\tanh a\tanh b],\quad (a,b)\sim N\left(0,g_wk^{(\eta)}+g_b\right)",
        ),
        Step(r"For small fields this is, to fourth order,", sp.Eq(sp.Symbol("k'"), small)),
        Step(
            r"The features' networks are independent and tanh is odd, so that cross terms have expectation zero and "
            r"inner products add.",
            r"\langle x,x'\rangle=k_s^{(\eta_s)}+k_c^{(\eta_c)}",
        ),
        Step(
            r"The area $\sqrt{q_{11}q_{22}-q_{12}^2}$ of the sum is a sum of nonnegative terms, with "
            r"$N_i=\sqrt{q^i_{11}q^i_{22}}$ and $N_i-|k_i|=\mathrm{area}_i^2/(N_i+|k_i|)$.",
            r"\mathrm{area}^2=\mathrm{area}_s^2+\mathrm{area}_c^2+\left(\sqrt{q^s_{11}q^c_{22}}-\sqrt{q^c_{11}q^s_{22}}\right)^2"
            r"+2(N_sN_c-k_sk_c)",
        ),
        Step(
            "Together,", r"k^{(\eta+1)}=E_{(a,b)\sim N(0,g_wk^{(\eta)}+g_b)}[\tanh a\tanh b],\quad\langle x,x'\rangle=k_s+k_c"
        ),
    ]


def _plane_rule(step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    nodes = np.arange(-9, 9 + step / 2, step)
    weights = np.exp(-(nodes**2) / 2)
    first, second = (axis.ravel() for axis in np.meshgrid(nodes, nodes, indexing="ij"))
    mass = np.outer(weights, weights).ravel()
    return first, second, mass / mass.sum()


def _by_quadrature(z: np.ndarray, alpha: float, depth: int, weight: float, offset: float) -> np.ndarray:
    """k^(depth) of all pairs by the trapezoidal rule in the plane, layer by layer."""
    first, second, mass = _plane_rule(0.06)
    values = np.tanh(np.sqrt(weight) * alpha * z[:, None] * first + np.sqrt(offset) * second)
    gram = (values * mass) @ values.T
    first, second, mass = _plane_rule(0.12)
    for _ in range(depth - 1):
        field = weight * gram + offset
        new = np.empty_like(field)
        for i in range(len(z)):
            for j in range(i, len(z)):
                root = np.sqrt(field[i, i])
                across = field[i, j] / root if root else 0.0
                rest = np.sqrt(max(field[j, j] - across**2, 0.0))
                new[i, j] = new[j, i] = mass @ (np.tanh(root * first) * np.tanh(across * first + rest * second))
        gram = new
    return gram


@in_float64
def checks() -> list[Check]:
    random = np.random.default_rng(6)
    # Zero, a pair of opposites, and nearly equal ones.
    z = np.array([0.0, 0.7, -0.7, 0.7 + 1e-9, 2.2, random.normal()])
    planar, biased = [], []
    for depth, weight, offset in ((1, 1.0, 0.0), (2, 1.0, 0.0), (3, 1.6, 0.3)):
        model = ns.GenerativeModel(amplification=(1.3, 1.0), nesting=(depth, 0), nesting_gain=weight, nesting_bias=offset)
        latents = np.stack([z, 0.4 * z], axis=1)
        expected = _by_quadrature(z, 1.3, depth, weight, offset) + 0.16 * np.outer(z, z)
        (biased if offset else planar).append((np.asarray(model.gram(latents)) - expected).ravel())
    # Large amplification: the first layer's integral in one dimension, by adaptive quadrature.
    steep = ns.GenerativeModel(amplification=(6.0, 1.0), nesting=(1, 0))
    pairs = np.array([[2.0, 0.0], [-0.3, 0.0]])
    found = np.asarray(steep.gram(pairs))
    line = []
    for i, j in ((0, 0), (0, 1), (1, 1)):
        s, t = 6 * pairs[i, 0], 6 * pairs[j, 0]
        points = [-12, -1, -0.2, 0, 0.2, 1, 12]
        exact = mpmath.quad(lambda g, s=s, t=t: mpmath.tanh(s * g) * mpmath.tanh(t * g) * mpmath.npdf(g), points)
        line.append(found[i, j] - float(exact))
    # The area of sums, in 60 digits, from nearly parallel to opposite.
    areas = []
    with mpmath.workdps(60):
        for cosine_s, cosine_c in ((1 - 1e-14, 1 - 1e-12), (1 - 1e-14, -0.3), (-0.9, -0.2), (0.0, 1.0)):
            variances = [(mpmath.mpf(1.3), mpmath.mpf(0.4)), (mpmath.mpf(0.2), mpmath.mpf(3))]
            cosines = [mpmath.mpf(cosine_s), mpmath.mpf(cosine_c)]
            inner = [mpmath.sqrt(a * b) * c for (a, b), c in zip(variances, cosines, strict=True)]
            own = [mpmath.sqrt(a * b * (1 - c**2)) for (a, b), c in zip(variances, cosines, strict=True)]
            parts = [
                PairMoments(*(jnp.array(float(v)) for v in (a, b, k, area, a + b - 2 * k)))
                for (a, b), k, area in zip(variances, inner, own, strict=True)
            ]
            exact = mpmath.sqrt((variances[0][0] + variances[1][0]) * (variances[0][1] + variances[1][1]) - sum(inner) ** 2)
            areas.append(float(float(_sum_of_independent(*parts).area) / exact - 1))
    # Embeddings drawn at random: the mean inner product is exact at every d for one layer.
    model = ns.GenerativeModel(amplification=(1.5, 0.8), nesting=(1, 0), input_dim=30, nesting_bias=0.2)
    latents = np.array([[0.8, -1.0], [1.5, 0.6], [-0.4, 0.9]])
    drawn = jax.jit(jax.vmap(lambda key: model.embedding(key)(latents)))(jax.random.split(jax.random.key(7), 2000))
    grams = np.einsum("sid,sjd->sij", drawn, drawn)
    scores = (grams.mean(0) - np.asarray(model.gram(latents))) / (grams.std(0) / np.sqrt(len(grams)))
    return [
        compare("Gram of 1 and 2 layers without bias against quadrature in the plane", 0, planar),
        # The code integrates over the first layer's biases with 20 Gauss-Hermite nodes.
        compare("Gram of 3 layers with bias against quadrature in the plane", 0, biased, tolerance=1e-8),
        compare("Gram of one layer at amplification 6 against adaptive quadrature", 0, line),
        compare("area of a sum of independent parts against 60 digits, relative", 0, areas),
        Check("z-score of inner products over 2000 drawn embeddings", float(np.abs(scores).max()), 4.0),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    z = np.linspace(-3, 3, 121)
    latents = np.stack([z, np.zeros_like(z)], axis=1)
    for depth, color, style in ((0, "k", "-"), (1, "C0", "--"), (2, "C1", "-."), (3, "C2", ":")):
        model = ns.GenerativeModel(nesting=(depth, 0))
        values = model.gram(latents, np.array([[1.0, 0.0]]))[:, 0]
        axes.plot(z, values, style, color=color, label=rf"$\eta={depth}$")
    axes.set(xlabel="latent $z$", ylabel="inner product with $z'=1$", ylim=(-1.5, 1.5))
    axes.legend()
    return drawing


DERIVATION = Derivation(
    label="D7.1",
    title="Inner products of nested features",
    statement=r"As $d\to\infty$ a random tanh layer of weight variance $g_w$ and bias variance $g_b$ maps a feature's inner "
    r"product $k$ to $E[\tanh a\tanh b]$ with $(a,b)\sim N(0,g_wk+g_b)$, starting from $\alpha^2zz'$, and the two features' "
    r"inner products add.",
    assumptions=[
        r"layers $h\mapsto\tanh(\sqrt{g_w}Vh+\sqrt{g_b}\beta)/\sqrt d$ with $V,\beta$ standard normal",
        "independent networks for the two features",
        r"$d\to\infty$ (at one layer the mean over embeddings is exact at every $d$)",
    ],
    builds_on=["D3.1"],
    code=[
        "ntk_shortcuts.laws.two_features.embedding.latent_moments",
        "ntk_shortcuts.laws.two_features.embedding._sum_of_independent",
    ],
    source="nesting as in Hermann et al. (2024); the map is that of wide networks, Lee et al. (2018)",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

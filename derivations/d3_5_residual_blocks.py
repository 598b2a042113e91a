"""D3.5: kernels of residual networks. Run by itself, or as `ntk-shortcuts derive D3.5`."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import in_float64

WEIGHT, n, factor = sp.symbols("sigma_w^2 n b", positive=True)
UNITS = 2


def _tangent(first: sp.Expr, second: sp.Expr, parameters: list) -> sp.Expr:
    return sum(sp.diff(first, p) * sp.diff(second, p) for p in parameters)


def _gap_of_the_split() -> float:
    """Tangent kernel of one block's pre-activations, from the definition, less its parts; at random numbers."""
    inner = sp.Matrix(UNITS, UNITS, sp.symbols("U:4", real=True))
    outer = sp.Matrix(UNITS, UNITS, sp.symbols("V:4", real=True))
    points = [sp.Matrix(UNITS, 1, sp.symbols(f"{name}:2", real=True)) for name in "xy"]
    scale = sp.sqrt(WEIGHT / UNITS)
    before = [scale * inner * point for point in points]
    after = [h + factor * scale * outer * h.applyfunc(sp.sin) for h in before]
    lower, upper = list(inner), list(outer)
    slopes = [h.applyfunc(sp.cos) for h in before]
    total = sp.Integer(0)
    for i in range(UNITS):
        for j in range(UNITS):
            theta = sp.Matrix(UNITS, UNITS, lambda k, m: _tangent(before[0][k], before[1][m], lower))
            direct = WEIGHT / UNITS * sum(sp.sin(a) * sp.sin(b) for a, b in zip(*before, strict=True)) if i == j else 0
            left, right = ([scale * outer[row, k] * s[k] for k in range(UNITS)] for row, s in ((i, slopes[0]), (j, slopes[1])))
            inherited = sum(left[k] * right[m] * theta[k, m] for k in range(UNITS) for m in range(UNITS))
            mixed = sum(left[k] * theta[k, j] + right[k] * theta[i, k] for k in range(UNITS))
            parts = theta[i, j] + factor**2 * (direct + inherited) + factor * mixed
            total += (_tangent(after[0][i], after[1][j], lower + upper) - parts) ** 2
    names = sorted(total.free_symbols, key=str)
    values = np.random.default_rng(0).uniform(0.3, 1.5, len(names))
    return float(sp.lambdify(names, total, "math")(*values))


def steps() -> list[Step]:
    assert abs(_gap_of_the_split()) < 1e-20
    # The determinant of a sum of two covariances in terms that are not negative.
    p1, p2, r1, r2 = sp.symbols("p_1 p_2 r_1 r_2", positive=True)
    a, c = sp.symbols("a c", real=True)
    total = (p1**2 + r1**2) * (p2**2 + r2**2) - (a + c) ** 2
    areas = (p1**2 * p2**2 - a**2) + (r1**2 * r2**2 - c**2)
    mixed = (p1 * p2 - a) * (r1 * r2 + c) + (p1 * p2 + a) * (r1 * r2 - c)
    assert sp.expand(total - areas - (p1 * r2 - p2 * r1) ** 2 - mixed) == 0
    # ReLU without biases at one input: K and Theta over the hidden layers, g = b^2 sigma_w^2/2 per block.
    start, g = sp.symbols("K^1 g", positive=True)
    value, tangent = start, start
    for layer in range(2, 7):
        value, tangent = (1 + g) * value, (1 + g) * tangent + g * value
        assert sp.expand(value - start * (1 + g) ** (layer - 1)) == 0
        assert sp.expand(tangent - start * (1 + g) ** (layer - 2) * (1 + g * layer)) == 0
    depth = sp.Symbol("L", positive=True)
    assert sp.limit((1 + WEIGHT / (2 * depth)) ** (depth - 1), depth, sp.oo) == sp.exp(WEIGHT / 2)
    return [
        Step(
            r"A block adds $b\,g$ with $g = \sqrt{\sigma_w^2/n}\,V\phi(h) + \sigma_b\beta$. Its weights are independent of $h$ "
            r"and of mean 0, so that $h$ and $g$ are uncorrelated, and as $n \to \infty$ jointly Gaussian:",
            r"K^l = K^{l-1} + b^2\left(\sigma_w^2E[\phi\phi] + \sigma_b^2\right)",
        ),
        Step(
            r"The tangent kernel of the pre-activations, all derivatives taken one by one (checked with two units; "
            r"$G_{km} = \phi'(h_k)\phi'(h'_m)\Theta_{km}$):",
            r"\Theta^l_{ij} = \Theta_{ij} + b^2\Big(\delta_{ij}K' + \frac{\sigma_w^2}{n}\sum_{km}V_{ik}V_{jm}G_{km}\Big) + "
            r"b\sqrt{\frac{\sigma_w^2}{n}}\sum_k\left(V_{ik}\phi'(h_k)\Theta_{kj} + V_{jk}\phi'(h'_k)\Theta_{ik}\right)",
        ),
        Step(
            r"With $\Theta_{ij} \to \delta_{ij}\Theta^{l-1}$ one term of the last sum is left, of mean 0 and size $1/\sqrt n$. "
            r"The middle one is that of a plain layer (D3.1), $K' = \sigma_w^2E\phi\phi + \sigma_b^2$:",
            r"\Theta^l = \Theta^{l-1}\left(1 + b^2\sigma_w^2E[\phi'\phi']\right) + b^2\left(\sigma_w^2E[\phi\phi] + "
            r"\sigma_b^2\right)",
        ),
        Step(
            r"Numerics: with norms $p_i, r_i$ and covariances $a, c$ of the two, the determinant of the sum holds the angle; "
            r"every term is taken so that nothing cancels:",
            r"\det = (p_1^2p_2^2 - a^2) + (r_1^2r_2^2 - c^2) + (p_1r_2 - p_2r_1)^2 + (p_1p_2 - a)(r_1r_2 + c) + "
            r"(p_1p_2 + a)(r_1r_2 - c)",
        ),
        Step(
            r"Bias-free ReLU at one input, $g = b^2\sigma_w^2/2$: no variance keeps $K$ from growing, but at $b^2 = 1/L$ it "
            r"grows by less than $e^{\sigma_w^2/2}$ whatever the depth.",
            r"K^l(x, x) = K^1(1 + g)^{l-1},\qquad \Theta^l(x, x) = K^1(1 + g)^{l-2}(1 + gl)",
        ),
    ]


def _exact(first, second, depth: int, weight: float, bias: float, b: float) -> list[mpmath.mpf]:
    """ReLU's NNGP and NTK of two points of the plane, in 40 digits."""
    x, y = ([mpmath.mpf(float(entry)) for entry in point] for point in (first, second))
    weight, bias, b = mpmath.mpf(weight), mpmath.mpf(bias), mpmath.mpf(b)
    q = [weight * sum(s * t for s, t in zip(*pair, strict=True)) / 2 + bias for pair in ((x, x), (y, y), (x, y))]
    tangent = q[2]
    for layer in range(2, depth + 2):
        norm = mpmath.sqrt(q[0] * q[1])
        angle = mpmath.acos(max(-1, min(1, q[2] / norm)))
        kappa = norm * (mpmath.sin(angle) + (mpmath.pi - angle) * mpmath.cos(angle)) / (2 * mpmath.pi)
        new = [weight * v + bias for v in (q[0] / 2, q[1] / 2, kappa)]
        inherited = new[2] + weight * (mpmath.pi - angle) / (2 * mpmath.pi) * tangent
        if layer > depth:
            return [new[2], inherited]
        q, tangent = [v + b**2 * w for v, w in zip(q, new, strict=True)], tangent + b**2 * inherited
    raise AssertionError


def _points() -> np.ndarray:
    random = np.random.default_rng(5).normal(size=(3, 2))
    return np.concatenate([random, [random[0] + 1e-8 * random[0, ::-1] * [-1, 1], -random[0]]])


def _sampled() -> float:
    network = ns.MLP(3, "erf", width=256, weight_variance=1.7, bias_variance=0.3, residual=0.8)
    points = _points()[:3]
    draw = jax.jit(lambda key: ns.empirical_ntk(network, network.init(key, 2), points))
    samples = np.asarray(jax.lax.map(draw, jax.random.split(jax.random.key(0), 60)))
    expected, error = network.kernels(points).ntk, samples.std(axis=0) / np.sqrt(len(samples))
    return float(np.max(np.abs(samples.mean(axis=0) - expected) / (4 * error + 0.02 * np.abs(expected))))


@in_float64
def checks() -> list[Check]:
    points, found = _points(), []
    for depth, weight, bias, b in ((2, 2.0, 0.0, 0.5), (4, 1.7, 0.3, 0.7)):
        network = ns.MLP(depth, weight_variance=weight, bias_variance=bias, residual=b)
        with mpmath.workdps(40):
            exact = np.array([[_exact(x, y, depth, weight, bias, b) for y in points] for x in points]).astype(float)
        kernels = network.kernels(points)
        title = f"ReLU, depth {depth}, b = {b}, bias variance {bias:g}: K and Theta in 40 digits"
        found.append(compare(title, np.moveaxis(exact, 2, 0), np.stack([kernels.nngp, kernels.ntk])))
    depth, g = 5, 0.25
    own = ns.MLP(depth, residual=0.5).kernels(np.array([[1.0, 1.0]])).ntk[0, 0]
    closed = 2 * ((1 + g) ** (depth - 1) + (1 + g) ** (depth - 2) * (1 + g * depth))
    found.append(compare("ReLU at one input, depth 5: the closed form", closed, own))
    a, c = (PairMoments.from_plane(jnp.asarray(part), jnp.asarray(part)) for part in (points, points[::-1] * [2.0, 0.5]))
    total = a.plus(c)
    determinant = np.asarray(total.variance1 * total.variance2 - total.covariance**2)
    found.append(compare("area of a sum, squared: its determinant", determinant, np.asarray(total.area) ** 2))
    score = _sampled()
    return [*found, Check("60 networks of width 256, depth 3, erf: gap of the NTK over 4 standard errors + 2 %", score, 1.0)]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    angles = np.linspace(0, np.pi, 120)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for depth, colour in ((2, "C0"), (8, "C1"), (32, "C2")):
        for residual, style in ((None, ":"), (depth**-0.5, "-")):
            ntk = ns.MLP(depth, residual=residual).kernels(circle[:1], circle).ntk[0]
            label = f"L = {depth}, " + ("plain" if residual is None else r"$b = 1/\sqrt{L}$")
            axes.plot(angles, ntk / ntk[0], style, color=colour, label=label)
    axes.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$\Theta^L/\Theta^L(0)$, bias-free ReLU", ylim=(0, None))
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D3.5",
    title="Kernels of residual networks",
    statement=r"With $h^l = h^{l-1} + b\,D\phi(h^{l-1})$, D an affine layer: $K^l = K^{l-1} + b^2(\sigma_w^2E\phi\phi + "
    r"\sigma_b^2)$ and $\Theta^l = \Theta^{l-1}(1 + b^2\sigma_w^2E\phi'\phi') + b^2(\sigma_w^2E\phi\phi + \sigma_b^2)$, the "
    r"expectations over Gaussians with covariance $K^{l-1}$.",
    assumptions=[
        r"NTK parameterisation; hidden layers become infinitely wide one after the other",
        r"$\phi$ differentiable almost everywhere, with $\phi$ and $\phi'$ of finite Gaussian variance",
    ],
    builds_on=["D3.1"],
    evidence={"architectures": "../evidence/architectures.md"},
    code=["ntk_shortcuts.kernels.blocks.Block", "ntk_shortcuts.kernels.moments.PairMoments.plus"],
    source="this project; for ReLU Huang, Wang, Tao & Zhao (2020)",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

"""D3.1: the recursion of NNGP kernel and NTK. Run by itself, or as `ntk-shortcuts derive D3.1`."""

import equinox as eqx
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.kernels.recursion import mlp_kernels
from ntk_shortcuts.numerics import in_float64

phi = sp.Function("phi")
WEIGHT, BIAS, n = sp.symbols("sigma_w^2 sigma_b^2 n", positive=True)
rate_w, rate_b = sp.symbols("r_w r_b", positive=True)
UNITS = 2


class _Layer:
    """Affine layer of UNITS units in the NTK parameterisation, with its parameters as symbols."""

    def __init__(self, name: str, outputs: int = UNITS):
        self.weights = sp.Matrix(outputs, UNITS, sp.symbols(f"{name}:{outputs}:{UNITS}", real=True))
        self.biases = sp.Matrix(outputs, 1, sp.symbols(f"b{name}:{outputs}", real=True))

    def __call__(self, inputs: sp.Matrix) -> sp.Matrix:
        return sp.sqrt(WEIGHT / UNITS) * self.weights * inputs + sp.sqrt(BIAS) * self.biases


def _tangent(first: sp.Expr, second: sp.Expr, layers: list[_Layer]) -> sp.Expr:
    """Sum over parameters of rate x derivative of first x derivative of second."""
    groups = [(rate_w, layer.weights) for layer in layers] + [(rate_b, layer.biases) for layer in layers]
    return sum(rate * sp.diff(first, p).doit() * sp.diff(second, p).doit() for rate, parameters in groups for p in parameters)


def _residual() -> sp.Expr:
    """Tangent kernel of a network with two hidden layers, from the definition, minus the decomposition in its last layer."""
    hidden, readout = [_Layer("U"), _Layer("V")], _Layer("w", outputs=1)
    points = [sp.Matrix(UNITS, 1, sp.symbols(f"{name}:{UNITS}", real=True)) for name in ("x", "y")]
    pre = [hidden[1](hidden[0](x).applyfunc(phi)) for x in points]
    outputs = [readout(z.applyfunc(phi))[0] for z in pre]
    whole = _tangent(*outputs, [*hidden, readout])
    slopes = [[sp.diff(phi(z[i]), hidden[1].biases[i]) / sp.sqrt(BIAS) for i in range(UNITS)] for z in pre]
    direct = rate_w * WEIGHT / UNITS * sum(phi(pre[0][i]) * phi(pre[1][i]) for i in range(UNITS)) + rate_b * BIAS
    w = readout.weights
    inherited = sum(
        w[i] * w[j] * slopes[0][i] * slopes[1][j] * _tangent(pre[0][i], pre[1][j], hidden)
        for i in range(UNITS)
        for j in range(UNITS)
    )
    difference = (whole - direct - WEIGHT / UNITS * inherited).doit()
    # Random numbers for all symbols, with a concrete smooth activation, decide an identity of this size quickly.
    concrete = difference.replace(phi, lambda argument: sp.sin(argument) + argument**2).doit()
    random = np.random.default_rng(0)
    names = sorted(concrete.free_symbols, key=str)
    return sp.lambdify(names, concrete, "math")(*random.uniform(0.3, 1.5, len(names)))


def steps() -> list[Step]:
    assert abs(_residual()) < 1e-10
    # Independent readout weights of unit variance: of w_i w_j only i = j is left, with mean 1.
    w = sp.symbols("w", real=True)
    density = sp.exp(-(w**2) / 2) / sp.sqrt(2 * sp.pi)
    assert [sp.integrate(w**k * density, (w, -sp.oo, sp.oo)) for k in (1, 2)] == [0, 1]
    # The linear network of any depth as a check of the recursion: each of its L + 1 layers contributes the NNGP kernel.
    q, value = sp.symbols("q", positive=True), None
    value = tangent = WEIGHT * q
    for depth in range(1, 4):
        value = WEIGHT * value
        tangent = value + WEIGHT * tangent
        assert sp.expand(tangent - (depth + 1) * value) == 0
    # The rate of p where it enters as scale * p, which is moved by its own gradient; that of p is scale times it.
    own = sp.Symbol("R'", real=True)
    rates = [(own / scale) / (scale * own) for scale in (sp.sqrt(WEIGHT / n), sp.sqrt(BIAS))]
    return [
        Step(
            r"The first affine layer has $f = \sqrt{\sigma_w^2/d}\,w\cdot x + \sigma_b b$; its gradient with respect to $w$ "
            r"and $b$, with learning-rate factors $r_w, r_b$ (1 in the NTK parameterisation), gives the start",
            r"K^0 = \sigma_w^2\langle x, x'\rangle/d + \sigma_b^2,\qquad \Theta^0 = r_w\sigma_w^2\langle x, x'\rangle/d + "
            r"r_b\sigma_b^2",
        ),
        Step(
            r"Write the output as $f = \sqrt{\sigma_w^2/n}\sum_i w_i\phi(z_i) + \sigma_b b$. The chain rule splits its "
            r"tangent kernel at every width (checked on a network with two hidden layers of two units, all derivatives taken "
            r"one by one):",
            r"\Theta = r_w\frac{\sigma_w^2}{n}\sum_i\phi(z_i)\phi(z_i') + r_b\sigma_b^2 + "
            r"\frac{\sigma_w^2}{n}\sum_{ij}w_iw_j\phi'(z_i)\phi'(z_j')\,\Theta_{ij}(x, x')",
        ),
        Step(
            r"Here $\Theta_{ij}$ is the tangent kernel of the pre-activations $z_i, z_j$. The weights $w$ do not occur in "
            r"it, and $E w_iw_j = \delta_{ij}$. As $n \to \infty$ the $z_i$ become independent Gaussians with covariance "
            r"$K^{L-1}$, $\Theta_{ii}$ tends to $\Theta^{L-1}$ and $\Theta_{ij}$ to 0, and the sums over $i$ tend to "
            r"expectations:",
            r"K^L = \sigma_w^2E\phi(a)\phi(b) + \sigma_b^2,\qquad \dot K^L = \sigma_w^2E\phi'(a)\phi'(b)",
        ),
        Step(
            r"By induction over layers ($r_w = r_b = 1$; for the linear network this gives $\Theta^L = (L + 1)K^L$ without "
            r"biases),",
            r"\Theta^L = K^L + \dot K^L\,\Theta^{L-1}",
        ),
        Step(
            r"In the standard parameterisation $\sqrt{\sigma_w^2/n}\,w$ and $\sigma_b b$ are themselves the parameters. Their "
            r"steps are those of $w$ and $b$ at the rates, for a layer of $n$ inputs,",
            rf"r_w = {sp.latex(rates[0])},\qquad r_b = {sp.latex(rates[1])}",
        ),
    ]


def _relu(variances: list, angle: mpmath.mpf) -> tuple:
    kappa = (mpmath.sin(angle) + (mpmath.pi - angle) * mpmath.cos(angle)) / mpmath.pi
    return mpmath.sqrt(variances[0] * variances[1]) * kappa / 2, (mpmath.pi - angle) / (2 * mpmath.pi)


def _erf(variances: list, angle: mpmath.mpf) -> tuple:
    covariance = mpmath.sqrt(variances[0] * variances[1]) * mpmath.cos(angle)
    limit = (1 + 2 * variances[0]) * (1 + 2 * variances[1])
    return (
        2 / mpmath.pi * mpmath.asin(2 * covariance / mpmath.sqrt(limit)),
        4 / mpmath.pi / mpmath.sqrt(limit - 4 * covariance**2),
    )


def _exact(first, second, depth: int, dual, weight: float, bias: float, rates) -> list[mpmath.mpf]:
    """K^L and Theta^L of two points of the plane in 40 digits, by the recursion with the duals D2.2 and D2.4."""
    x, y = ([mpmath.mpf(float(entry)) for entry in point] for point in (first, second))
    weight, bias = mpmath.mpf(float(weight)), mpmath.mpf(float(bias))

    def affine(product, weight_rate=1, bias_rate=1):
        return weight_rate * weight * product + bias_rate * bias

    dot = [sum(s * t for s, t in zip(*pair, strict=True)) / 2 for pair in ((x, x), (y, y), (x, y))]
    moments = [affine(product) for product in dot]
    tangent = affine(dot[2], *rates[0])
    for layer in range(1, depth + 1):
        norm = mpmath.sqrt(moments[0] * moments[1])
        angle = mpmath.acos(max(-1, min(1, moments[2] / norm))) if norm else mpmath.pi / 2
        value, slope = dual(moments[:2], angle)
        own = [dual([variance, variance], mpmath.mpf(0))[0] for variance in moments[:2]]
        moments = [affine(product) for product in (*own, value)]
        tangent = affine(value, *rates[layer]) + weight * slope * tangent
    return [moments[2], tangent]


def _points() -> np.ndarray:
    random = np.random.default_rng(5).normal(size=(3, 2))
    turned = random[0] + 1e-8 * random[0, ::-1] * [-1, 1]
    return np.concatenate([random, [turned, -random[0], [0.0, 0.0]]])


@eqx.filter_jit
def _code(network: ns.MLP, points):
    kernels = mlp_kernels(PairMoments.from_plane(points, points), network.layers(2), network.activation, 2)
    return jnp.stack([kernels.nngp, kernels.ntk])


SETTINGS = (
    ns.MLP(0, "relu", weight_variance=1.3, bias_variance=0.2),
    ns.MLP(1, "relu"),
    ns.MLP(3, "erf", weight_variance=1.7, bias_variance=0.3),
    # Learning-rate factors fan_in / sigma_w^2 and 1 / sigma_b^2.
    ns.MLP(3, "relu", width=8, weight_variance=1.7, bias_variance=0.3, parameterization="standard"),
)


def _sampled_scores() -> float:
    """One hidden layer of 4 units: the expected tangent kernel is the infinite one at any width. Largest z-score."""
    network = ns.MLP(1, "relu", width=4, weight_variance=1.7, bias_variance=0.3)
    points = _points()[[0, 1, 2, 4]]

    @jax.jit
    def draw(keys):
        kernel = jax.vmap(lambda key: ns.empirical_ntk(network, network.init(key, 2), points, points))
        return kernel(keys)

    samples = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)))
    expected = _code(ns.MLP(1, "relu", weight_variance=1.7, bias_variance=0.3), points)[1]
    error = samples.std(axis=0) / np.sqrt(len(samples))
    return float(np.max(np.abs(samples.mean(axis=0) - expected) / error))


@in_float64
def checks() -> list[Check]:
    points = _points()
    found = []
    for network in SETTINGS:
        name, bias = network.activation.name, float(network.bias_variance)
        rates = [(float(layer.weight_rate), float(layer.bias_rate)) for layer in network.layers(2)]
        options = network.depth, {"relu": _relu, "erf": _erf}[name], float(network.weight_variance), bias, rates
        with mpmath.workdps(40):
            exact = np.array([[_exact(x, y, *options) for y in points] for x in points]).astype(float)
        title = f"{name}, depth {network.depth}, bias variance {bias:g}, {network.parameterization}: K and Theta"
        found.append(compare(title, np.moveaxis(exact, 2, 0), _code(network, points)))
    score = Check("z-score of the mean of 4000 networks of 4 hidden units, the largest of 16 entries", _sampled_scores(), 4.0)
    return [*found, score]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2, sharex=True)
    angles = np.linspace(0, np.pi, 200)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for depth, style, colour in ((0, ":", "black"), (1, "-", "C0"), (2, "--", "C1"), (5, "-.", "C2")):
        nngp, ntk = _code(ns.MLP(depth), circle)[:, 0]
        left.plot(angles, nngp / nngp[0], style, color=colour)
        right.plot(angles, ntk / ntk[0], style, color=colour, label=f"L = {depth}")
    left.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$K^L/K^L(0)$, bias-free ReLU")
    right.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$\Theta^L/\Theta^L(0)$, bias-free ReLU")
    right.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D3.1",
    title="Recursion of NNGP kernel and NTK",
    statement=r"$\Theta^L = K^L + \dot K^L\,\Theta^{L-1}$ with $K^L = \sigma_w^2E\phi(a)\phi(b) + \sigma_b^2$, $\dot K^L = "
    r"\sigma_w^2E\phi'(a)\phi'(b)$, $(a, b)$ Gaussian with covariance $K^{L-1}$, and $\Theta^0 = K^0 = \sigma_w^2\langle x, "
    r"x'\rangle/d + \sigma_b^2$. Where weights and biases of a layer are trained at $r_w, r_b$ times the rate, $K^L$ in this "
    r"sum is $r_w\sigma_w^2E\phi\phi + r_b\sigma_b^2$.",
    assumptions=[
        r"NTK parameterisation, all parameters independent N(0, 1), scalar readout",
        r"hidden layers become infinitely wide one after the other, the first one first",
        r"$\phi$ differentiable almost everywhere, with $\phi$ and $\phi'$ of finite Gaussian variance",
    ],
    code=["ntk_shortcuts.kernels.recursion.mlp_kernels", "ntk_shortcuts.kernels.recursion.AffineLayer"],
    source="Jacot, Gabriel & Hongler (2018), theorem 1; Lee et al. (2019), appendix E",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

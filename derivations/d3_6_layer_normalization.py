"""D3.6: kernels of layer-normalised networks. Run by itself, or as `ntk-shortcuts derive D3.6`."""

import jax
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

UNITS = 3


def _normalized(h: sp.Matrix) -> tuple[sp.Matrix, sp.Expr]:
    centred = h - sp.ones(UNITS, 1) * (sum(h) / UNITS)
    deviation = sp.sqrt(sum(entry**2 for entry in centred) / UNITS)
    return centred / deviation, deviation


def _gap_of_the_jacobian() -> float:
    """J J'^T of two inputs from derivatives one by one, less its form in the statement; at random numbers."""
    h, other = (sp.Matrix(UNITS, 1, sp.symbols(f"{name}:{UNITS}", real=True)) for name in "hk")
    (seen, s), (seen_other, s_other) = _normalized(h), _normalized(other)
    product = seen.jacobian(h) * seen_other.jacobian(other).T
    ones = sp.ones(UNITS, UNITS)
    overlap = (seen.T * seen_other)[0] / UNITS
    form = sp.eye(UNITS) - (ones + seen * seen.T + seen_other * seen_other.T - overlap * seen * seen_other.T) / UNITS
    names = [*h, *other]
    values = np.random.default_rng(0).normal(size=len(names))
    gap = sp.lambdify(names, list(product - form / (s * s_other)), "math")(*values)
    return float(np.max(np.abs(gap)))


def steps() -> list[Step]:
    assert _gap_of_the_jacobian() < 1e-12
    # Bias-free ReLU: with T_l = Theta^l / K^l(x, x), whose layers' own variances are sigma_w^2/2 from the first on.
    weight, theta, angle, before = sp.symbols("sigma_w^2 theta_l theta_{l-1} T", positive=True)
    own = weight / 2
    tangent = own * sp.cos(theta) + weight / 2 * (1 - angle / sp.pi) * before
    assert sp.simplify(tangent / own - (sp.cos(theta) + (1 - angle / sp.pi) * before)) == 0
    return [
        Step(
            r"Layer normalisation of n units is $\hat h = (h - m1)/s$. Its Jacobian, all derivatives taken one by one (checked "
            r"with three units):",
            r"J = \frac1s\Big(1 - \frac{11^T}{n} - \frac{\hat h\hat h^T}{n}\Big)",
        ),
        Step(
            r"A tangent kernel $\delta_{ij}\Theta$ of the pre-activations becomes $\Theta JJ'^T$:",
            r"JJ'^T = \frac{1}{ss'}\Big(1 - \frac{11^T + \hat h\hat h^T + \hat h'\hat h'^T - (\hat h\cdot\hat h'/n)\,\hat h"
            r"\hat h'^T}{n}\Big)",
        ),
        Step(
            r"The correction has rank three and entries of order $1/n$. The next layer sums $\frac{\sigma_w^2}{n}\sum_{ij}"
            r"w_iw_j\phi'_i\phi'_j(\ldots)$ over it, in which the $w$ are independent of mean 0: of order $1/n$. By the law of "
            r"large numbers $m \to 0$ and $s^2 \to K(x, x)$:",
            r"K \leftarrow \frac{K(x, x')}{\sqrt{K(x, x)K(x', x')}},\qquad \Theta \leftarrow \frac{\Theta(x, x')}{\sqrt{K(x, "
            r"x)K(x', x')}}",
        ),
        Step(
            r"Without biases a length of the input cancels in the first normalisation: $\Theta(rx, r'x') = \Theta(x, x')$. "
            r"(Not in residual networks: the first layer, which is never normalised, is added to the others.) Of ReLU, with "
            r"$\theta_l$ and $h_L$ of D3.2, $\Theta^l/K^l(x, x)$ obeys the recursion of $h_l$, so that up to a factor the "
            r"weight variance does not matter:",
            r"K^L = \frac{\sigma_w^2}{2}\cos\theta_L,\qquad \Theta^L = \frac{\sigma_w^2}{2}h_L(\theta)",
        ),
    ]


def _sampled() -> float:
    network = ns.MLP(3, "erf", width=256, weight_variance=1.7, bias_variance=0.3, normalization="layer")
    points = np.random.default_rng(5).normal(size=(3, 2))
    draw = jax.jit(lambda key: ns.empirical_ntk(network, network.init(key, 2), points))
    samples = np.asarray(jax.lax.map(draw, jax.random.split(jax.random.key(0), 60)))
    expected, error = network.kernels(points).ntk, samples.std(axis=0) / np.sqrt(len(samples))
    return float(np.max(np.abs(samples.mean(axis=0) - expected) / (4 * error + 0.02 * np.abs(expected))))


@in_float64
def checks() -> list[Check]:
    random = np.random.default_rng(5).normal(size=(4, 2))
    points = np.concatenate([random, -random[:1], random[:1] + 1e-8 * random[:1, ::-1] * [-1, 1]])
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    found = []
    for depth in (1, 2, 5):
        # At |u||u'| = d and sigma_w^2 = 2 the plain network's K and Theta are 2 cos and 2 h.
        plain = ns.MLP(depth).kernels(np.sqrt(2) * unit)
        for weight in (1.1, 3.0):
            normalized = ns.MLP(depth, weight_variance=weight, normalization="layer").kernels(points)
            pairs = ((normalized.nngp, plain.nngp), (normalized.ntk, plain.ntk))
            got, expected = (np.stack(part) for part in zip(*pairs, strict=True))
            title = f"ReLU, depth {depth}, sigma_w^2 = {weight}: the plain network's profile"
            found.append(compare(title, weight / 4 * expected, got, tolerance=1e-11))
    score = _sampled()
    return [*found, Check("60 networks of width 256, depth 3, erf: gap of the NTK over 4 standard errors + 2 %", score, 1.0)]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    angles = np.linspace(0, np.pi, 120)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for activation, style in (("relu", "-"), ("erf", "--")):
        for depth, colour in ((1, "C0"), (4, "C1"), (16, "C2")):
            ntk = ns.MLP(depth, activation, normalization="layer").kernels(circle[:1], 3 * circle).ntk[0]
            axes.plot(angles, ntk / ntk[0], style, color=colour, label=f"{activation}, L = {depth}")
    axes.set(xlabel=r"angle $\theta$ (radians)", ylabel=r"$\Theta^L/\Theta^L(0)$, layer-normalised")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D3.6",
    title="Kernels of layer-normalised networks",
    statement=r"Layer normalisation over an infinite width divides $K(x, x')$ and $\Theta(x, x')$ by "
    r"$\sqrt{K(x, x)K(x', x')}$. Without biases and residual connections the kernels do not depend on the inputs' lengths; of "
    r"ReLU they are $\frac{\sigma_w^2}{2}\cos\theta_L$ and $\frac{\sigma_w^2}{2}h_L(\theta)$, the profiles of D3.2.",
    assumptions=[
        r"NTK parameterisation; hidden layers become infinitely wide one after the other",
        r"no trained gain and offset, and no constant added to the variance",
    ],
    builds_on=["D3.1", "D3.2"],
    evidence={"architectures": "../evidence/architectures.md"},
    code=["ntk_shortcuts.kernels.blocks.Block", "ntk_shortcuts.kernels.moments.PairMoments.normalized"],
    source="this project; the rule is that of neural-tangents' LayerNorm",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

"""D3.4: decay of Fourier coefficients with depth and biases. Run by itself, or as `ntk-shortcuts derive D3.4`."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.kernels.recursion import mlp_kernels
from ntk_shortcuts.numerics import in_float64

theta, k, depth = sp.symbols("theta k L", positive=True)
KAPPA = (sp.sin(theta) + (sp.pi - theta) * sp.cos(theta)) / sp.pi


def _asymptotics(order: int) -> tuple:
    """Boundary terms of (2/pi) int_0^pi h cos(k theta) by parts, in derivatives h_n at 0 and g_n at pi, p = (-1)^k."""
    parity = sp.Symbol("p")
    start, end = (sp.symbols(f"{name}:{order + 1}") for name in ("h", "g"))
    total = sp.Integer(0)
    for n in range(order + 1):
        wave = sp.cos(k * theta)
        for _ in range(n + 1):
            wave = sp.integrate(wave, theta)
        at_end = wave.subs(theta, sp.pi).subs({sp.sin(sp.pi * k): 0, sp.cos(sp.pi * k): parity})
        total += (-1) ** n * (end[n] * at_end - start[n] * wave.subs(theta, 0))
    return sp.expand(2 / sp.pi * total), parity, start, end


def steps() -> list[Step]:
    expansion, parity, start, end = _asymptotics(3)
    expected = 2 / sp.pi * ((parity * end[1] - start[1]) / k**2 - (parity * end[3] - start[3]) / k**4)
    assert sp.expand(expansion - expected) == 0
    # Near pi: kappa = (pi - theta)^3/(3 pi) + ..., so that theta_1 = pi/2 up to third order there.
    y = sp.Symbol("y", positive=True)
    near_pi = sp.series(KAPPA.subs(theta, sp.pi - y), y, 0, 5).removeO()
    assert sp.simplify(near_pi - y**3 / (3 * sp.pi)) == 0
    # Depth 1 from its closed profile (D3.3): slopes -1/pi and 1/pi, so that odd k cancel.
    profile = KAPPA + (1 - theta / sp.pi) * sp.cos(theta)
    assert [sp.simplify(sp.diff(profile, theta).subs(theta, t)) for t in (0, sp.pi)] == [-1 / sp.pi, 1 / sp.pi]
    thirds = [sp.simplify(sp.diff(KAPPA, theta, 3).subs(theta, t)) for t in (0, sp.pi)]
    assert thirds == [2 / sp.pi, -2 / sp.pi]
    closed = 4 * (k**2 + 3) / (sp.pi**2 * (k**2 - 1) ** 2), 8 / (sp.pi**2 * (k**2 - 1) ** 2)
    assert sp.limit(closed[0] * k**2, k, sp.oo) == 4 / sp.pi**2 and sp.limit(closed[1] * k**4, k, sp.oo) == 8 / sp.pi**2
    # Deeper: d cos(theta_{l+1}) = (1 - theta_l/pi) d cos(theta_l), the slope of kappa in its argument.
    assert sp.simplify(sp.diff(KAPPA, theta) / sp.diff(sp.cos(theta), theta) - (1 - theta / sp.pi)) == 0
    # With biases, at small angle psi of the inputs: theta_0^2, the squared distance after a layer, and the slope of the NTK.
    psi, q, bias, gamma, slope, diagonal, weight = sp.symbols("psi q b gamma h T W", positive=True)
    angle = 2 * (1 - (q * sp.cos(psi) + bias) / (q + bias))
    assert sp.simplify(sp.limit(angle / psi**2, psi, 0) - q / (q + bias)) == 0
    assert sp.limit((1 - KAPPA) / theta**2, theta, 0) == sp.Rational(1, 2)
    inherited = weight / 2 * (1 - gamma * psi / sp.pi) * (diagonal + slope * psi)
    assert sp.expand(sp.diff(inherited, psi).subs(psi, 0) - weight / 2 * (slope - gamma / sp.pi * diagonal)) == 0
    product = sp.Symbol("P_L", positive=True)
    ntk = expected.subs({start[1]: -depth * (depth + 1) / (2 * sp.pi), end[1]: product / sp.pi, start[3]: 0, end[3]: 0})
    cubic = {start[1]: 0, end[1]: 0, start[3]: 2 * depth / sp.pi, end[3]: -2 * product / sp.pi}
    nngp = expected.subs(cubic)
    sign = {parity: (-1) ** sp.Symbol("k", integer=True)}
    return [
        Step(
            r"$h$ is analytic in $[0, \pi]$ and even as a function on the circle. Integrating $a_k = \frac2\pi\int_0^\pi "
            r"h\cos k\theta$ by parts, $\sin k\pi = 0$,",
            r"a_k = \frac{2}{\pi k^2}\big((-1)^kh'(\pi) - h'(0)\big) - \frac{2}{\pi k^4}\big((-1)^kh'''(\pi) - h'''(0)\big) "
            r"+ O(k^{-6})",
        ),
        Step(
            r"At angle 0 (D2.7), over $K^L(0)$: $h' = -L(L+1)/(2\pi)$ for the NTK; $h' = 0$ and $h''' = 2L/\pi$ for the NNGP "
            r"kernel."
        ),
        Step(
            r"At angle $\pi$ the first layer has $\kappa = (\pi - \theta)^3/(3\pi) + \dots$, so that $\theta_1 = \pi/2$ to "
            r"third order. Later layers multiply by $d\kappa/d\cos\theta = 1 - \theta_l/\pi$, evaluated there:",
            r"P_L = \prod_{l=1}^{L-1}\Big(1 - \frac{\theta_l^*}{\pi}\Big),\qquad \theta_1^* = \pi/2,\quad \cos\theta_{l+1}^* "
            r"= \kappa(\theta_l^*)",
        ),
        Step(
            r"This gives $h'(\pi) = P_L/\pi$ for the NTK and $h'''(\pi) = -2P_L/\pi$ for the NNGP kernel, whose coefficients "
            r"are",
            sp.Eq(sp.Symbol("{a_k}"), sp.simplify(nngp.subs(sign)), evaluate=False),
        ),
        Step(
            r"With biases the first pre-activations of antiparallel points are at an angle below $\pi$, and the kernel is "
            r"smooth there. At norm $r$ let $q_0 = \sigma_w^2r^2/d + \sigma_b^2$, $q_l = \frac{\sigma_w^2}2q_{l-1} + "
            r"\sigma_b^2$, $T_l = q_l + \frac{\sigma_w^2}2T_{l-1}$, $T_0 = q_0$. The squared distance is halved and "
            r"multiplied by $\sigma_w^2$ in each layer, so $\theta_l = \gamma_l\theta$ with $\gamma_l^2 = "
            r"(\sigma_w^2/2)^l\sigma_w^2r^2/(dq_l)$, and the slope at 0 obeys",
            r"h_l' = \frac{\sigma_w^2}{2}\Big(h_{l-1}' - \frac{\gamma_{l-1}}{\pi}T_{l-1}\Big),\qquad a_k \to "
            r"-\frac{2h_L'}{\pi k^2}\text{ for even and odd } k",
        ),
        Step(
            r"Without biases the NTK's coefficients are, with $P_1 = 1$: for $L = 1$ odd ones cancel, for $L \geq 2$ all are "
            r"of order $k^{-2}$,",
            sp.Eq(sp.Symbol("{a_k}"), sp.simplify(ntk.subs(sign)), evaluate=False),
        ),
    ]


def _products(layers: int) -> float:
    angle, product = np.pi / 2, 1.0
    for _ in range(layers - 1):
        product *= 1 - angle / np.pi
        angle = np.arccos((np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi)
    return product


def _leading(layers: int, parity: int) -> tuple[float, float]:
    """k^2 a_k of the NTK and k^4 a_k of the NNGP kernel, over K^L(0), at large k."""
    sign, product = (-1) ** parity, _products(layers)
    return layers * (layers + 1) / np.pi**2 + 2 * sign * product / np.pi**2, 4 * (layers + sign * product) / np.pi**2


def _leading_with_biases(network: ns.MLP) -> float:
    """k^2 a_k of the NTK at norm 1 in the plane (d = 2), at large k."""
    weight, bias = float(network.weight_variance), float(network.bias_variance)
    q = weight / 2 + bias
    spread, tangent, slope = weight / 2, q, 0.0
    for _ in range(network.depth):
        slope = weight / 2 * (slope - np.sqrt(spread / q) / np.pi * tangent)
        q, spread = weight / 2 * q + bias, weight / 2 * spread
        tangent = q + weight / 2 * tangent
    return -2 * slope / np.pi


@eqx.filter_jit
def _kernels(network: ns.MLP, angles):
    ones, half = jnp.ones_like(angles), jnp.sin(angles / 2)
    moments = PairMoments(ones, ones, jnp.cos(angles), jnp.sin(angles), 4 * half**2)
    kernels = mlp_kernels(moments, network.layers(2), network.activation, 2)
    return kernels.ntk, kernels.nngp


def _coefficients(network: ns.MLP, orders: np.ndarray) -> np.ndarray:
    """a_k of NTK and NNGP kernel, (2, orders): Gauss-Legendre, exact for analytic profiles."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    angles = np.pi * (nodes + 1) / 2
    return np.array(_kernels(network, angles)) @ (weights[:, None] * np.cos(np.outer(angles, orders)))


def _fit(orders: np.ndarray, values: np.ndarray) -> float:
    """c of c + c' k^-2 + c'' k^-4 through three points."""
    return float(np.linalg.solve(np.stack([orders**0.0, orders**-2.0, orders**-4.0], axis=1), values)[0])


@in_float64
def checks() -> list[Check]:
    found = []
    for layers in (1, 2, 3):
        expected, got = [], []
        for parity in (0, 1):
            base = np.array([20, 40, 80]) + parity
            a = _coefficients(ns.MLP(layers), base)
            got.append([_fit(base, a[0] * base**2.0), _fit(base, a[1] * base**4.0)])
            expected.append(_leading(layers, parity))
        found.append(compare(f"depth {layers}: k^2 a_k (NTK), k^4 a_k (NNGP), even and odd k", expected, got, 1e-5))
    for layers in (1, 3):
        network = ns.MLP(layers, weight_variance=1.6, bias_variance=0.8)
        got = []
        for parity in (0, 1):
            base = np.array([40, 80, 120]) + parity
            got.append(_fit(base, _coefficients(network, base)[0] * base**2.0))
        found.append(
            compare(
                f"depth {layers} with biases: k^2 a_k (NTK), even and odd k", [_leading_with_biases(network)] * 2, got, 1e-5
            )
        )
    return found


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    left, right = drawing.subplots(1, 2, sharex=True)
    orders = np.unique(np.geomspace(2, 100, 24).astype(int))
    settings = (
        (ns.MLP(1), "L = 1", "o", "C0"),
        (ns.MLP(3), "L = 3", "s", "C1"),
        (ns.MLP(1, bias_variance=1.0), "L = 1, biases", "^", "C2"),
    )
    for network, name, marker, colour in settings:
        scale = float(_kernels(network, np.array([0.0]))[1][0])
        for axes, values in zip((left, right), np.abs(_coefficients(network, orders)) / scale, strict=True):
            axes.loglog(orders, np.where(values > 1e-13, values, np.nan), marker, ms=4, mfc="none", color=colour, label=name)
    left.loglog(orders, 1.0 / orders**2, ":", color="black", label=r"$k^{-2}$")
    right.loglog(orders, 1.0 / orders**4.0, "--", color="black", label=r"$k^{-4}$")
    left.set(xlabel="frequency k", ylabel=r"$|a_k|$ of the NTK, over $K(0)$", ylim=(5e-6, 60))
    right.set(xlabel="frequency k", ylabel=r"$|a_k|$ of the NNGP kernel, over $K(0)$")
    left.legend(frameon=False, loc="upper right")
    right.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D3.4",
    title="Decay of Fourier coefficients with depth and biases",
    statement=r"ReLU networks in the plane at fixed norm. Over $K^L(0)$, without biases, the NTK has $a_k \to "
    r"\frac{1}{\pi^2k^2}(L(L+1) + 2(-1)^kP_L)$ and the NNGP kernel $a_k \to \frac{4}{\pi^2k^4}(L + (-1)^kP_L)$, with $P_1 = "
    r"1$, $P_2 = 1/2$ and $P_L$ decreasing. Depth does not change the power; odd $k \geq 3$ are absent for $L = 1$ only. "
    r"With biases even and odd $k$ share the constant of the kink at angle 0.",
    assumptions=[r"infinite width, ReLU", r"relative corrections of order $k^{-2}$"],
    builds_on=["D2.7", "D3.2"],
    code=["ntk_shortcuts.kernels.recursion.mlp_kernels"],
    source="powers: Bietti & Mairal (2019), Basri et al. (2019), Bietti & Bach (2021); constants: this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

"""Agreement of our kernels with neural-tangents in float64, and the accuracy of both in float32.

python benchmarks/agreement_neural_tangents.py [--output FILE]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import mpmath
import numpy as np

from ntk_shortcuts.kernels import neural_tangents
from ntk_shortcuts.laws import GenerativeModel, LawKernel
from ntk_shortcuts.networks import MLP

DEPTHS = (1, 2, 5)
VARIANCES = ((2.0, 0.0), (1.3, 0.4))
FLOAT32_DEPTHS = (1, 3, 5)
FLOAT32_VARIANCES = ((2.0, 0.0), (2.0, 0.1))
PAIRS = ("generic", "nearly parallel", "parallel", "antiparallel", "zero")
COUNT = 32  # pairs of points per case
INPUT_DIM = 100

mpmath.mp.dps = 50


def stax_layers(stax):
    return {
        "linear": stax.Identity(),
        "relu": stax.Relu(),
        "leaky_relu": stax.LeakyRelu(0.01),
        "erf": stax.Erf(),
        "gelu": stax.Gelu(),
        "sin": stax.Sin(),
    }


def dense_kernel(depth: int, activation: str, weight: float, bias: float):
    """The kernel function of a neural-tangents fully connected network; of tanh with 25^2 Gauss-Hermite nodes for a pair."""
    stax = neural_tangents.load().stax
    layer = stax.ElementwiseNumerical(jnp.tanh, deg=25) if activation == "tanh" else stax_layers(stax)[activation]
    b_std = float(np.sqrt(bias)) if bias else None
    layers = []
    for fan_out in [*[512] * depth, 1]:
        layers += [stax.Dense(fan_out, float(np.sqrt(weight)), b_std), layer]
    kernel_fn = jax.jit(stax.serial(*layers[:-1])[2], static_argnames="get")
    return lambda x1, x2: kernel_fn(x1, x2, get=("nngp", "ntk"))


def turned(x: np.ndarray, rng: np.random.Generator, angle: float) -> np.ndarray:
    """Each row of x (n, d) turned by a small angle in a random direction."""
    other = rng.normal(size=x.shape)
    other -= x * np.sum(other * x, axis=1, keepdims=True) / np.sum(x * x, axis=1, keepdims=True)
    length = np.linalg.norm(x, axis=1, keepdims=True) / np.linalg.norm(other, axis=1, keepdims=True)
    return x + np.tan(angle) * length * other


def pair_points(name: str, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """COUNT pairs of points (COUNT, dimension), representable in float32."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(COUNT, dimension)).astype(np.float32).astype(np.float64)
    y = {
        "generic": lambda: rng.normal(size=x.shape),
        "nearly parallel": lambda: turned(x, rng, 1e-6),
        "parallel": lambda: 2 * x,
        "antiparallel": lambda: -x / 2,
        "zero": lambda: np.zeros_like(x),
    }[name]()
    return x.astype(np.float32), y.astype(np.float32)


def exact_relu(x: np.ndarray, y: np.ndarray, depth: int, weight: float, bias: float) -> np.ndarray:
    """NNGP, NTK and the scale sqrt(K(x, x) K(y, y)) of a ReLU network at one pair, with 50 digits.

    K' = sw2 r (sin t + (pi - t) cos t) / (2 pi) + sb2 and Kdot = sw2 (pi - t) / (2 pi), with r the geometric mean of
    the variances and t the angle (Cho & Saul, 2009).
    """
    mp = mpmath.mpf
    x, y = [mp(float(v)) for v in x], [mp(float(v)) for v in y]
    sw2, sb2 = mp(weight), mp(bias)

    def first(a, b):
        return sw2 * mpmath.fdot(a, b) / len(a) + sb2

    xx, yy, xy = first(x, x), first(y, y), first(x, y)
    tangent = xy
    for _ in range(depth):
        r = mpmath.sqrt(xx * yy)
        if r == 0:
            angle = mpmath.pi / 2
        else:
            # The area of the parallelogram, not arccos, which would halve the digits.
            angle = mpmath.atan2(mpmath.sqrt(max(xx * yy - xy * xy, 0)), xy)
        xy = sw2 * r * (mpmath.sin(angle) + (mpmath.pi - angle) * mpmath.cos(angle)) / (2 * mpmath.pi) + sb2
        slope = sw2 * (mpmath.pi - angle) / (2 * mpmath.pi)
        tangent = xy + slope * tangent
        xx, yy = sw2 * xx / 2 + sb2, sw2 * yy / 2 + sb2
    return np.array([float(v) if abs(v) > 1e-20 else 0.0 for v in (xy, tangent, mpmath.sqrt(xx * yy))])


def relative_error(nngp, ntk, exact: np.ndarray) -> float:
    """Largest |value - exact| / |exact|, over sqrt(K(x, x) K(y, y)) where exact is 0, and absolute where both are."""
    errors = []
    for value, reference in ((nngp, exact[:, 0]), (ntk, exact[:, 1])):
        scale = np.where(reference != 0, np.abs(reference), exact[:, 2])
        errors.append(np.abs(np.diag(np.asarray(value, np.float64)) - reference) / np.where(scale > 0, scale, 1))
    return float(np.max(errors)) if np.all(np.isfinite(errors)) else float("nan")


def show(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def float64_table() -> str:
    """Ours against neural-tangents in float64, R^10."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 10)), 1.5 * rng.normal(size=(15, 10))
    z = turned(x, rng, 1e-6)
    rows = []
    for activation in stax_layers(neural_tangents.load().stax):
        for depth in DEPTHS:
            for weight, bias in VARIANCES:
                theirs = dense_kernel(depth, activation, weight, bias)
                network = MLP(depth, activation, weight_variance=weight, bias_variance=bias)
                cells = []
                for x2, part in ((y, lambda k: k), (z, jnp.diag)):
                    ours = network.kernels(x, x2)
                    for a, b in zip((ours.nngp, ours.ntk), theirs(x, x2), strict=True):
                        cells.append(show(float(jnp.max(jnp.abs(part(a) / part(b) - 1)))))
                rows.append([activation, str(depth), f"{weight:g}", f"{bias:g}", *cells])
    header = ["activation", "depth", "$\\sigma_w^2$", "$\\sigma_b^2$", "generic NNGP", "generic NTK"]
    return table([*header, "nearly parallel NNGP", "nearly parallel NTK"], rows)


def float32_table() -> str:
    """ReLU in both precisions against 50 digits, latents in the plane and inputs in R^100."""
    # Inputs are the amplified latents themselves: amplification (4, 1) is exact in binary.
    amplification = np.array([4.0, 1.0], np.float32)
    model = GenerativeModel(amplification=tuple(map(float, amplification)), input_dim=2)
    rows = []
    for space in ("plane", f"R^{INPUT_DIM}"):
        for name in PAIRS:
            x, y = pair_points(name, 2 if space == "plane" else INPUT_DIM)
            inputs = (x * amplification, y * amplification) if space == "plane" else (x, y)
            for depth in FLOAT32_DEPTHS:
                for weight, bias in FLOAT32_VARIANCES:
                    network = MLP(depth, weight_variance=weight, bias_variance=bias)
                    theirs = dense_kernel(depth, "relu", weight, bias)
                    exact = np.stack([exact_relu(*pair, depth, weight, bias) for pair in zip(*inputs, strict=True)])
                    cells = []
                    for dtype in (np.float32, np.float64):
                        if space == "plane":
                            ours = LawKernel(model, network)(x.astype(dtype), y.astype(dtype))
                        else:
                            ours = network.kernels(x.astype(dtype), y.astype(dtype))
                        assert ours.ntk.dtype == dtype
                        with jax.enable_x64(dtype == np.float64):  # else its constants make it float64
                            nngp, ntk = theirs(*(jnp.asarray(v, dtype) for v in inputs))
                        assert ntk.dtype == dtype
                        cells.append(show(relative_error(ours.nngp, ours.ntk, exact)))
                        cells.append(show(relative_error(nngp, ntk, exact)))
                    rows.append([space, name, str(depth), f"{bias:g}", *cells])
    header = ["inputs", "pairs", "depth", "$\\sigma_b^2$", "ours, float32", "neural-tangents, float32"]
    return table([*header, "ours, float64", "neural-tangents, float64"], rows)


def report() -> str:
    """The whole page."""
    packages = ("jax", "jaxlib", "neural-tangents", "numpy", "mpmath")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    device = jax.devices()[0].platform
    return f"""# Agreement with neural-tangents

Our infinite-width kernels of fully connected networks against those of
[neural-tangents](https://github.com/google/neural-tangents) 0.6.5, an independent implementation, and the accuracy of
both in single precision. Rerun with `python benchmarks/agreement_neural_tangents.py --output docs/evidence/agreement.md`
(needs `pip install '.[neural-tangents]'` and mpmath).

This page: Python {platform.python_version()}, {versions}; {device}, {os.cpu_count()} cores; {time.strftime("%Y-%m-%d")}.

## Double precision

Largest |ours / neural-tangents - 1| in float64 over points in $R^{{10}}$: generic pairs (20 x 15 normal points), and
nearly parallel pairs (20, an angle of 1e-6 apart). neural-tangents takes angles from normalised inner products, which
hold an angle of 1e-6 to a relative 1e-4 only; the second table says which of the two is nearer the truth.

{float64_table()}

## Single precision

Largest relative error of NNGP and NTK of ReLU networks ($\\sigma_w^2=2$) over {COUNT} pairs, on points that are exact in
float32. The truth is the recursion with 50 digits on the same points. Where it is 0 the error is relative to
$\\sqrt{{K(x,x)K(x',x')}}$, and where that is 0 too it is absolute. In the plane ours is `LawKernel` of latents with
amplification (4, 1), and neural-tangents gets the amplified latents; in $R^{{{INPUT_DIM}}}$ ours is `kernels`. Nearly
parallel: 1e-6 apart before rounding to float32; parallel: $x'=2x$; antiparallel: $x'=-x/2$; zero: $x'=0$.

{float32_table()}
"""


def main() -> None:
    """Print the page, and write it with --output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="also write the page to this file")
    output = parser.parse_args().output
    jax.config.update("jax_enable_x64", True)
    warnings.simplefilter("ignore", DeprecationWarning)
    page = report()
    print(page)
    if output:
        output.write_text(page)


if __name__ == "__main__":
    main()

r"""Frozen high-precision references for the infinite-width kernels (NNGP and NTK) of multilayer perceptrons.

An independent route to the numbers of `ntk_shortcuts`: nothing here imports the package. Every kernel is
computed from the definitions, with inputs and variances taken as the exact values of their doubles:

    K^0(x, x') = sw2 <x, x'>/d + sb2                         Theta^0 = K^0
    K^l        = sw2 E[phi(a) phi(b)] + sb2                  (a, b) ~ N(0, K^{l-1} on {x, x'})
    Kdot^l     = sw2 E[phi'(a) phi'(b)]                      Theta^l = K^l + Kdot^l Theta^{l-1}

NNGP = K^L, NTK = Theta^L; depth 0 is the linear model. In the standard parameterization the direct
contribution of layer l to Theta^l is fan_in_l E[phi phi] (<x, x'> for l = 0), plus 1 where there are biases
(sb2 > 0), instead of K^l; fan_in is d for l = 0 and the width otherwise. Kdot and the recursion are the same.

Expectations: linear, ReLU, leaky ReLU and erf in closed form with 60 digits, the closed forms being checked
here against a double integral over the plane. Tanh, GELU, sigmoid, SiLU, sine and softplus by the
trapezoidal rule on the whitened plane, with 48 digits and a step set for an error below 1e-34: the rule
converges exponentially because integrands are analytic in a strip. Each integral is taken on two grids, the
second shifted by half a step in both directions; the leading error has opposite signs on the two, so their
difference bounds it, is asserted, and drops out of the mean, which is used. Further checks: sine and erf
against their closed forms, and Price's theorem d E[phi phi]/d q12 = E[phi' phi'] for every activation.

Zero variance on one side (zero input, no biases): ReLU-like derivatives take the limit at a right angle
(1/4 for ReLU), smooth activations their literal value at zero.

Versions: Python 3.11.7, mpmath 1.3.0, gmpy2 2.3.2 (any recent ones will do).
Rerun from the repository root, with `pip install mpmath gmpy2`:

    python tests/reference/make_kernel_references.py

It rewrites kernel_references.json next to itself, identically, in about 100 seconds on one core.
"""

import functools
import itertools
import json
import math
import random
import time
from pathlib import Path

import gmpy2
from gmpy2 import mpfr
from mpmath import mp

OUTPUT = Path(__file__).with_name("kernel_references.json")
LEAKY_SLOPE = 0.01
DIGITS = 60  # working precision of the recursions and closed forms
QUADRATURE_BITS = 160  # working precision of the integrands, 48 digits
QUADRATURE_EXPONENT = 84.0  # trapezoidal error aimed at: exp(-84) = 3e-37
QUADRATURE_AGREEMENT = mp.mpf("1e-34")  # largest allowed relative difference of the two shifted grids
RADIUS = 13.5  # whitened plane is cut here: exp(-13.5**2/2) = 3e-40
# Determinants below these fractions of q11*q22 are rounding of exactly parallel pairs.
PARALLEL_CLOSED = mp.mpf("1e-50")
PARALLEL_QUADRATURE = mp.mpf("1e-31")

mp.dps = DIGITS
gmpy2.get_context().precision = QUADRATURE_BITS


# ---------------------------------------------------------------------------------------------------------
# Activations as (value, derivative) of one mpfr argument, and how fast they grow off the real axis
# ---------------------------------------------------------------------------------------------------------
_SQRT_HALF = gmpy2.sqrt(mpfr(1) / 2)
_INV_SQRT_TAU = 1 / gmpy2.sqrt(2 * gmpy2.const_pi())
_TWO_OVER_SQRT_PI = 2 / gmpy2.sqrt(gmpy2.const_pi())


def tanh_pair(x):
    t = 1 - 2 / (gmpy2.exp(2 * x) + 1)
    return t, 1 - t * t


def sigmoid_pair(x):
    p = 1 / (1 + gmpy2.exp(-x))
    return p, p * (1 - p)


def silu_pair(x):
    p = 1 / (1 + gmpy2.exp(-x))
    return x * p, p * (1 + x * (1 - p))


def softplus_pair(x):
    e = gmpy2.exp(x)
    return gmpy2.log1p(e), e / (1 + e)


def gelu_pair(x):
    cdf = gmpy2.erfc(-x * _SQRT_HALF) / 2
    return x * cdf, cdf + x * _INV_SQRT_TAU * gmpy2.exp(-x * x / 2)


def sin_pair(x):
    return gmpy2.sin(x), gmpy2.cos(x)


def erf_pair(x):
    return gmpy2.erf(x), _TWO_OVER_SQRT_PI * gmpy2.exp(-x * x)


# Growth off the real axis: ("pole", distance), ("gauss", c) for exp(c y^2/2), ("exp", c) for exp(c y).
SMOOTH = {
    "tanh": (tanh_pair, ("pole", math.pi / 2)),
    "gelu": (gelu_pair, ("gauss", 1.0)),
    "sigmoid": (sigmoid_pair, ("pole", math.pi)),
    "silu": (silu_pair, ("pole", math.pi)),
    "sin": (sin_pair, ("exp", 1.0)),
    "softplus": (softplus_pair, ("pole", math.pi)),
    "erf": (erf_pair, ("gauss", 2.0)),  # only to check its closed form
}
QUADRATURE_ACTIVATIONS = ("tanh", "gelu", "sigmoid", "silu", "sin", "softplus")


def trapezoid_step(growth, scales):
    """Step for a standard normal variable that enters the activations multiplied by each of `scales`.

    The error of step h is exp(-2 pi y/h) times the growth of the integrand at imaginary part y, at the best
    y: y^2/2 from the Gaussian weight, and the activation's own growth, or y limited by its nearest pole.
    """
    kind, constant = growth
    goal = QUADRATURE_EXPONENT
    if kind == "gauss":
        return math.pi * math.sqrt(2 / (goal * (1 + constant * sum(s * s for s in scales))))
    if kind == "exp":
        return 2 * math.pi / (constant * sum(scales) + math.sqrt(2 * goal))
    goal += 16.0  # double poles of phi', which make poles of order four
    distance = constant / max(scales) if max(scales) > 0 else math.inf
    if distance > math.sqrt(2 * goal):
        return math.pi * math.sqrt(2 / goal)
    return 2 * math.pi * distance / (goal + distance**2 / 2)


def to_mpfr(x):
    return mpfr(mp.nstr(x, 55))


def to_mp(x):
    mantissa, exponent = x.as_mantissa_exp()
    return mp.ldexp(mp.mpf(int(mantissa)), int(exponent))


def grid(step, shift, scale):
    """Nodes (multiplied by scale) and normalized Gaussian weights of one trapezoidal grid."""
    half = math.ceil(RADIUS / step) + 1
    h = mpfr(step)
    nodes = [(i + mpfr(shift)) * h for i in range(-half, half + 1)]
    return [scale * v for v in nodes], [h * _INV_SQRT_TAU * gmpy2.exp(-v * v / 2) for v in nodes], half


def trapezoid(name, sigma, c, s, shift):
    """E[phi(a) phi(b)] and E[phi'(a) phi'(b)] for a = sigma u, b = c u + s v on one grid of the plane."""
    pair, growth = SMOOTH[name]
    step_u = trapezoid_step(growth, (float(sigma), abs(float(c))))
    u_nodes, u_weights, u_half = grid(step_u, shift, mpfr(1))
    if s == 0:
        inner_nodes, inner_weights, v_half, step_v = [mpfr(0)], [mpfr(1)], 0, 1.0
    else:
        step_v = trapezoid_step(growth, (float(s),))
        inner_nodes, inner_weights, v_half = grid(step_v, shift, s)
    value, derivative = mpfr(0), mpfr(0)
    for i, (u, u_weight) in enumerate(zip(u_nodes, u_weights, strict=True)):
        room = RADIUS**2 - ((i - u_half) * step_u) ** 2
        if room < 0:
            continue
        reach = min(v_half, math.ceil(math.sqrt(room) / step_v))
        cu = c * u
        inner_value, inner_derivative = mpfr(0), mpfr(0)
        for j in range(v_half - reach, v_half + reach + 1):
            f, df = pair(cu + inner_nodes[j])
            inner_value += inner_weights[j] * f
            inner_derivative += inner_weights[j] * df
        f, df = pair(sigma * u)
        value += u_weight * f * inner_value
        derivative += u_weight * df * inner_derivative
    return to_mp(value), to_mp(derivative)


worst_disagreement = {"relative difference": mp.mpf(0), "integrals": 0}


@functools.cache
def quadrature_dual(name, q11, q12, q22):
    """Both expectations by the trapezoidal rule, from two grids that must agree."""
    if q11 < q22:
        q11, q22 = q22, q11
    if q11 == 0:
        f, df = SMOOTH[name][0](mpfr(0))
        return to_mp(f) ** 2, to_mp(df) ** 2
    sigma = mp.sqrt(q11)
    determinant = q11 * q22 - q12**2
    s = mp.sqrt(determinant / q11) if determinant > PARALLEL_QUADRATURE * q11 * q22 else mp.mpf(0)
    arguments = (name, to_mpfr(sigma), to_mpfr(q12 / sigma), to_mpfr(s))
    grids = [trapezoid(*arguments, shift) for shift in ("0", "0.5")]
    # Relative to the size of the integrand, since odd activations may average to zero.
    sizes = [mp.sqrt(to_mp(SMOOTH[name][0](arguments[1])[k] ** 2)) + 1 for k in (0, 1)]
    for first, second, size in zip(*grids, sizes, strict=True):
        difference = abs(first - second) / size
        worst_disagreement["relative difference"] = max(worst_disagreement["relative difference"], difference)
        assert difference < QUADRATURE_AGREEMENT, (name, q11, q12, q22, difference)
    worst_disagreement["integrals"] += 1
    return tuple((first + second) / 2 for first, second in zip(*grids, strict=True))


# ---------------------------------------------------------------------------------------------------------
# Closed forms
# ---------------------------------------------------------------------------------------------------------
def linear_dual(q11, q12, q22):
    return q12, mp.mpf(1)


def rectified(norm, c, s):
    """Cho & Saul's pair for unit-slope rectifiers at an angle of cosine c and sine s >= 0."""
    opening = mp.atan2(s, -c)  # pi minus the angle: exact zero for an antiparallel pair
    return norm * (s + opening * c) / (2 * mp.pi), opening / (2 * mp.pi)


def leaky_dual(q11, q12, q22, slope=LEAKY_SLOPE):
    """phi(x) = relu(x) - slope relu(-x); flipping one argument turns the angle into pi - angle."""
    alpha = mp.mpf(slope)
    norm = mp.sqrt(q11 * q22)
    if norm == 0:
        c, s = mp.mpf(0), mp.mpf(1)  # right angle by convention
    else:
        determinant = q11 * q22 - q12**2
        s = mp.sqrt(determinant) / norm if determinant > PARALLEL_CLOSED * norm**2 else mp.mpf(0)
        c = q12 / norm if s else mp.sign(q12)
    same, same_derivative = rectified(norm, c, s)
    crossed, crossed_derivative = rectified(norm, -c, s)
    value = (1 + alpha**2) * same - 2 * alpha * crossed
    return value, (1 + alpha**2) * same_derivative + 2 * alpha * crossed_derivative


def relu_dual(q11, q12, q22):
    return leaky_dual(q11, q12, q22, slope=0.0)


def erf_dual(q11, q12, q22):
    product = (1 + 2 * q11) * (1 + 2 * q22)
    value = 2 / mp.pi * mp.asin(2 * q12 / mp.sqrt(product))
    return value, 4 / (mp.pi * mp.sqrt(product - 4 * q12**2))


def sin_dual(q11, q12, q22):
    """Only to check the quadrature."""
    decay = mp.exp(-(q11 + q22) / 2)
    return decay * mp.sinh(q12), decay * mp.cosh(q12)


CLOSED = {"linear": linear_dual, "relu": relu_dual, "leaky_relu": leaky_dual, "erf": erf_dual}


def dual(name, q11, q12, q22):
    if name in CLOSED:
        return CLOSED[name](q11, q12, q22)
    return quadrature_dual(name, q11, q12, q22)


# ---------------------------------------------------------------------------------------------------------
# Checks of the expectations
# ---------------------------------------------------------------------------------------------------------
@functools.cache
def gauss_legendre(count):
    """Nodes and weights on [-1, 1] by Newton's method."""
    rule = []
    for k in range(count):
        x = mp.cos(mp.pi * (k + mp.mpf("0.75")) / (count + mp.mpf("0.5")))
        slope = mp.mpf(1)
        for _ in range(8):
            previous, current = mp.mpf(1), x
            for n in range(2, count + 1):
                previous, current = current, ((2 * n - 1) * x * current - (n - 1) * previous) / n
            slope = count * (x * current - previous) / (x**2 - 1)
            x -= current / slope
        rule.append((x, 2 / ((1 - x**2) * slope**2)))
    return rule


def plane_integral(value, derivative, q11, q12, q22):
    """E[phi phi], E[phi' phi'] over the plane in polar coordinates, for activations with a kink at zero.

    Sectors end on the lines a = 0 and b = 0, so that the integrand is smooth in each; Gauss-Legendre rules
    in angle and radius evaluate phi(a) phi(b) at every node of the plane.
    """
    sigma = mp.sqrt(q11)
    c = q12 / sigma
    s = mp.sqrt(q22 - c**2)
    kink = mp.atan2(-c, s)  # b = 0
    borders = sorted([x % (2 * mp.pi) for x in (mp.pi / 2, -mp.pi / 2, kink, kink + mp.pi)])
    borders.append(borders[0] + 2 * mp.pi)
    angles = gauss_legendre(24)
    radii = [
        ((low + high) / 2 + (high - low) / 2 * x, (high - low) / 2 * w)
        for low, high in ((0, 5), (5, 12))
        for x, w in gauss_legendre(40)
    ]
    radial = [(r, w * r * mp.exp(-(r**2) / 2) / (2 * mp.pi)) for r, w in radii]
    total, total_derivative = mp.mpf(0), mp.mpf(0)
    for low, high in itertools.pairwise(borders):
        for x, w in angles:
            angle = (low + high) / 2 + (high - low) / 2 * x
            a_unit = sigma * mp.cos(angle)
            b_unit = c * mp.cos(angle) + s * mp.sin(angle)
            weight = w * (high - low) / 2
            total += weight * sum(wr * value(r * a_unit) * value(r * b_unit) for r, wr in radial)
            total_derivative += weight * sum(wr * derivative(r * a_unit) * derivative(r * b_unit) for r, wr in radial)
    return total, total_derivative


CHECK_POINTS = [("1", "0.3", "1"), ("2.5", "-1.1", "0.7"), ("0.4", "0.35", "3.1")]


def check_expectations():
    points = [tuple(mp.mpf(x) for x in point) for point in CHECK_POINTS]
    slope = mp.mpf(LEAKY_SLOPE)
    kinked = {
        "linear": (lambda x: x, lambda x: mp.mpf(1)),
        "relu": (lambda x: max(x, 0), lambda x: mp.mpf(x > 0)),
        "leaky_relu": (lambda x: x if x > 0 else slope * x, lambda x: mp.mpf(1) if x > 0 else slope),
    }
    report = {}
    for point in points:
        for name, functions in kinked.items():
            for exact, integral in zip(dual(name, *point), plane_integral(*functions, *point), strict=True):
                report[name] = max(report.get(name, 0), abs(exact - integral))
        for name, closed in (("erf", erf_dual), ("sin", sin_dual)):
            for exact, integral in zip(closed(*point), quadrature_dual(name, *point), strict=True):
                report[name] = max(report.get(name, 0), abs(exact - integral))
    # Near a parallel pair the plane is split on two almost coinciding lines; one point is enough.
    close = (mp.mpf(1), 2 * mp.cos(mp.mpf("1e-6")), mp.mpf(4))
    for name, functions in kinked.items():
        for exact, integral in zip(dual(name, *close), plane_integral(*functions, *close), strict=True):
            report[name] = max(report[name], abs(exact - integral))
    print("closed form against double integral:", {k: mp.nstr(v, 2) for k, v in report.items()})
    assert all(error < mp.mpf("1e-24") for error in report.values())

    # Price's theorem, fourth-order central difference.
    price = {}
    q11, q12, q22 = points[2]
    q12, step = mp.mpf("0.5"), mp.mpf("1e-7")
    for name in (*CLOSED, *QUADRATURE_ACTIVATIONS):
        ahead, behind, far_ahead, far_behind = (dual(name, q11, q12 + k * step, q22)[0] for k in (1, -1, 2, -2))
        difference = (8 * (ahead - behind) - (far_ahead - far_behind)) / (12 * step)
        price[name] = abs(difference - dual(name, q11, q12, q22)[1])
    print("Price's theorem:", {k: mp.nstr(v, 2) for k, v in price.items()})
    assert all(error < mp.mpf("1e-22") for error in price.values())


# ---------------------------------------------------------------------------------------------------------
# Recursion
# ---------------------------------------------------------------------------------------------------------
def kernels(name, depth, weight_variance, bias_variance, parameterization, width, x1, x2):
    """NNGP and NTK at (x1, x2), exactly the definitions in the module docstring."""
    sw2, sb2 = mp.mpf(weight_variance), mp.mpf(bias_variance)
    d = len(x1)

    def gram(x, y):
        return mp.fsum(mp.mpf(a) * mp.mpf(b) for a, b in zip(x, y, strict=True))

    def direct(overlap, fan_in):
        """A layer's own share of the NTK: overlap is <x, x'>/d or E[phi phi]."""
        if parameterization == "ntk":
            return sw2 * overlap + sb2
        return fan_in * overlap + (1 if sb2 > 0 else 0)

    q11, q12, q22 = (sw2 * g / d + sb2 for g in (gram(x1, x1), gram(x1, x2), gram(x2, x2)))
    theta = direct(gram(x1, x2) / d, d)
    for _ in range(depth):
        value, derivative = dual(name, q11, q12, q22)
        theta = direct(value, width) + sw2 * derivative * theta
        new11 = dual(name, q11, q11, q11)[0]
        new22 = new11 if q22 == q11 else dual(name, q22, q22, q22)[0]
        q11, q12, q22 = (sw2 * e + sb2 for e in (new11, value, new22))
    return q12, theta


# ---------------------------------------------------------------------------------------------------------
# Input pairs
# ---------------------------------------------------------------------------------------------------------
def polar(radius, angle):
    return [radius * math.cos(angle), radius * math.sin(angle)]


def short_normals(count, generator):
    return [round(generator.gauss(0.0, 1.0), 3) for _ in range(count)]


def make_pairs():
    """Name -> (kind, x1, x2); doubles, with the kind named after the exact geometry of those doubles."""
    generator = random.Random(20240611)
    five, other_five = short_normals(5, generator), short_normals(5, generator)
    hundred, other_hundred = short_normals(100, generator), short_normals(100, generator)
    overlap = math.fsum(a * b for a, b in zip(hundred, other_hundred, strict=True))
    square = math.fsum(a * a for a in hundred)
    perp = [b - overlap / square * a for a, b in zip(hundred, other_hundred, strict=True)]
    perp_scale = math.sqrt(square / math.fsum(p * p for p in perp))
    near_hundred = [a + 1e-6 * perp_scale * p for a, p in zip(hundred, perp, strict=True)]
    return {
        "acute": ("generic", [1.1, -0.4], [0.7, 0.9]),
        "obtuse unequal": ("generic", [0.31, 0.22], [-2.4, 0.6]),
        "tiny and large": ("generic", [0.01, 0.02], [3.5, -1.25]),
        "right angle": ("generic", [1.5, 0.0], [0.0, -0.75]),
        "five": ("generic", five, other_five),
        "five unequal": ("generic", [0.125 * a for a in five], [2.5 * b for b in other_five]),
        "hundred": ("generic", hundred, other_hundred),
        "hundred unequal": ("generic", [0.3 * a for a in hundred], [1.7 * b for b in other_hundred]),
        "1e-4": ("nearly_parallel", polar(1.3, 0.7), polar(1.3, 0.7001)),
        "1e-6": ("nearly_parallel", polar(1.3, 0.7), polar(1.3, 0.700001)),
        "1e-6 unequal": ("nearly_parallel", polar(0.4, 2.1), polar(2.6, 2.100001)),
        "1e-8": ("nearly_parallel", polar(1.3, 0.7), polar(1.3, 0.70000001)),
        "1e-8 unequal": ("nearly_parallel", polar(2.2, -0.3), polar(0.9, -0.29999999)),
        "1e-6 hundred": ("nearly_parallel", hundred, near_hundred),
        "same": ("parallel", [0.9, -1.7], [0.9, -1.7]),
        "same five": ("parallel", five, five),
        "doubled": ("parallel", [0.9, -1.7], [1.8, -3.4]),
        "quartered hundred": ("parallel", hundred, [0.25 * a for a in hundred]),
        "opposite": ("antiparallel", [0.9, -1.7], [-0.9, 1.7]),
        "opposite five": ("antiparallel", five, [-4.0 * a for a in five]),
        "pi - 1e-4": ("nearly_antiparallel", polar(1.3, 0.7), polar(0.8, 0.7001 - math.pi)),
        "pi - 1e-6": ("nearly_antiparallel", polar(1.3, 0.7), polar(1.3, 0.700001 - math.pi)),
        "zero": ("zero", [0.0, 0.0], [1.2, 0.7]),
        "zero five": ("zero", other_five, [0.0] * 5),
        "both zero": ("zero", [0.0, 0.0], [0.0, 0.0]),
    }


def exact_angle(x1, x2):
    """Angle between two vectors of doubles, without cancellation; zero when one of them is zero."""
    a, b = ([mp.mpf(x) for x in v] for v in (x1, x2))
    dot = mp.fdot(a, b)
    wedge = mp.fsum((a[i] * b[j] - a[j] * b[i]) ** 2 for i in range(len(a)) for j in range(i))
    return mp.atan2(mp.sqrt(wedge), dot) if wedge or dot else mp.mpf(0)


def check_pairs(pairs):
    """The doubles have the geometry that their kind says."""
    for name, (kind, x1, x2) in pairs.items():
        angle = exact_angle(x1, x2)
        if kind in ("nearly_parallel", "nearly_antiparallel"):
            goal = mp.mpf(name.split()[-1] if kind == "nearly_antiparallel" else name.split()[0])
            angle = angle if kind == "nearly_parallel" else mp.pi - angle
            assert abs(angle / goal - 1) < 1e-6, (name, angle)
        elif kind == "parallel":
            assert angle == 0, (name, angle)
        elif kind == "antiparallel":
            assert angle == mp.pi, (name, angle)
        elif kind == "generic":
            assert mp.mpf("0.1") < angle < mp.mpf("3.04"), (name, angle)


# ---------------------------------------------------------------------------------------------------------
# Which records
# ---------------------------------------------------------------------------------------------------------
# (depth, weight variance, bias variance, parameterization, width, names of pairs)
LINEAR_PLAN = [
    (0, 1.0, 0.05, "ntk", None, ["acute", "1e-6", "opposite", "zero", "hundred"]),
    (0, 2.0, 0.0, "standard", 64, ["acute", "five", "zero", "doubled"]),
    (0, 1.5, 0.1, "standard", 64, ["obtuse unequal", "hundred unequal"]),
    (2, 2.3, 0.7, "ntk", None, ["five unequal", "1e-8", "opposite five", "zero five"]),
    (3, 1.5, 0.1, "standard", 128, ["acute", "hundred", "pi - 1e-6"]),
    (5, 1.0, 0.0, "ntk", None, ["obtuse unequal", "right angle", "both zero"]),
]
CLOSED_PLAN = [
    (0, 1.5, 0.1, "ntk", None, ["obtuse unequal", "1e-6 unequal"]),
    (0, 2.3, 0.7, "standard", 256, ["five", "zero"]),
    (
        1,
        2.0,
        0.0,
        "ntk",
        None,
        ["acute", "hundred", "1e-6", "1e-8 unequal", "doubled", "opposite", "pi - 1e-4", "zero", "both zero"],
    ),
    (2, 1.0, 0.0, "ntk", None, ["five", "right angle", "1e-6 unequal", "opposite five", "zero five"]),
    (2, 1.0, 0.05, "ntk", None, ["tiny and large", "1e-4", "doubled", "pi - 1e-6", "zero"]),
    (3, 2.3, 0.7, "ntk", None, ["five unequal", "hundred unequal", "1e-6 unequal", "1e-8", "opposite five"]),
    (
        5,
        2.0,
        0.0,
        "ntk",
        None,
        [
            "obtuse unequal",
            "tiny and large",
            "1e-4",
            "1e-6",
            "1e-6 unequal",
            "1e-8",
            "1e-6 hundred",
            "same five",
            "quartered hundred",
            "opposite",
            "pi - 1e-6",
        ],
    ),
    (5, 1.5, 0.1, "ntk", None, ["acute", "five unequal", "1e-8 unequal", "1e-6 hundred", "same", "opposite"]),
    (1, 1.0, 0.0, "standard", 64, ["five unequal", "1e-6", "opposite", "zero"]),
    (3, 1.5, 0.1, "standard", 512, ["obtuse unequal", "hundred", "1e-6 unequal", "doubled", "pi - 1e-4"]),
]
# Pairs keep their variances in several lines: integrals are cached, so smaller depths cost nothing.
QUADRATURE_PLAN = [
    (5, 1.5, 0.1, "ntk", None, ["obtuse unequal", "1e-6 unequal"]),
    (2, 1.5, 0.1, "standard", 256, ["obtuse unequal", "1e-6 unequal"]),
    (3, 2.3, 0.7, "ntk", None, ["five unequal", "1e-8"]),
    (1, 2.3, 0.7, "ntk", None, ["five unequal", "1e-8"]),
    (2, 1.0, 0.0, "ntk", None, ["opposite", "zero", "pi - 1e-6"]),
    (1, 2.0, 0.0, "ntk", None, ["hundred", "1e-6 hundred", "doubled", "both zero"]),
    (1, 1.0, 0.05, "standard", 64, ["five"]),
]


def make_records(pairs):
    plans = [("linear", LINEAR_PLAN)]
    plans += [(name, CLOSED_PLAN) for name in ("relu", "leaky_relu", "erf")]
    plans += [(name, QUADRATURE_PLAN) for name in QUADRATURE_ACTIVATIONS]
    records = []
    for activation, plan in plans:
        start = time.perf_counter()
        before = len(records)
        for depth, weight_variance, bias_variance, parameterization, width, names in plan:
            for pair in names:
                kind, x1, x2 = pairs[pair]
                setting = (activation, depth, weight_variance, bias_variance, parameterization, width)
                nngp, ntk = kernels(*setting, x1, x2)
                record = {
                    "activation": activation,
                    "depth": depth,
                    "weight_variance": weight_variance,
                    "bias_variance": bias_variance,
                    "parameterization": parameterization,
                    "width": width,
                    "kind": kind,
                    "pair": pair,
                    "angle": mp.nstr(exact_angle(x1, x2), 20),
                    "input_dim": len(x1),
                    "nngp": mp.nstr(nngp, 30),
                    "ntk": mp.nstr(ntk, 30),
                    "x1": x1,
                    "x2": x2,
                }
                if activation == "leaky_relu":
                    record["slope"] = LEAKY_SLOPE
                records.append(record)
        seconds = time.perf_counter() - start
        print(f"{activation}: {len(records) - before} records in {seconds:.1f} s", flush=True)
    return records


def main():
    start = time.perf_counter()
    pairs = make_pairs()
    check_pairs(pairs)
    check_expectations()
    records = make_records(pairs)
    assert all(json.loads(json.dumps(record)) == record for record in records)
    lines = ",\n".join(json.dumps(record) for record in records)
    OUTPUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    worst = mp.nstr(worst_disagreement["relative difference"], 2)
    print(f"{worst_disagreement['integrals']} integrals, grids differ by at most {worst}")
    print(f"{len(records)} records in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

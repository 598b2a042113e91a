"""D6.1: the kernel as a quadratic polynomial of the inner product. Run by itself, or as `ntk-shortcuts derive D6.1`."""

import jax.numpy as jnp
import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.methods.quadratic import quadratic_kernels
from ntk_shortcuts.numerics import in_float64

a0, a1, a2, x = sp.symbols("a_0 a_1 a_2 x", real=True)
low, middle, high = sp.symbols("Theta_- Theta_0 Theta_+", real=True)
norm, sigma, dim, r = sp.symbols("R sigma_w d r", positive=True)
theta, phi = sp.symbols("theta phi", real=True)


def _coefficients() -> dict:
    """The polynomial through the kernel's values at inner products -R^2, 0 and R^2."""
    quadratic = a0 + a1 * x + a2 * x**2
    values = {-(norm**2): low, sp.Integer(0): middle, norm**2: high}
    (solution,) = sp.solve([quadratic.subs(x, at) - value for at, value in values.items()], [a0, a1, a2], dict=True)
    return solution


def _relu_kernel() -> sp.Expr:
    """NTK of one hidden layer of ReLU without biases at norms R and angle theta in [0, pi], from the Gaussian integral."""
    # The two units are both active for polar angles phi of the Gaussian pair in (theta - pi/2, pi/2).
    radial = sp.integrate(r**3 * sp.exp(-(r**2) / 2), (r, 0, sp.oo)) / (2 * sp.pi)
    values = radial * sp.integrate(sp.expand_trig(sp.cos(phi) * sp.cos(phi - theta)), (phi, theta - sp.pi / 2, sp.pi / 2))
    slopes = (sp.pi - theta) / (2 * sp.pi)
    first = sigma**2 * norm**2 / dim
    return sp.expand(sp.simplify(sigma**2 * first * (values + slopes * sp.cos(theta))))


def _relu_coefficients() -> dict:
    kernel = _relu_kernel()
    ends = {low: kernel.subs(theta, sp.pi), middle: kernel.subs(theta, sp.pi / 2), high: kernel.subs(theta, 0)}
    return {name: sp.simplify(value.subs(ends)) for name, value in _coefficients().items()}


def _side_by_side(values: dict) -> str:
    return r",\quad ".join(sp.latex(sp.Eq(name, values[name])) for name in (a0, a1, a2))


def steps() -> list[Step]:
    solution, kernel, relu = _coefficients(), _relu_kernel(), _relu_coefficients()
    odd = sp.simplify((kernel - kernel.subs(theta, sp.pi - theta)) / 2)
    # The odd part is linear in u . u' = R^2 cos(theta): nothing of it is lost.
    assert sp.simplify(odd - relu[a1] * norm**2 * sp.cos(theta)) == 0
    # A linear network's kernel is its own polynomial.
    slope = sp.Symbol("c")
    linear = {low: -slope * norm**2, middle: 0, high: slope * norm**2}
    assert [sp.simplify(solution[name].subs(linear)) for name in (a0, a1, a2)] == [0, slope, 0]
    return [
        Step(
            r"Two tight clusters at $\pm m$ have inner products near $\pm R^2$, and orthogonal probes have 0. The polynomial "
            r"$a_0+a_1x+a_2x^2$ that has the kernel's values $\Theta_\pm$ and $\Theta_0$ there is unique.",
            _side_by_side(solution),
        ),
        Step(
            r"One hidden layer of ReLU without biases, norms $R$, angle $\theta$: the Gaussian pair in polar coordinates is "
            r"active on an arc of $\pi-\theta$, which gives",
            sp.Eq(sp.Function("Theta")(theta), kernel),
        ),
        Step(
            r"Its odd part under $\theta\to\pi-\theta$ is linear in $u\cdot u'=R^2\cos\theta$, so that $a_1$ holds all of it.",
            sp.Eq(sp.Function("Theta_odd")(theta), odd),
        ),
        Step(
            r"Its values at $\theta=\pi,\pi/2,0$ in the polynomial give the coefficients.",
            _side_by_side(relu),
        ),
    ]


def _models() -> list[ns.GenerativeModel]:
    random = np.random.default_rng(0)
    drawn = [
        ns.GenerativeModel(
            random.uniform(0.5, 0.999, 2), np.exp(random.normal(size=2)), random.uniform(-0.9, 0.9), input_dim=30
        )
        for _ in range(3)
    ]
    # No class means; almost touching the ends of the range; a ratio of 1e4.
    edges = (((0.5, 0.5), (1.0, 1.0), 0.6), ((0.5, 1 - 1e-12), (1e4, 1.0), 0.999))
    return [*drawn, *[ns.GenerativeModel(*edge, input_dim=30) for edge in edges]]


def _square(model: ns.GenerativeModel) -> mpmath.mpf:
    """R^2 = sum_i alpha_i^2 (1 + mu_i^2)."""
    alphas, means = (map(lambda value: mpmath.mpf(float(value)), values) for values in (model.amplification, model.means))
    return sum(alpha**2 * (1 + mean**2) for alpha, mean in zip(alphas, means, strict=True))


def _erf_kernels(cosine: float, total: mpmath.mpf, dimension: int, gain: float, offset: float) -> tuple:
    """NNGP and NTK of one hidden layer of erf with biases, from Williams (1997) in mpmath."""
    q, p = gain * total / dimension + offset, gain * total * cosine / dimension + offset
    value = 2 / mpmath.pi * mpmath.asin(2 * p / (1 + 2 * q))
    slope = 4 / mpmath.pi / mpmath.sqrt((1 + 2 * q) ** 2 - 4 * p**2)
    nngp = gain * value + offset
    return nngp, nngp + gain * slope * p


@in_float64
def checks() -> list[Check]:
    relu = sp.lambdify((norm, sigma, dim), [_relu_coefficients()[name] for name in (a0, a1, a2)], "mpmath")
    kernel = sp.lambdify((theta, norm, sigma, dim), _relu_kernel(), "mpmath")
    interpolate = sp.lambdify((low, middle, high, norm), [_coefficients()[name] for name in (a0, a1, a2)], "mpmath")
    variance, offset = 1.7, 0.3
    network, biased = ns.MLP(1, weight_variance=variance), ns.MLP(1, "erf", weight_variance=variance, bias_variance=offset)
    ratios, errors, erf_ratios, samples = [], [], [], []
    with mpmath.workdps(30):
        angles = [mpmath.pi, mpmath.pi / 2, mpmath.mpf(0), *[mpmath.pi * k / 20 for k in range(1, 20)]]
        half_normal = mpmath.quad(lambda g: g * mpmath.npdf(g), [0, mpmath.inf])
        half_square = mpmath.quad(lambda g: g**2 * mpmath.npdf(g), [0, mpmath.inf])
        for model in _models():
            total, dimension = _square(model), model.input_dim
            _, found, error = quadratic_kernels(LawKernel(model, network))
            exact = relu(mpmath.sqrt(total), mpmath.sqrt(variance), dimension)
            ratios.append([float(mine) / float(value) for mine, value in zip(found, exact, strict=True)])
            values = [kernel(angle, mpmath.sqrt(total), mpmath.sqrt(variance), dimension) for angle in angles]
            products = [total * mpmath.cos(angle) for angle in angles]
            misfit = [abs(exact[0] + exact[1] * p + exact[2] * p**2 - value) for p, value in zip(products, values, strict=True)]
            errors.append(float(max(misfit) / values[2]) - float(error))
            scale = mpmath.mpf(variance) ** 2 * total / dimension
            # E phi(a) phi(b) at angles 0 and pi/2, and 0 at pi; E phi' phi' = 1/2 at 0.
            integrals = np.array([0.0, scale * half_normal**2, scale * (half_square + mpmath.mpf(1) / 2)])
            at = float(total) * np.array([-1.0, 0.0, 1.0])
            polynomial = np.asarray(found)[0] + np.asarray(found)[1] * at + np.asarray(found)[2] * at**2
            samples.append((polynomial - integrals.astype(float)) / float(scale))
            nngp, ntk, _ = quadratic_kernels(LawKernel(model, biased))
            pairs = [_erf_kernels(cosine, total, dimension, variance, offset) for cosine in (-1, 0, 1)]
            for mine, ends in zip((nngp, ntk), zip(*pairs, strict=True), strict=True):
                # The even coefficients are differences of the ends: compared on the scale of the kernel itself.
                units = np.array([float(total) ** k for k in range(3)]) / float(ends[2])
                erf_ratios.append((np.asarray(mine) - np.array(interpolate(*ends, mpmath.sqrt(total)), float)) * units)
    return [
        compare("coefficients of ReLU, ratio to the closed form", np.ones_like(ratios), ratios),
        compare("reported kernel error of ReLU against 30 digits", np.zeros_like(errors), errors),
        compare("polynomial at -R^2, 0, R^2 against half-normal integrals", np.zeros_like(samples), samples),
        compare("NNGP and NTK of erf with biases against Williams (1997)", np.zeros_like(erf_ratios), erf_ratios),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    cosines = np.cos(np.linspace(0, np.pi, 181))
    degrees = np.linspace(0, 180, 181)
    networks = (
        ("ReLU, 1 layer", ns.MLP(1), "C0"),
        ("ReLU, 5 layers", ns.MLP(5), "C1"),
        ("erf, 1 layer", ns.MLP(1, "erf"), "k"),
    )
    for name, network, color in networks:
        at = jnp.asarray(100.0 * np.concatenate([[-1.0, 0.0, 1.0], cosines]))
        values = np.asarray(network.kernels_from_gram(at[None], jnp.array([100.0]), jnp.full(at.size, 100.0), 100).ntk[0])
        (below, centre, above), curve = values[:3] / values[2], values[3:] / values[2]
        polynomial = centre + (above - below) / 2 * cosines + ((above + below) / 2 - centre) * cosines**2
        axes.plot(degrees, curve, color=color, label=name)
        axes.plot(degrees, polynomial, "--", color=color)
    axes.plot([], [], "--", color="0.3", label="quadratic through 0, 90 and 180 degrees")
    axes.set(xlabel="angle between two inputs of equal norm (degrees)", ylabel="NTK relative to its value at angle 0")
    axes.set_xticks(range(0, 181, 30))
    drawing.legend(loc="outside upper center", ncols=2)
    return drawing


DERIVATION = Derivation(
    label="D6.1",
    title="The kernel as a quadratic polynomial of the inner product",
    statement=r"At norms $R$, $R^2=E|u|^2=\sum_i\alpha_i^2(1+\mu_i^2)$, the kernel is replaced by the polynomial in "
    r"$x=u\cdot u'$ that agrees with it at $x\in\{-R^2,0,R^2\}$: $a_0=\Theta_0$, $a_1=(\Theta_+-\Theta_-)/(2R^2)$, "
    r"$a_2=((\Theta_++\Theta_-)/2-\Theta_0)/R^4$. For one hidden layer of ReLU without biases $a_0=\sigma_w^4R^2/(2\pi d)$, "
    r"$a_1=\sigma_w^4/(2d)$, $a_2=\sigma_w^4(\pi-1)/(2\pi dR^2)$, and $a_1$ is exact at all angles.",
    assumptions=[
        r"$\eta=0$ and orthogonal $w_s,w_c$, so that $\langle x,x'\rangle=u\cdot u'$ with $u=\mathrm{diag}(\alpha)z$",
        r"two tight clusters: norms near $R$, inner products near $\pm R^2$",
        "infinite width",
    ],
    builds_on=["D1.1", "D3.1"],
    code=["ntk_shortcuts.methods.quadratic.quadratic_kernels"],
    source="the regime is that of the NTK theory in Hermann et al. (2024); the kernel is that of Cho & Saul (2009)",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

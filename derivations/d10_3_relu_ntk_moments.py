"""D10.3: mean and variance of a finite ReLU network's NTK. Run by itself, or as `ntk-shortcuts derive D10.3`."""

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, lines, main
from ntk_shortcuts.kernels.finite_width.moments import _second_moment
from ntk_shortcuts.numerics import in_float64

n, k, s, g, x = sp.symbols("n k s g x", positive=True)
# P(k > 0), kept as a symbol: 1 - 2^(-n).
present = sp.Symbol("pi_n", positive=True)
LENGTH = sp.diag(1, 0, 1)
ALONG = sp.Matrix([[0, 0, 0], [1, 0, 0], [1, 0, 0]])
ACROSS = sp.Matrix([[0, 0, 0], [0, 1, 0], [0, 1, 0]])


def _chi_squared(power: int, degrees: sp.Expr) -> sp.Expr:
    """E X^power of a chi-squared variable, from its density."""
    density = x ** (degrees / 2 - 1) * sp.exp(-x / 2) / (2 ** (degrees / 2) * sp.gamma(degrees / 2))
    return sp.factor(sp.gammasimp(sp.integrate(x**power * density, (x, 0, sp.oo))))


def _active(polynomial: sp.Expr) -> sp.Expr:
    """E of a polynomial in k ~ Bin(n, 1/2) over k > 0, from the generating function ((1 + s)/2)^n."""
    generating = ((1 + s) / 2) ** n
    # k^j = (s d/ds)^j at s = 1; the constant term counts k > 0 only.
    powers = [present]
    for _ in range(sp.degree(polynomial, k)):
        generating = s * sp.diff(generating, s)
        powers.append(sp.factor(sp.simplify(generating.subs(s, 1))))
    return sp.factor(sum(c * powers[degree] for (degree,), c in sp.Poly(polynomial, k).terms()))


def _entries() -> dict[str, sp.Expr]:
    """Moments of S ~ chi^2_k, C ~ chi^2_(k-1) and 1[k > 0], independent given k."""
    degrees = sp.Symbol("nu", positive=True)
    one, two = (_chi_squared(power, degrees) for power in (1, 2))
    length, length2 = one.subs(degrees, k), two.subs(degrees, k)
    across, across2 = one.subs(degrees, k - 1), two.subs(degrees, k - 1)
    polynomials = {"S": length, "C": across, "SS": length2, "CC": across2, "SC": length * across}
    return {name: _active(sp.expand(value)) for name, value in polynomials.items()}


def _chain(depth: int) -> tuple[sp.Expr, sp.Expr]:
    """E theta and E theta^2 at depth L, in units of (n/2)^L and its square."""
    e = _entries()
    mean = sp.Matrix([1, 1, 1])
    second = sp.Matrix([[3, 1, 1], [1, 1, 1], [1, 1, 1]])
    step = e["S"] * LENGTH + present * ALONG + e["C"] * ACROSS
    for _ in range(depth):
        mean = (step * mean / (n / 2)).applyfunc(sp.cancel)
        same = e["SS"] * LENGTH * second * LENGTH.T + present * ALONG * second * ALONG.T + e["CC"] * ACROSS * second * ACROSS.T
        mixed = e["S"] * LENGTH * second * ALONG.T + e["SC"] * LENGTH * second * ACROSS.T + e["C"] * ALONG * second * ACROSS.T
        second = ((same + mixed + mixed.T) / (n / 2) ** 2).applyfunc(sp.cancel)
    return sp.factor(mean[2]), sp.factor(second[2, 2])


def steps() -> list[Step]:
    e = _entries()
    # The same moments of the squared length from one unit's Gaussian moments, without k.
    normal = sp.exp(-(g**2) / 2) / sp.sqrt(2 * sp.pi)
    second, fourth = (sp.integrate(g**power * normal, (g, 0, sp.oo)) for power in (2, 4))
    assert sp.expand(e["S"] - n * second) == 0
    assert sp.expand(e["SS"] - n * fourth - n * (n - 1) * second**2) == 0
    (mean1, square1), (mean2, square2) = _chain(1), _chain(2)
    assert (mean1, mean2) == (2, 3)
    # One hidden layer without the chain: Theta is a mean of n terms (g^2 + a^2) 1[g > 0], a the readout weight.
    # E (g^2 + a^2) 1[g > 0] and its square, with E a^2 = 1, E a^4 = 3 and P(g > 0) = 1/2.
    term = [second + sp.Rational(1, 2), fourth + 2 * second + sp.Rational(3, 2)]
    assert sp.simplify(square1 - mean1**2 - (term[1] - term[0] ** 2) / n * 4) == 0
    variance = sp.factor(square1 / mean1**2 - 1), sp.collect(sp.expand(square2 / mean2**2 - 1), present)
    cumulant = sp.factor(sp.cancel(e["SS"] / (n / 2) ** 2) - 1)
    assert sp.simplify(cumulant - 5 / n) == 0
    moments = [rf"E[{' '.join(name)}]={sp.latex(value)}" for name, value in e.items()]
    return [
        Step(
            r"A layer maps a unit input to $h=\mathrm{ReLU}(We)$ with $k\sim\mathrm{Bin}(n,\frac12)$ active units and "
            r"$|h|^2=S\sim\chi_k^2$; what is above sees a direction whose law does not depend on $k$ and $S$, by rotation. "
            r"Its output "
            r"gradient has the squared component $v_1$ along that direction and variance $v_2$ in each one across. Through "
            r"$W$: "
            r"$v_1'=Sv_1$ along $e$, and across it the squared norm on the active units, $1_{k>0}v_1+Cv_2$ with "
            r"$C\sim\chi^2_{k-1}$. "
            r"The NTK $v_3$ gains the same norm from this layer's weights.",
            r"v'=\begin{pmatrix}S&0&0\\1_{k>0}&C&0\\1_{k>0}&C&S\end{pmatrix}v,\qquad v_0=(g^2,1,1)",
        ),
        Step(
            r"From the density of $\chi^2$ and the generating function of $k$, with $\pi_n=1-2^{-n}$:",
            lines(r",\quad ".join(moments[:2]) + ",", r",\quad ".join(moments[2:])),
        ),
        Step(
            r"The mean, in units of $q_0(\sigma_w^2/2)^L$, is that of infinite width at every $n$; at $L=1,2$ it is $2,3$.",
            r"E\,\Theta=(L+1)\,q_0(\sigma_w^2/2)^L",
        ),
        Step(
            r"Second moments follow by one $3\times3$ recursion. At $L=1$:",
            rf"\mathrm{{Var}}\,\Theta/(E\,\Theta)^2={sp.latex(variance[0])}",
        ),
        Step(r"At $L=2$:", rf"\mathrm{{Var}}\,\Theta/(E\,\Theta)^2={sp.latex(variance[1])}"),
        Step(
            r"The output's variance given the hidden layers is the product of the lengths, so that "
            r"$\kappa_4=3\,\mathrm{Var}\,S$ with "
            r"$E S^2/(n/2)^2=1+5/n$ per layer.",
            r"\kappa_4=3q_0^2(\sigma_w^2/2)^{2L}\left((1+5/n)^L-1\right)",
        ),
    ]


def _simulated(depth: int, width: int, count: int) -> np.ndarray:
    """Theta(x, x) of networks drawn at random, by `ns.empirical_ntk`, in units of q_0 (sigma_w^2/2)^L."""
    network = ns.MLP(depth, width=width)
    point = jnp.array([[0.6, -0.8]])
    draw = jax.jit(jax.vmap(lambda key: ns.empirical_ntk(network, network.init(key, 2), point)[0, 0]))
    return np.asarray(draw(jax.random.split(jax.random.key(depth), count)))


@in_float64
def checks() -> list[Check]:
    moments, literal, scores = [], [], []
    for depth in (0, 1, 2, 3):
        mean, second = (sp.lambdify((n, present), value, "mpmath") for value in _chain(depth))
        for width in (1, 2, 7, 64, 10**5):
            present_at = 1 - sp.Rational(1, 2) ** min(width, 200)
            exact = float(second(sp.Integer(width), present_at))
            moments.append(_second_moment(depth, width) / exact - 1)
            assert float(mean(sp.Integer(width), present_at)) == depth + 1
            # x with q_0 = 1 and sigma_w^2 = 2: all in units of E theta.
            found = ns.finite_width.finite_width_moments(ns.MLP(depth, width=width), jnp.full((1, 3), 0.5**0.5))
            literal.append(float(found.ntk_mean[0]) - depth - 1)
            variance = exact - (depth + 1) ** 2
            literal.append((float(found.ntk_variance[0]) - variance) / max(1, variance))
            literal.append(float(found.output_fourth_cumulant[0]) - 3 * ((1 + 5 / width) ** depth - 1))
    for depth, width in ((1, 4), (3, 8)):
        sample = _simulated(depth, width, 3000)
        found = ns.finite_width.finite_width_moments(ns.MLP(depth, width=width), jnp.array([[0.6, -0.8]]))
        mean, variance = float(found.ntk_mean[0]), float(found.ntk_variance[0])
        squares = (sample - mean) ** 2
        root = np.sqrt(len(sample))
        scores += [(sample.mean() - mean) / sample.std() * root, (squares.mean() - variance) / squares.std() * root]
    return [
        compare("second moment of the recursion against sympy's, widths 1 to 1e5, relative", 0, moments),
        # At width 1e5 the variance is the difference of two numbers near (L + 1)^2, at width 1 kappa_4 is up to 645.
        compare("finite_width_moments against the symbolic chain", 0, literal, tolerance=1e-12),
        Check("z-score of mean and variance over 3000 drawn networks, depth 1 and 3", float(np.abs(scores).max()), 4.0),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    widths = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    for depth, marker, color in ((1, "o", "C0"), (2, "s", "C1"), (4, "^", "k")):
        relative = [np.sqrt(_second_moment(depth, width) / (depth + 1) ** 2 - 1) for width in widths]
        axes.loglog(widths, relative, color=color, label=f"{depth} hidden layer{'s' if depth > 1 else ''}")
        for width in (4,):
            sample = _simulated(depth, width, 1000)
            axes.loglog(width, sample.std() / sample.mean(), marker, color=color)
    axes.plot([], [], "o", color="0.4", label="1000 drawn networks")
    axes.set(xlabel="width $n$", ylabel=r"relative std of $\Theta(x,x)$")
    axes.legend()
    return drawing


DERIVATION = Derivation(
    label="D10.3",
    title="Mean and variance of a finite ReLU network's NTK",
    statement=r"At one input and any width $n$, $E\,\Theta=(L+1)q_0(\sigma_w^2/2)^L$ and $\mathrm{Var}\,\Theta$ follows from a "
    r"$3\times3$ recursion of second moments; at $L=1$ it is $3/n$ of the squared mean. "
    r"$\kappa_4=3q_0^2(\sigma_w^2/2)^{2L}((1+5/n)^L-1)$, $q_0=\sigma_w^2|x|^2/d$.",
    assumptions=["ReLU, no biases, NTK parameterisation, all hidden layers of width $n$", "at initialisation, one input"],
    builds_on=["D3.1"],
    code=["ntk_shortcuts.finite_width.finite_width_moments", "ntk_shortcuts.kernels.finite_width.moments._second_moment"],
    source="this project; to leading order in depth over width Hanin & Nica (2020)",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

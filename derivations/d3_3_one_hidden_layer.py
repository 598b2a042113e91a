"""D3.3: one hidden ReLU layer without biases in full. Run by itself, or as `ntk-shortcuts derive D3.3`."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.laws.two_features.mixture import mixture_nodes
from ntk_shortcuts.numerics import in_float64

theta = sp.symbols("theta", positive=True)
k = sp.Symbol("k", integer=True, positive=True)
KAPPA = (sp.sin(theta) + (sp.pi - theta) * sp.cos(theta)) / sp.pi
NTK = KAPPA + (1 - theta / sp.pi) * sp.cos(theta)
EVEN = {"nngp": 8 / (sp.pi**2 * (k**2 - 1) ** 2), "ntk": 4 * (k**2 + 3) / (sp.pi**2 * (k**2 - 1) ** 2)}
PROFILES = {"nngp": KAPPA, "ntk": NTK}
ZEROTH = {"nngp": 4 / sp.pi**2, "ntk": 6 / sp.pi**2}
FIRST = {"nngp": sp.Rational(1, 2), "ntk": sp.Integer(1)}


def _antiderivative(profile: sp.Expr) -> sp.Expr:
    """Of profile x cos(k theta), k >= 2, from products of sines and cosines at frequencies k - 1 and k + 1."""
    sums = sum((sp.cos((k + s) * theta) for s in (-1, 1)), sp.Integer(0)) / 2
    sine = (sp.sin((k + 1) * theta) - sp.sin((k - 1) * theta)) / 2
    assert sp.simplify(sp.expand_trig(sums - sp.cos(k * theta) * sp.cos(theta))) == 0
    assert sp.simplify(sp.expand_trig(sine - sp.cos(k * theta) * sp.sin(theta))) == 0
    expanded = profile.expand().subs({sp.sin(theta): sine, sp.cos(theta): sums}, simultaneous=True).expand()
    m = sp.Symbol("m", positive=True)
    patterns = {f: sp.integrate(f(m * theta), theta) for f in (sp.sin, sp.cos)}
    moment = sp.integrate(theta * sp.cos(m * theta), theta)
    total = sp.Integer(0)
    for term in expanded.args:
        (wave,) = term.atoms(sp.sin, sp.cos)
        frequency = sp.simplify(wave.args[0] / theta)
        factor = sp.simplify(term / wave)
        integral = moment / 1 if factor.has(theta) else patterns[wave.func]
        total += (factor / theta if factor.has(theta) else factor) * integral.subs(m, frequency)
    return total


def _coefficient(profile: sp.Expr, parity: int) -> sp.Expr:
    """(2/pi) int_0^pi profile cos(k theta), for even (0) or odd (1) k >= 2."""
    antiderivative = _antiderivative(profile)
    j = sp.Symbol("j", integer=True, positive=True)
    ends = [antiderivative.subs(k, 2 * j + parity).subs(theta, end) for end in (sp.pi, 0)]
    return sp.factor(sp.simplify(2 / sp.pi * (ends[0] - ends[1])).subs(j, (k - parity) / 2))


def _low(profile: sp.Expr, order: int) -> sp.Expr:
    integral = sp.integrate(sp.expand(profile * sp.cos(theta) ** order), (theta, 0, sp.pi))
    return sp.simplify((1 + order) / sp.pi * integral)


def steps() -> list[Step]:
    for name, profile in PROFILES.items():
        assert sp.simplify(_coefficient(profile, 1)) == 0
        assert sp.simplify(_coefficient(profile, 0) - EVEN[name]) == 0
        assert sp.simplify(_low(profile, 0) - ZEROTH[name]) == 0 and sp.simplify(_low(profile, 1) - FIRST[name]) == 0
        # The same theorem without Fourier analysis: the odd part of the profile is a multiple of cos(theta).
        odd = (profile - profile.subs(theta, sp.pi - theta)) / 2
        assert sp.simplify(odd - FIRST[name] * sp.cos(theta)) == 0
    return [
        Step(r"The profile of the NTK over $\sigma_w^4/(2d)$ (D3.2, $L = 1$) is", sp.Eq(sp.Symbol("h_1"), NTK)),
        Step(
            r"With $\sin\theta\cos k\theta$ and $\cos\theta\cos k\theta$ written as sums of frequencies $k \pm 1$, its "
            r"Fourier coefficients $a_k = \frac2\pi\int_0^\pi h_1\cos k\theta\,d\theta$ for odd $k \geq 3$ are",
            sp.Eq(sp.Symbol("a_k"), _coefficient(NTK, 1)),
        ),
        Step(r"and for even $k \geq 2$", sp.Eq(sp.Symbol("a_k"), EVEN["ntk"])),
        Step(
            r"with $a_0 = 6/\pi^2$ and $a_1 = 1$. For the NNGP kernel, profile $\kappa$, $a_0 = 4/\pi^2$, $a_1 = 1/2$, odd "
            r"$k \geq 3$ vanish and even $k \geq 2$ have",
            sp.Eq(sp.Symbol("a_k"), EVEN["nngp"]),
        ),
        Step(
            r"Without Fourier series: the odd part of the profile, $(h_1(\theta) - h_1(\pi - \theta))/2$, is $\cos\theta$, so",
            r"\tfrac12\big(\Theta(u, u') - \Theta(u, -u')\big) = \frac{\sigma_w^4}{2d}\,u\cdot u'",
        ),
        Step(
            r"Every predictor $f(u) = \sum_n\beta_n\Theta(u, u_n)$ therefore has an odd part linear in $u$. Under a data law "
            r"with the symmetry $(u, y) \to (-u, -y)$ the population solution is odd at all times, so it is linear, and at "
            r"$t = \infty$ it is the linear function of least error: the bias tends to that of linear regression, whatever "
            r"the amplifications. The mean over finite data sets is odd and linear for the same reason; each single one has "
            r"an even part besides.",
            r"f_\infty(u) = u^\top E[uu^\top]^{-1}E[uy]",
        ),
    ]


@jax.jit
def _code(angles):
    """Profiles at sigma_w^2 = 2 and d = 2, where the scale c_1 is 1, and the odd part of the NTK's."""
    points = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    odd, even = ns.MLP(1).angular_kernels(2).sectors(jnp.array([[1.0, 0.0]]), points)
    return {"nngp": (odd.nngp + even.nngp)[0], "ntk": (odd.ntk + even.ntk)[0], "odd": odd.ntk[0]}


def _fourier(values: np.ndarray, angles: np.ndarray, weights: np.ndarray, orders: np.ndarray) -> np.ndarray:
    factor = np.where(orders == 0, 1, 2) / np.pi
    return factor * (np.cos(np.outer(orders, angles)) @ (weights * values))


def _closed(name: str, orders: np.ndarray) -> np.ndarray:
    even = sp.lambdify(k, EVEN[name])
    values = [float(ZEROTH[name]), float(FIRST[name])]
    return np.array([values[n] if n < 2 else (0.0 if n % 2 else even(float(n))) for n in orders])


def _gauss(count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return np.pi * (nodes + 1) / 2, np.pi * weights / 2


def _late() -> tuple[np.ndarray, np.ndarray]:
    """Population solution at t = infinity on a node set of the data law, at the nodes; and the linear regression on it."""
    model = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
    nodes, weights = map(np.asarray, mixture_nodes(model, 6, negligible=1e-4))
    u, targets = nodes * np.asarray(model.amplification), np.asarray(model.class_expectation(nodes))
    kernel, root = np.asarray(ns.MLP(1).kernels(u).ntk), np.sqrt(weights)
    operator = root[:, None] * kernel * root
    limit = (operator @ np.linalg.pinv(operator, rcond=1e-12, hermitian=True) @ (root * targets)) / root
    regression = np.linalg.solve((u.T * weights) @ u, u.T @ (weights * targets))
    return limit, u @ regression


@in_float64
def checks() -> list[Check]:
    angles, weights = _gauss()
    orders = np.arange(41)
    edge = np.array([0.0, 1e-8, np.pi - 1e-8, np.pi])
    profile = _code(np.concatenate([angles, edge]))
    found = []
    for name in ("nngp", "ntk"):
        exact = sp.lambdify(theta, PROFILES[name], "mpmath")
        with mpmath.workdps(40):
            values = [float(exact(mpmath.mpf(angle))) for angle in (*angles[::20], *edge)]
        got = np.concatenate([profile[name][:200][::20], profile[name][200:]])
        found.append(compare(f"{name}: profile at random angles and 0, 1e-8, pi - 1e-8, pi", values, got))
        numeric = _fourier(np.asarray(profile[name][:200]), angles, weights, orders)
        found.append(compare(f"{name}: Fourier coefficients k = 0..40 of the code's profile", _closed(name, orders), numeric))
    found.append(compare("odd part of the code's NTK is cos(theta)", np.cos(angles), profile["odd"][:200]))
    limit, regression = _late()
    # Small eigenvalues of the even part, cut off at 1e-12 of the largest, mix into the odd one by their rounding.
    return [*found, compare("population mean at t = infinity against linear regression, ratio 4", regression, limit, 1e-7)]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    angles, weights = _gauss()
    profile = _code(angles)
    orders = np.arange(1, 31)
    for name, title, marker, colour in (("ntk", "NTK", "o", "C0"), ("nngp", "NNGP", "s", "C1")):
        numeric = np.abs(_fourier(np.asarray(profile[name]), angles, weights, orders))
        axes.loglog(orders, np.maximum(numeric, 1e-17), marker, mfc="none", color=colour, label=f"{title}, code")
        even = orders[1::2]
        axes.loglog(even, _closed(name, even), "--", color=colour, label=f"{title}, closed form, even k")
    axes.set(xlabel="frequency k", ylabel=r"$|a_k|$ (odd $k \geq 3$: rounding)")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(0.0, 0.4))
    return drawing


DERIVATION = Derivation(
    label="D3.3",
    title="One hidden ReLU layer without biases",
    statement=r"In the plane $\Theta = \frac{\sigma_w^4}{2d}|u||u'|h_1(\theta)$, $h_1 = (\sin\theta + 2(\pi - "
    r"\theta)\cos\theta)/\pi = \sum_k a_k\cos k\theta$ with $a_0 = 6/\pi^2$, $a_1 = 1$, $a_k = 0$ for odd $k \geq 3$ and "
    r"$a_k = 4(k^2 + 3)/(\pi^2(k^2 - 1)^2)$ for even $k \geq 2$. The odd part of any predictor is linear in $u$, and the "
    r"shortcut bias tends to that of linear regression as $t \to \infty$.",
    assumptions=[
        r"infinite width, one hidden layer, ReLU, $\sigma_b = 0$, no nesting, orthogonal embedding",
        r"for the limit: infinite data from a law symmetric under $(u, y) \to (-u, -y)$, output averaged over initialisations",
    ],
    builds_on=["D3.2"],
    code=["ntk_shortcuts.kernels.angular.AngularKernels.sectors", "ntk_shortcuts.kernels.angular.AngularKernels"],
    source="vanishing odd coefficients: Bietti & Mairal (2019), Basri et al. (2019); consequence for the bias: this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

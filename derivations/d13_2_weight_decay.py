"""D13.2: weight decay with a frozen kernel, and where people's leaves it. Run by itself, or as `ntk-shortcuts derive D13.2`."""

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

eta, lam, beta, w, t, c = sp.symbols("eta lambda beta w t c", positive=True)
g, m = sp.symbols("g m", real=True)
L = sp.Symbol("L", positive=True, integer=True)


def steps() -> list[Step]:
    coupled = sp.solve([lam * g - 1 + w * g], [g])
    assert sp.simplify(coupled[g] - 1 / (lam + w)) == 0
    # At rest the buffer is G/(1 - beta), and the decoupled pull is balanced by the whole update.
    decoupled = sp.solve([m * (1 - beta) - (lam * g - 1), w * g + m], [g, m])[g]
    assert sp.simplify(decoupled - 1 / (lam + (1 - beta) * w)) == 0
    # Decay to 0: a network of L hidden layers without biases is of degree L + 1 in its parameters, its kernel of degree 2 L.
    shrunk = sp.exp(-w * t)
    assert sp.simplify((c * shrunk) ** (2 * L) / c ** (2 * L) - sp.exp(-2 * L * w * t)) == 0
    return [
        Step(
            r"Linearised at $\theta_0$, outputs are $f_0 + J\,(\theta - \theta_0)$. A pull $w(\theta - \theta_0)$ added to "
            r"the gradient adds $wg$ to $G$ of D13.1, which is $(\lambda + w)g - 1$. So with any momentum and schedule",
            r"g_w(\lambda) = g_0(\lambda + w)",
        ),
        Step(
            r"The limit is that of a ridge $\delta/N = w$. What stays of the labels shrinks, and outputs fall back to $f_0$",
            sp.Eq(sp.Symbol(r"g_w(\lambda, \infty)"), coupled[g], evaluate=False),
        ),
        Step(
            r"Decoupled, $\eta w(\theta - \theta_0)$ is subtracted past the momentum. Without momentum nothing differs; with "
            r"it the pull is not sped up, and at rest",
            sp.Eq(sp.Symbol(r"g_w(\lambda, \infty)"), decoupled, evaluate=False),
        ),
        Step(
            r"People decay towards 0. In the NTK parameterisation the labels move each weight by $O(1/\sqrt n)$, and decay all "
            r"of it: $\theta(t) = e^{-wt}\theta_0 + O(1/\sqrt n)$. Of a network of $L$ hidden layers without biases and with a "
            r"homogeneous activation, of degree $L+1$ in its parameters, the kernel then moves however wide it is,",
            r"\Theta_t = e^{-2Lwt}\,\Theta_0,\qquad f_0\to e^{-(L+1)wt}f_0",
        ),
        Step(
            r"and the linear theory is that of decay towards the start. Both agree while",
            r"wt \ll 1",
        ),
    ]


@in_float64
def checks() -> list[Check]:
    values = jnp.array([1e-3, 0.05, 0.7])
    found = []
    for momentum, nesterov in ((0.0, False), (0.9, False), (0.9, True)):
        with_decay = ns.GradientDescent(0.5, [4, 90], momentum, nesterov, 0.03).filter(values)
        shifted = ns.GradientDescent(0.5, [4, 90], momentum, nesterov).filter(values + 0.03)
        name = f"g(lambda + w), momentum {momentum}{', Nesterov' * nesterov}"
        found.append(compare(name, shifted, with_decay, 1e-11))
    limits = [ns.GradientDescent(0.5, np.inf, 0.9, False, 0.03, d).filter(values) for d in (False, True)]
    late = [ns.GradientDescent(0.5, 1e6, 0.9, False, 0.03, d).filter(values) for d in (False, True)]
    found.append(compare("limits: a million steps", late, limits, 1e-9))
    found.append(compare("limit, decoupled", 1 / (values + 0.003), limits[1], 1e-12))
    ridge = ns.Ridge(0.03 * 50).filter(values, 50)
    found.append(compare("limit: a ridge of N w", ridge, limits[0], 1e-12))
    # A wide network shrunk by e^{-wt}: its empirical kernel and its outputs.
    network, x = ns.MLP(2, width=64), jnp.asarray(np.random.default_rng(0).normal(size=(5, 8)))
    params, shrink = network.init(jax.random.key(0), 8, jnp.float64), np.exp(-0.3)
    small = jax.tree.map(lambda leaf: shrink * leaf, params)
    kernels = [np.asarray(ns.empirical_ntk(network, p, x)) for p in (params, small)]
    found.append(compare("kernel of a network decayed to 0: e^(-2 L w t)", shrink**4 * kernels[0], kernels[1], 1e-10))
    outputs = [np.asarray(network.apply(p, x)) for p in (params, small)]
    found.append(compare("its outputs: e^(-(L + 1) w t)", shrink**3 * outputs[0], outputs[1], 1e-10))
    return found


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    values = jnp.asarray(np.geomspace(1e-4, 1.0, 300))
    for decay, color in ((0.0, "0.6"), (0.003, "C0"), (0.03, "C1")):
        for steps_, style in ((100, ":"), (np.inf, "-")):
            rule = ns.GradientDescent(0.5, steps_, weight_decay=decay)
            label = f"w = {decay:g}" if style == "-" else None
            axes.plot(values, values * np.asarray(rule.filter(values)), style, color=color, label=label)
    axes.set(xscale="log", xlabel=r"eigenvalue $\lambda$", ylabel=r"learnt, $\lambda g$: 100 steps, and the limit")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D13.2",
    title="Weight decay with a frozen kernel",
    statement=r"Decay $w$ towards the initial parameters adds $w$ to every eigenvalue, $g_w(\lambda) = g(\lambda + w)$, with "
    r"the limit $1/(\lambda + w)$; decoupled from momentum $\beta$ the limit is $1/(\lambda + (1-\beta)w)$. Decay towards 0 "
    r"moves the kernel of any width, by $e^{-2Lwt}$: the same only while $wt \ll 1$.",
    assumptions=["a frozen kernel, squared loss", "for decay towards 0: no biases, homogeneous activation, width to infinity"],
    builds_on=["D13.1"],
    code=["ntk_shortcuts.GradientDescent", "ntk_shortcuts.training.momentum"],
    source="worked out for this package",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

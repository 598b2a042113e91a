"""D15.1: the mean-field parameterisation. Run by itself, or as `ntk-shortcuts derive D15.1`."""

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.analysis.infinite_width import infinite_width_limit
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.numerics import in_float64

gamma, n, w, a, eps, rate = sp.symbols("gamma n w a epsilon eta", positive=True)


def steps() -> list[Step]:
    # One unit of a readout over a smooth feature: descent on the held weights v = w / sqrt(c) is descent on w, c times as fast.
    c = gamma**2 * n
    cost, f = sp.Function("R"), sp.Function("f")
    v = sp.Symbol("v", positive=True)
    held = sp.diff(cost(f(sp.sqrt(c) * v) / sp.sqrt(c)), v)
    moved = sp.sqrt(c) * held.subs(v, w / sp.sqrt(c))
    assert sp.simplify((moved - c * sp.diff(cost(f(w) / sp.sqrt(c)), w)).doit()) == 0
    # f = a tanh(w x) along a step: of what the output moves, c^(-1/2)(f(theta + c^(1/2) d) - f(theta)), and the rest.
    x, da, dw = sp.symbols("x da dw", real=True)
    root = sp.Symbol("r", positive=True)
    output = lambda s: (a + s * da) * sp.tanh((w + s * dw) * x)  # noqa: E731
    series = sp.series((output(root) - output(0)) / root, root, 0, 2).removeO()
    linear = sp.diff(output(eps), eps).subs(eps, 0)
    assert sp.simplify(series.coeff(root, 0) - linear) == 0 and sp.simplify(series.coeff(root, 1)) != 0
    # Extrapolation to infinite width: of b + a/n + d/n^2 what is left.
    n1, n2, n3, b, d = sp.symbols("n_1 n_2 n_3 b d", positive=True)
    value = lambda size: b + a / size + d / size**2  # noqa: E731
    two = (n2 * value(n2) - n1 * value(n1)) / (n2 - n1)
    assert sp.simplify(two - b + d / (n1 * n2)) == 0
    sizes = [n1, n2, n3]
    lagrange = [sp.prod([(1 / o) / (1 / o - 1 / s) for o in sizes if o != s]) for s in sizes]
    assert sp.simplify(sum(k * value(s) for k, s in zip(lagrange, sizes, strict=True)) - b) == 0
    return [
        Step(
            r"Output and rate of the mean-field parameterisation, with $c = \gamma^2n$:",
            r"f = f_\mathrm{NTK}(\theta)/\sqrt c,\qquad \dot\theta = -c\,\nabla_\theta R(f)",
        ),
        Step(
            r"Held as $\vartheta = \theta/\sqrt c$, drawn with the variance $1/c$ and multiplied by $\sqrt c$ in function, "
            r"every weight learns at the rate 1:",
            r"\dot\vartheta = -\nabla_\vartheta R\left(f_\mathrm{NTK}(\sqrt c\,\vartheta)/\sqrt c\right)",
        ),
        Step(
            r"The tangent kernel at the start does not depend on $\gamma$, and the covariance of the outputs there falls with "
            r"it; $\gamma = 1/\sqrt n$ is the NTK parameterisation, weight by weight:",
            r"\Theta = c\,\nabla_\theta f\cdot\nabla_\theta f' = \Theta_\mathrm{NTK},\qquad \mathrm{Var}f = K/(\gamma^2n)",
        ),
        Step(
            r"With $\theta = \theta_0 + \sqrt c\,\delta$, in which $\dot\delta = -\nabla_\delta R$, what the output has moved "
            r"is linear in $\delta$ up to a term of first order in $\sqrt c$: at fixed width and $\gamma \to 0$ the kernel is "
            r"frozen (outputs counted from $f_0$); with $n \to \infty$ first, $f_0 \to 0$ too.",
            r"f - f_0 = \nabla f_\mathrm{NTK}(\theta_0)\cdot\delta + O(\sqrt c)",
        ),
        Step(
            r"At fixed $\gamma$ biases are $b_\infty + a/n + d/n^2 + \ldots$ in the width; two widths leave $-d/(n_1n_2)$, "
            r"three remove it:",
            r"\frac{n_2b(n_2) - n_1b(n_1)}{n_2 - n_1} = b_\infty - \frac{d}{n_1n_2}",
        ),
    ]


def _descent(network: ns.MLP, params, inputs, labels, steps_taken: int) -> np.ndarray:
    """Outputs after steps of gradient descent, counted from the start."""

    def risk(params, offset):
        return jnp.mean((network.apply(params, inputs) - offset - labels) ** 2) / 2

    @jax.jit
    def run(params):
        start = network.apply(params, inputs)

        def step(_, moved):
            return jax.tree.map(lambda p, g: p - 0.1 * g, moved, jax.grad(risk)(moved, start))

        return network.apply(jax.lax.fori_loop(0, steps_taken, step, params), inputs) - start

    return np.asarray(run(params))


def _frozen(network: ns.MLP, params, inputs, labels, steps_taken: int) -> np.ndarray:
    kernel, f = np.asarray(ns.empirical_ntk(network, params, inputs)), np.zeros(len(labels))
    for _ in range(steps_taken):
        f = f - 0.1 * kernel @ (f - labels) / len(labels)
    return f


def _problem(depth: int):
    rng = np.random.default_rng(0)
    network = ns.MLP(depth, "tanh", 12, bias_variance=0.2)
    params = network.init(jax.random.key(0), 3, jnp.float64)
    return network, params, jnp.asarray(rng.normal(size=(6, 3))), jnp.asarray(np.sign(rng.normal(size=6)))


def _scaled(network: ns.MLP, params, richness: float) -> tuple[ns.MLP, tuple]:
    rich = ns.MLP(network.depth, "tanh", 12, bias_variance=0.2, parameterization="mean_field", richness=richness)
    return rich, jax.tree.map(lambda leaf: leaf / (richness * np.sqrt(12)), params)


@in_float64
def checks() -> list[Check]:
    found = []
    for depth in (1, 2):
        network, params, inputs, labels = _problem(depth)
        same = _scaled(network, params, 12**-0.5)
        expected, got = (_descent(*pair, inputs, labels, 200) for pair in ((network, params), same))
        found.append(
            compare(f"depth {depth}: 200 steps at richness n^-1/2 and in the NTK parameterisation", expected, got, 1e-10)
        )
        # Powers of the richness are removed one after the other, from its halvings.
        values = np.array([0.008 / 2**k for k in range(6)])
        outputs = np.stack([_descent(*_scaled(network, params, v), inputs, labels, 200) for v in values])
        weights = np.array([np.prod(np.delete(values, i) / (np.delete(values, i) - values[i])) for i in range(len(values))])
        frozen = _frozen(network, params, inputs, labels, 200)
        found.append(compare(f"depth {depth}: richness to 0 and the frozen kernel", frozen, weights @ outputs, 1e-10))
        rich, moved = _scaled(network, params, 0.7)
        kernels = [ns.empirical_ntk(*pair, inputs) for pair in ((network, params), (rich, moved))]
        found.append(compare(f"depth {depth}: the empirical kernel does not depend on the richness", *kernels))
    return found


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    model, flow = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0)), ns.GradientFlow([2.0, 8.0])
    network = ns.MLP(1, "tanh", parameterization="mean_field", richness=1.0)
    options = {"num_inits": 8, "order": 6, "widths": (16, 32, 64)}
    limit = infinite_width_limit(model, network, flow, key=jax.random.key(0), **options)
    for index, (time, colour) in enumerate(zip((2, 8), ("C0", "C1"), strict=True)):
        inverse = 1 / np.array(limit.widths)
        axes.errorbar(inverse, limit.bias[:, index], limit.standard_error[:, index], fmt="o", color=colour, label=f"t = {time}")
        axes.errorbar([0], limit.value[index], limit.error[index], fmt="s", mfc="none", color=colour)
        ends = [
            limit.value[index],
            limit.value[index] + inverse[0] * (limit.bias[-1, index] - limit.value[index]) / inverse[-1],
        ]
        axes.plot([0, inverse[0]], ends, color=colour, lw=0.8)
    axes.set(xlabel="1 / width", ylabel="bias, one hidden tanh layer, richness 1")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D15.1",
    title="The mean-field parameterisation",
    statement=r"$f = f_\mathrm{NTK}/(\gamma\sqrt n)$ with $\gamma^2n$ times the learning rate is gradient descent on weights "
    r"held $\gamma\sqrt n$ times smaller. $\gamma = 1/\sqrt n$ is the NTK parameterisation; as $\gamma \to 0$, $f - f_0$ "
    r"follows the kernel of the start. The extrapolation through two widths leaves an error of order $1/(n_1n_2)$.",
    assumptions=[
        r"gradient descent or flow (not Adam, whose steps do not scale with the gradient)",
        r"$\phi$ smooth for the second limit; biases with an expansion in $1/n$ for the extrapolation",
    ],
    builds_on=["D4.1"],
    code=["ntk_shortcuts.networks.mlp.MLP", "ntk_shortcuts.analysis.infinite_width.infinite_width_limit"],
    source="Chizat, Oyallon & Bach (2019); Bordelon & Pehlevan (2022)",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

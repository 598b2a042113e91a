"""D13.6: a mean over networks by two rules. Run by itself, or as `ntk-shortcuts derive D13.6`."""

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

from ntk_shortcuts.derivation import Check, Derivation, Step, main
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.outputs import SampledOutputs

COUNT, FIRST = 16, 4


def steps() -> list[Step]:
    n, m = sp.symbols("n m", positive=True)
    v_c, v_d, covariance = sp.symbols("v_c v_d C")
    # c over all n, d over the first m of them: Cov(mean c, mean d) = m C / (n m).
    variance = v_c / n + v_d / m + 2 * covariance / n
    fine = v_c + v_d + 2 * covariance
    assert sp.simplify(variance - (fine / n + v_d * (1 / m - 1 / n))) == 0
    return [
        Step(
            r"Let $c_i$ be the number of network $i$ by a coarse rule (fewer nodes, larger solver steps) and $f_i=c_i+d_i$ "
            r"by a fine one. The fine rule's expectation is",
            r"E f = E c + E d",
        ),
        Step(
            r"All $n$ networks are run by the coarse rule and the first $m$ by both. The mean has the fine rule's expectation:",
            r"\hat f = \frac1n\sum_{i\le n}c_i + \frac1m\sum_{i\le m}d_i",
        ),
        Step(
            r"which is the mean over all networks where those of the coarse rule are moved by $\bar d$. Its variance, with "
            r"$v_f=v_c+v_d+2\,\mathrm{Cov}(c,d)$, is that of $n$ networks by the fine rule and what the differences add:",
            r"\mathrm{Var}\hat f = \frac{v_f}n + v_d\Big(\frac1m-\frac1n\Big)",
        ),
        Step(
            r"Both rules see one network, so that $v_d\ll v_f$. At costs $k_c, k_f$ of a network the price falls from $nk_f$ "
            r"to $nk_c + mk_f$. The coarsest rule is taken of which",
            r"v_d\Big(\frac1m-\frac1n\Big) \le \frac{v_f}{8n}",
        ),
    ]


def _trials(number: int, spread: float, group: int) -> tuple[np.ndarray, np.ndarray]:
    """Means by two rules and their stated errors, of samples whose groups share half of their variance."""
    rng = np.random.default_rng(0)
    shared = np.repeat(rng.normal(size=(number, COUNT // group)), group, axis=1)
    coarse = (shared + rng.normal(size=(number, COUNT))) / np.sqrt(2)
    fine = coarse + 0.3 + spread * rng.normal(size=(number, COUNT))

    @jax.vmap
    def mean_of(coarse: jax.Array, fine: jax.Array) -> tuple[jax.Array, jax.Array]:
        values = jnp.concatenate([fine[:FIRST], coarse[FIRST:]])[:, None]
        outputs = SampledOutputs(values=values, coarse=coarse[:FIRST, None], group=group)
        mean = outputs.average(lambda of: jnp.asarray(of.values)[:, 0])
        return mean.value, mean.error

    means, errors = mean_of(jnp.asarray(coarse), jnp.asarray(fine))
    return np.asarray(means), np.asarray(errors)


def _checks_of(group: int) -> tuple[float, float]:
    """z-score of the mean against the fine rule's, and the stated variance over the true one, less 1, in standard errors."""
    number, spread = 1500, 0.5
    means, errors = _trials(number, spread, group)
    z = abs(means.mean() - 0.3) / (means.std() / np.sqrt(number))
    within = 1 if group == 1 else 1 / 2 + group / 2
    exact = within / COUNT + spread**2 * (1 / FIRST - 1 / COUNT)
    stated = errors**2
    return float(z), float(abs(stated.mean() - exact) / (stated.std() / np.sqrt(number) + 0.03 * exact))


@in_float64
def checks() -> list[Check]:
    (mean, one), (_, grouped) = _checks_of(1), _checks_of(4)
    means, errors = _trials(1500, 0.5, 1)
    without = float(np.mean(errors**2) / (np.var(means) * 2))
    return [
        Check("z-score of the mean against the fine rule's", mean, 4.0),
        Check("stated variance against the formula's, in standard errors and 3 %", one, 4.0),
        Check("the same, of samples in groups of four", grouped, 4.0),
        Check("wrong on purpose, twice the variance: what is stated of it", without, 0.7),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.2), dpi=150, layout="constrained")
    axes = drawing.subplots()
    spread = np.geomspace(0.01, 1, 60)
    for cost, color in ((0.3, "C0"), (0.5, "C1")):
        price = (COUNT * cost + FIRST) / (COUNT + FIRST * cost)
        axes.plot(spread, 1 / (price * (1 + COUNT * spread * (1 / FIRST - 1 / COUNT))), color=color, label=f"cost {cost}")
    axes.axhline(1, color="0.7", lw=1)
    axes.set(xscale="log", xlabel="variance of the differences over that of networks", ylabel="gain at equal error")
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D13.6",
    title="A mean over networks by two rules",
    statement=r"A mean over $n$ networks by a coarse rule, moved by the mean difference to a fine rule of $m$ of them, has the "
    r"fine rule's expectation and the variance $v_f/n + v_d(1/m-1/n)$.",
    assumptions=["independent networks", "the choice of rules does not depend on the differences' mean"],
    code=["ntk_shortcuts.outputs.SampledOutputs.each"],
    source="Giles 2008 (multilevel Monte Carlo), with two levels",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

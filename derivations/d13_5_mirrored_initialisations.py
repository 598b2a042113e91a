"""D13.5: initialisations in mirrored groups. Run by itself, or as `ntk-shortcuts derive D13.5`."""

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, main
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.methods.flow.mirrors import GROUP, turned, turns
from ntk_shortcuts.metrics import ShortcutBias
from ntk_shortcuts.numerics import in_float64

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
# Of the first the group's mean has less scatter, of the second more.
NETWORKS = ((1, "tanh"), (3, "relu"))


def steps() -> list[Step]:
    rotations = [sp.Matrix(turn) for turn, _ in turns(2)]
    signs = [int(np.prod(reversal)) for _, reversal in turns(2)]
    assert rotations[0] + rotations[1] == rotations[2] + rotations[3] == sp.zeros(2)
    a, b, c = sp.symbols("a b c", real=True)
    uneven = sp.Matrix([[a, b], [b, -a]])
    assert sum((turn.T * uneven * turn for turn in rotations), sp.zeros(2)) == sp.zeros(2)
    assert signs[0] + signs[1] == signs[2] + signs[3] == 0
    assert all(turn.T * turn == sp.eye(2) and turn.det() == 1 for turn in rotations)
    # The overlap after a turn and its sign.
    places = [turn * sp.Matrix([[1, sign * c], [0, sp.sqrt(1 - c**2)]]) for turn, sign in zip(rotations, signs, strict=True)]
    assert all(sp.simplify(p.col(0).dot(p.col(1)) - sign * c) == 0 for p, sign in zip(places, signs, strict=True))
    return [
        Step(
            r"Two independent uniform directions span a plane with the uniform orthonormal basis $Q$, and lie in it at an "
            r"angle that is independent of $Q$:",
            r"w_s = Qe_1,\qquad w_c = Q\,(c, \sqrt{1-c^2})^T",
        ),
        Step(
            r"The uniform law of $Q$ does not change under $Q\to QR$ with a fixed rotation, nor that of $c$ under $c\to-c$ "
            r"(reflect $w_c$ at $w_s$). The network's parameters are independent of both, so that each of",
            r"(QR_0, c),\ (QR_{180}, -c),\ (QR_{90}, -c),\ (QR_{270}, c)",
        ),
        Step(
            r"with the same parameters has the law of one draw, and a mean over the four has the expectation of one. In the "
            r"coordinates of the plane it is the first layer that turns, $W\to R^TW$. To first order a number that is read off "
            r"the network is a sum over its units of an odd and an even function of that unit's two weights,",
            r"\delta b = \sum_j\big(u\cdot W_j + W_j^TSW_j + \dots\big) + \gamma c",
        ),
        Step(
            r"In the mean over the four, the odd part, the traceless part of $S$ (what makes the kernel of one feature larger "
            r"than that of the other) and $\gamma c$ vanish. What is left are the trace of $S$, the size of the kernel, "
            r"what is of fourth or higher order in the angle, and all that the later layers make of an even function, as the "
            r"size of a constant initial output. This the four share: where it decides, their mean has more scatter than "
            r"that of four independent networks.",
            r"\sum_k R_k = 0,\qquad \sum_k R_k^TSR_k = 2\,(\mathrm{tr}S)\,I,\qquad \sum_k\pm_k c = 0",
        ),
    ]


def _embeddings(count: int, dimension: int) -> np.ndarray:
    """Directions (count, members, 2 d) of the groups of many draws."""
    embeddings = jax.vmap(ns.GenerativeModel(input_dim=dimension).embedding)(jax.random.split(jax.random.key(0), count))
    members = [turned(np.asarray(embeddings.directions), member) for member in range(GROUP)]
    return np.stack(members, axis=1).reshape(count, GROUP, -1)


def _biases(depth: int, activation: str, groups: int) -> np.ndarray:
    """Biases (groups, members, times) of small networks in population flow."""
    network = ns.MLP(depth, activation, width=32, parameterization="standard", initialization="torch")
    kernel = LawKernel(MODEL, network)
    method = ns.PopulationFlow(key=jax.random.key(1), num_inits=GROUP * groups, order=8, mirrored=True)
    outputs = method(kernel, ns.GradientFlow([0.3, 1.0]), None, kernel.law.test_points())
    signs = jnp.asarray(outputs.signs(kernel.law.test_points()))
    return np.asarray(ShortcutBias().of_signs(signs, kernel.law.test_points())).reshape(groups, GROUP, -1)


def _gain(biases: np.ndarray) -> np.ndarray:
    """Variance of a mean over four independent networks, over that of a group's."""
    return biases.reshape(-1, biases.shape[-1]).var(0, ddof=1) / GROUP / biases.mean(1).var(0, ddof=1)


@in_float64
def checks() -> list[Check]:
    count, dimension = 20_000, 5
    drawn = _embeddings(count, dimension)
    # Fourth moments of the coordinates, among them those that hold the overlap: the same for every member.
    squares = drawn[..., :, None] * drawn[..., None, :]
    of_members = np.stack([squares[:, m].reshape(count, -1) for m in range(GROUP)])
    fourth = of_members**2
    gap = fourth[1:].mean(1) - fourth[0].mean(0)
    scatter = np.sqrt((fourth[1:].var(1) + fourth[0].var(0)) / count)
    shortcut = drawn[..., :dimension]
    uneven = np.einsum("nmi,nmj->nij", shortcut, shortcut) - 2 * np.einsum("nmi,nmj->nij", shortcut[:, ::2], shortcut[:, ::2])
    gains = _gain(_biases(1, "tanh", 24))
    return [
        Check("the shortcut's direction, summed over a group", float(np.abs(shortcut.sum(1)).max()), 1e-12),
        Check("its square, against twice those of the first and the third", float(np.abs(uneven).max()), 1e-12),
        Check("largest z-score of a moment of a member against the first one's", float(np.abs(gap / scatter).max()), 4.7),
        Check(
            "tanh, t = 0.3: variance of a group's mean bias over that of four independent networks'", float(1 / gains[0]), 0.3
        ),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.2), dpi=150, layout="constrained")
    for axes, network in zip(drawing.subplots(1, 2), NETWORKS, strict=True):
        biases = _biases(*network, 24)[..., 0]
        axes.hist(biases.ravel() - biases.mean(), bins=16, density=True, color="0.75", label="networks")
        axes.hist(biases.mean(1) - biases.mean(), bins=10, density=True, histtype="step", color="C0", label="means of groups")
        axes.set(xlabel="bias about its mean", title="{1}, depth {0}, t = 0.3".format(*network))
    axes.legend(frameon=False, fontsize="small")
    return drawing


DERIVATION = Derivation(
    label="D13.5",
    title="Initialisations in mirrored groups",
    statement=r"One network with the plane of the two features turned by 0, 180, 90 and 270 degrees and their overlap "
    r"reversed in two of them is four initialisations of the right law, in whose mean the initial output, the first layer's "
    r"anisotropy and the overlap cancel to first order. What the four share does not, so that the gain depends on the network.",
    assumptions=["independent uniform directions, or orthogonal ones", "parameters drawn independently of them"],
    code=["ntk_shortcuts.methods.flow.mirrors.turned", "ntk_shortcuts.methods.flow.mirrors"],
    source="worked out for this package; antithetic variates: Hammersley & Morton 1956",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

"""D8.1: pixel footprint is amplification. Run by itself, or as `ntk-shortcuts derive D8.1`."""

import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.numerics import in_float64

j = sp.Symbol("j", integer=True, positive=True)
A_s, A_c, B = sp.symbols("A_s A_c B", integer=True, positive=True)
z_s, z_c, y_s, y_c = sp.symbols("z_s z_c z'_s z'_c", real=True)
d, s_w, s_b, beta = sp.symbols("d sigma_w^2 sigma_b^2 beta", positive=True)
a, g = sp.IndexedBase("a"), sp.IndexedBase("g")


def steps() -> list[Step]:
    # Pixels of object i carry z_i, and the background g_j, the same in both images.
    objects = sp.summation(z_s * y_s, (j, 1, A_s)) + sp.summation(z_c * y_c, (j, 1, A_c))
    background = sp.Sum(g[j] ** 2, (j, 1, B))
    assert sp.expand(objects - (A_s * z_s * y_s + A_c * z_c * y_c)) == 0
    # The embedding of the theory: e_i = alpha_i w_i z_i with w_i = 1/sqrt(A_i) on the object's pixels, a unit vector.
    assert [sp.summation(1 / A, (j, 1, A)) for A in (A_s, A_c)] == [1, 1]
    alpha = [sp.sqrt(A_s), sp.sqrt(A_c)]
    assert sp.expand(objects - (alpha[0] ** 2 * z_s * y_s + alpha[1] ** 2 * z_c * y_c)) == 0
    # A pattern a_j in place of a flat grey: its squared norm is the footprint.
    pattern = sp.Sum(a[j] * z_s * a[j] * y_s, (j, 1, A_s))
    footprint = sp.Sum(a[j] ** 2, (j, 1, A_s))
    for size in (1, 3):
        assert sp.expand((pattern - z_s * y_s * footprint).subs(A_s, size).doit()) == 0
    first = s_w * (objects + beta) / d + s_b
    assert sp.simplify(first - (s_w * objects / d + (s_b + s_w * beta / d))) == 0
    return [
        Step(
            r"The pixels of object $i$ all carry $z_i$, and those of the background $g_j$, whatever the latents. Disjoint "
            r"objects add up.",
            sp.Eq(sp.Symbol(r"\langle x,x'\rangle"), objects + background, evaluate=False),
        ),
        Step(
            r"That is the embedding $\alpha_iw_iz_i$ with $w_i=1/\sqrt{A_i}$ on the object's pixels. The two $w_i$ have "
            r"norm 1 and share no pixel: orthogonal at any image size. (A pattern $a_jz_i$ has $\alpha_i^2=\sum_ja_j^2$.)",
            r"\alpha_i = \sqrt{A_i}",
        ),
        Step(
            r"A fully connected network's kernels depend on inner products only, and on the background's "
            r"$\beta=\sum_jg_j^2$ as on more bias in the first layer.",
            r"K^0(x,x') = \frac{\sigma_w^2}{d}\sum_iA_iz_iz_i' + \left(\sigma_b^2+\frac{\sigma_w^2\beta}{d}\right)",
        ),
    ]


SIDE = 8


def images(latents: np.ndarray, footprints: tuple[int, int], background: float = 0.0) -> np.ndarray:
    """Flattened images (n, 64): the first pixels in reading order are the shortcut's, the last ones the core's."""
    pixels = np.full((len(latents), SIDE**2), background)
    pixels[:, : footprints[0]] = latents[:, :1]
    pixels[:, SIDE**2 - footprints[1] :] = latents[:, 1:]
    return pixels


@in_float64
def checks() -> list[Check]:
    rng = np.random.default_rng(0)
    # With antiparallel points and the origin, where angles are singular.
    latents = np.concatenate([rng.normal(size=(8, 2)), [[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [1e-9, 0.0]]])
    relu, erf = ns.MLP(3, "relu"), ns.MLP(1, "erf", weight_variance=1.7, bias_variance=0.2)
    found, expected, grams, gram_expected = [], [], [], []
    for footprints in ((12, 3), (1, 63)):
        model = ns.GenerativeModel((0.85, 0.9), np.sqrt(footprints), input_dim=SIDE**2)
        pixels = images(latents, footprints)
        gram_expected.append(pixels @ pixels.T)
        grams.append(np.asarray(model.gram(latents)))
        for network in (relu, erf):
            explicit, latent = network.kernels(pixels), LawKernel(model, network)(latents)
            expected += [np.asarray(explicit.nngp), np.asarray(explicit.ntk)]
            found += [np.asarray(latent.nngp), np.asarray(latent.ntk)]
    # A grey background of beta = 0.3^2 x 49 pixels: a linear network with that much more bias.
    footprints, level = (12, 3), 0.3
    model = ns.GenerativeModel((0.85, 0.9), np.sqrt(footprints), input_dim=SIDE**2)
    beta = level**2 * (SIDE**2 - sum(footprints))
    grey = ns.MLP(0, weight_variance=1.7, bias_variance=0.2).kernels(images(latents, footprints, level)).ntk
    brighter = ns.MLP(0, weight_variance=1.7, bias_variance=0.2 + 1.7 * beta / SIDE**2)
    biased = LawKernel(model, brighter)(latents).ntk
    return [
        compare("Gram matrix of explicit images against model.gram", gram_expected, grams),
        compare("kernels of explicit images against latent kernels at sqrt(A)", expected, found),
        compare("grey background against bias variance, linear network", grey, biased),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    grid = drawing.add_gridspec(2, 2, width_ratios=[1, 2.6])
    for row, latents in enumerate(([[1.2, 0.8]], [[-0.9, 1.5]])):
        axes = drawing.add_subplot(grid[row, 0])
        axes.imshow(images(np.array(latents), (32, 4)).reshape(SIDE, SIDE), cmap="gray", vmin=-2, vmax=2)
        axes.set(xticks=[], yticks=[])
        axes.set_title(rf"$z_s={latents[0][0]:g}$, $z_c={latents[0][1]:g}$".replace("-", "\N{MINUS SIGN}"), fontsize="small")
    axes.set_xlabel(r"$A_s=32$, $A_c=4$")
    axes = drawing.add_subplot(grid[:, 1])
    footprints = np.array([1, 2, 3, 4, 6, 8, 10, 13, 17, 22, 30, 40, 50, 60])
    flow = ns.GradientFlow(np.array([1.0, 10.0, 30.0, 100.0]))
    biases = []
    for footprint in footprints:
        model = ns.GenerativeModel((0.85, 0.9), np.sqrt([footprint, 4.0]), input_dim=SIDE**2)
        biases.append(np.asarray(ns.linear.linear_bias(model, ns.MLP(0), flow)))
    for time, row, color in zip(
        (1, 10, 30, 100), np.transpose(biases), ("#440154", "#31688e", "#35b779", "#c8b200"), strict=True
    ):
        axes.plot(footprints, row, color=color, label=f"t = {time}")
    axes.axhline(0, color="0.7", lw=0.8, zorder=0)
    axes.axvline(4, color="0.7", lw=0.8, zorder=0)
    axes.set(xlabel=r"pixels of the shortcut, $A_s$ (core: $A_c=4$)", ylabel="bias of a linear network")
    axes.legend(frameon=False, loc="center right", bbox_to_anchor=(1, 0.6))
    return drawing


DERIVATION = Derivation(
    label="D8.1",
    title="Pixel footprint is amplification",
    statement=r"Images that paint object $i$, of $A_i$ pixels, with grey level $z_i$ have $\langle "
    r"x,x'\rangle=\sum_iA_iz_iz_i'$ plus the background's $\beta$. For a fully connected network they are the latents at "
    r"amplifications $\alpha_i=\sqrt{A_i}$ in $d$ = number of pixels, exactly; the background is bias variance "
    r"$\sigma_w^2\beta/d$ in the first layer.",
    assumptions=[
        "objects that do not overlap, at fixed places",
        "a fully connected network with Gaussian first-layer weights: convolutions see places as well as sums",
    ],
    code=["ntk_shortcuts.GenerativeModel.gram", "ntk_shortcuts.laws.two_features.embedding.latent_moments"],
    source="this project",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

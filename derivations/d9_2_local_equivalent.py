"""D9.2: deterministic equivalent of kernel regression, local form. Run by itself, or as `ntk-shortcuts derive D9.2`."""

import jax
import jax.numpy as jnp
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main, told_apart
from ntk_shortcuts.laws import LawKernel
from ntk_shortcuts.laws.eigenfunctions import sector_features, sector_spectra
from ntk_shortcuts.laws.two_features.polar import latent_rays
from ntk_shortcuts.methods.average.deterministic_equivalent import averaged_resolvent, scalar_kappa
from ntk_shortcuts.numerics import in_float64

N, r, eta = sp.symbols("N r eta", positive=True)
s, delta = sp.symbols("s delta", real=True)


def steps() -> list[Step]:
    # Two nodes of weights p, kernel sections k in the plane, and leverages of their own.
    p = sp.symbols("p_1:3", positive=True)
    deltas = sp.symbols("delta_1:3", positive=True)
    sections = [sp.Matrix(sp.symbols(f"k_{m}1 k_{m}2", real=True)) for m in (1, 2)]
    kappas = [-s * (1 + d) for d in deltas]
    nodes = list(zip(p, sections, strict=True))
    resolvent = (sum((w * k * k.T / (1 + d) for (w, k), d in zip(nodes, deltas, strict=True)), -s * sp.eye(2))).inv()
    regular = (sum((w * k * k.T / t for (w, k), t in zip(nodes, kappas, strict=True)), sp.eye(2))).inv()
    assert sp.simplify(-s * resolvent - regular) == sp.zeros(2, 2)
    # kappa = -s (1 + delta) with delta = k.Qk/N is -s + H/N, H = -s k.Qk; and the mean's weights M Q k = H-section / kappa.
    h = sp.Symbol("h")
    assert sp.expand(-s * (1 + h / N) - (-s + (-s * h) / N)) == 0
    assert sp.simplify(h / (1 + delta) - (-s * h) / (-s * (1 + delta))) == 0
    # Homogeneous kernels: k_{rz} = r k_z, so H(rz, rz) = r^2 H(z, z).
    scaled = (r * sections[0]).T * regular * (r * sections[0])
    assert sp.simplify(scaled[0] - r**2 * (sections[0].T * regular * sections[0])[0]) == 0
    # kappa the same everywhere and phi_i^2 -> 1: the scalar form D9.1.
    lam, kappa = sp.symbols("lambda kappa", positive=True)
    assert sp.simplify(lam / (1 + lam / kappa) - lam * kappa / (lam + kappa)) == 0
    # A filter of a matrix is the sum of its resolvents.
    poles, residues, matrix = sp.symbols("s_1:3"), sp.symbols("c_1:3"), sp.diag(*sp.symbols("lambda_1:3", positive=True))
    of_matrix = sum((c * (matrix - z * sp.eye(2)).inv() for c, z in zip(residues, poles, strict=True)), sp.zeros(2, 2))
    of_modes = [sum(c / (mode - z) for c, z in zip(residues, poles, strict=True)) for mode in matrix.diagonal()]
    assert sp.simplify(of_matrix - sp.diag(*of_modes)) == sp.zeros(2, 2)
    return [
        Step(
            r"As in D9.1, but the leverage $\delta(z)$ keeps its dependence on where the sample lies:",
            r"Q = \Big(\int p\,\frac{k_z \otimes k_z}{1 + \delta(z)}\,dz - s\Big)^{-1},\qquad \delta(z) = \tfrac1N\langle "
            r"k_z, Qk_z\rangle",
        ),
        Step(
            r"With $\kappa(z) = -s(1 + \delta(z))$ the operator $-sQ$ is free of $s$ (checked on two nodes in the plane):",
            r"-sQ = \Big(1 + \int p\,\frac{k_z \otimes k_z}{\kappa(z)}\,dz\Big)^{-1},\qquad H(x, z) = \langle k_x, "
            r"(-sQ)k_z\rangle",
        ),
        Step(
            r"The mean prediction $\int p\,f^*(z)\langle k_x, Qk_z\rangle/(1 + \delta(z))\,dz$ becomes",
            r"f(x) = \int p\,\frac{H(x, z)}{\kappa(z)}\,f^*(z)\,dz",
        ),
        Step(
            r"For $\Theta(rz, r'z') = rr'\Theta(z, z')$ the leverage is quadratic along a ray, so one unknown per ray is left,",
            r"\kappa(r\omega) = -s + r^2\eta(\omega),\qquad \eta(\omega) = \tfrac1NH(\omega, \omega)",
        ),
        Step(r"The fixed point itself is", r"\kappa(z) = -s + \tfrac1NH(z, z)"),
        Step(
            r"A rule whose filter is a sum of resolvents, $g(\lambda) = \mathrm{Re}\sum_kc_k/(\lambda - s_k)$ (D4.5), is "
            r"linear in them, and so is its mean:",
            r"m(x) = \mathrm{Re}\sum_kc_kf_k(x),\qquad f_k(x) = \int p\,\frac{H_k(x, z)}{\kappa_k(z)}\,f^*(z)\,dz",
        ),
    ]


MODEL = ns.GenerativeModel((0.8, 0.9), (2.0, 1.0))
KERNEL = LawKernel(MODEL, ns.MLP(2))
PROBES = np.array([[1.0, 0.5], [2.0, -1.0], [-0.7, 1.5]])


@jax.jit
def _code(pole, samples):
    """Nodes of a small rule, the code's 1/kappa there, and its mean prediction at the probes."""
    rays = latent_rays(MODEL, 8, 6, True)
    spectra = sector_spectra(KERNEL.in_sectors(), rays)
    features = sector_features(KERNEL.in_sectors(), rays, jnp.asarray(PROBES), 8, 1, spectra)
    start = scalar_kappa(pole, spectra.basis.eigenvalues.ravel(), samples)
    found = averaged_resolvent(pole, start, rays, features, samples)
    source = jnp.sum(rays.weights * rays.radius * rays.targets * found.inverse_kappa, axis=1)
    return rays, found.inverse_kappa, features.points[0] @ (found.solution[0] @ source)


@jax.jit
def _gram(points1, points2):
    return KERNEL(points1, points2).ntk


def _nodes(rays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All nodes in the plane, z and -z, with their weights (of sum 1 up to the coarse rule's error) and E[y | z]."""
    points = np.asarray(rays.everywhere)
    weights, targets = np.ravel(rays.weights), np.ravel(rays.targets)
    weights = np.concatenate([weights, weights]) / 2
    return np.concatenate([points, -points]), weights, np.concatenate([targets, -targets])


def _fixed_point(pole: complex, gram: np.ndarray, weights: np.ndarray, samples: float) -> np.ndarray:
    """kappa at every node by plain iteration on the Gram matrix, without sectors, rays or eigenfunctions."""
    kappa = np.full(len(weights), -pole + weights @ np.diag(gram) / samples)
    for _ in range(2000):
        new = -pole + np.diag(_smoothed(gram, gram, weights / kappa)) / samples
        if np.max(np.abs(new - kappa) / np.abs(kappa)) < 1e-13:
            break
        kappa = new
    return kappa


def _smoothed(cross: np.ndarray, gram: np.ndarray, density: np.ndarray) -> np.ndarray:
    """H between points and nodes: G_x (1 + D G)^-1, D the diagonal of p/kappa."""
    return np.linalg.solve((np.eye(len(gram)) + density[:, None] * gram).T, cross.T).T


def _sampled(pole: float, nodes: tuple, gram: np.ndarray, cross: np.ndarray, samples: int, data_sets: int):
    """Mean and standard error over data sets drawn from the nodes, as counts: f = G_x (G diag(n)/N - s)^-1 y-sums/N."""
    _, weights, targets = nodes
    random = np.random.default_rng(0)
    law = np.concatenate([weights * (1 + targets) / 2, weights * (1 - targets) / 2])
    outputs = []
    for _ in range(data_sets):
        positive, negative = random.multinomial(samples, law / law.sum()).reshape(2, -1)
        counts, labels = positive + negative, positive - negative
        system = counts[:, None] * gram / samples - pole * np.eye(len(gram))
        outputs.append(cross @ np.linalg.solve(system, labels / samples))
    outputs = np.array(outputs)
    return outputs.mean(axis=0), outputs.std(axis=0) / np.sqrt(data_sets)


def _scores(nodes: tuple, gram: np.ndarray, cross: np.ndarray) -> tuple[float, float]:
    """Largest z-scores of the local form and of the population form, kappa = -s, on data sets of 50 samples."""
    points, weights, targets = nodes
    weights = weights / weights.sum()
    pole, samples = -0.02, 50
    sampled, error = _sampled(pole, (points, weights, targets), gram, cross, samples, 2000)
    kappas = _fixed_point(pole, gram, weights, float(samples)), np.full(len(weights), -pole)
    means = [_smoothed(cross, gram, weights / kappa) @ (weights / kappa * targets) for kappa in kappas]
    return tuple(float(np.max(np.abs(sampled - mean) / error)) for mean in means)


@in_float64
def checks() -> list[Check]:
    found = []
    for pole, samples in ((-0.02 + 0j, 300.0), (0.01 + 0.02j, 40.0), (-1e-6 + 0j, 40.0)):
        rays, inverse, mean = _code(np.asarray(pole), samples)
        nodes = points, weights, targets = _nodes(rays)
        gram, cross = np.asarray(_gram(points, points)), np.asarray(_gram(PROBES, points))
        kappa = _fixed_point(pole, gram, weights, samples)
        exact = _smoothed(cross, gram, weights / kappa) @ (weights / kappa * targets)
        half = kappa[: len(kappa) // 2]
        inverse = np.ravel(inverse)
        name = f"s = {pole:.3g}, N = {samples:g}: "
        # The code stops its iteration at a relative change of 1e-10.
        found.append(compare(name + "kappa at all nodes", np.zeros(len(half)), np.abs(inverse * half - 1), 1e-8))
        found.append(compare(name + "mean at probes", [exact.real, exact.imag], [mean.real, mean.imag], 1e-8))
    score, wrong = _scores(nodes, gram, cross)
    return [
        *found,
        Check("z-score of the mean at 3 probes over 2000 data sets, N = 50, s = -0.02", score, 4.0),
        told_apart("kappa = -s", wrong),
    ]


@in_float64
def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), dpi=150, layout="constrained")
    axes = drawing.subplots()
    for samples, marker, colour in ((40.0, "o", "C0"), (300.0, "s", "C1")):
        pole = -0.02
        rays, inverse, _ = _code(np.asarray(pole + 0j), samples)
        distance = np.linalg.norm(np.asarray(rays.everywhere), axis=-1)
        kept = np.ravel(rays.weights) > 1e-6
        kappa = 1 / np.ravel(inverse).real
        axes.plot(
            distance[kept],
            kappa[kept] / -pole,
            marker,
            ms=4,
            mfc="none",
            color=colour,
            label=f"local, N = {samples:g}",
        )
        points, weights, _ = _nodes(rays)
        gram = np.asarray(_gram(points, points))
        root = np.sqrt(weights)
        eigenvalues = np.maximum(np.linalg.eigvalsh(root[:, None] * gram * root), 0)
        level = float(scalar_kappa(jnp.asarray(pole + 0j), jnp.asarray(eigenvalues), samples).real) / -pole
        axes.axhline(level, linestyle="--", color=colour, label=f"scalar, N = {samples:g}")
    axes.set(
        xlabel=r"distance $|z|$ of the sample from the origin",
        ylabel=r"$\kappa(z)/(-s) = 1 + \delta(z)$, $s = -0.02$",
    )
    axes.legend(frameon=False)
    return drawing


DERIVATION = Derivation(
    label="D9.2",
    title="Deterministic equivalent of kernel regression, local form",
    statement=r"Over data sets of $N$ samples the resolvent predictor at $s$ has mean $f(x) = \int p\,H(x, "
    r"z)f^*(z)/\kappa(z)\,dz$ with $H(x, z) = \langle k_x, (1 + \int p\,k_z \otimes k_z/\kappa)^{-1}k_z\rangle$ and the "
    r"fixed point $\kappa(z) = -s + \frac1NH(z, z)$ for a function of $z$.",
    assumptions=[
        r"independent samples; to leading order in $1/N$",
        r"the leverage of a sample at $z$ is replaced by its mean over the other samples, at that $z$",
        r"$s < 0$, or $\mathrm{Im}\,s > 0$, where the fixed point with $\mathrm{Im}\,\kappa < 0$ is unique",
    ],
    builds_on=["D4.5", "D9.1"],
    evidence={"theory against training": "../evidence/validate.md"},
    code=["ntk_shortcuts.methods.average.deterministic_equivalent.averaged_resolvent"],
    source="this project; the scalar form is that of Simon et al. (2021), Canatar, Bordelon & Pehlevan (2021)",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

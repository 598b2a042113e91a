"""Three forms of the variance over data sets against sampled ones, on images and on the law of two features.

    python benchmarks/variance_forms.py

- alone: the influence of each node, its residual taken at the mean output (label D11.2).
- feedback: the outputs' own variance added to the squared residuals, one real number for all poles: the package's form.
- ladder: an equation for every pair of poles, C_kl(x) = sum_p V_kl(p) h_k(x, p) h_l(x, p) [r_k(p) r_l(p) + C_kl(p)/(e_k e_l)].

One row of `results/variance_forms.csv` per setting and time: the standard deviation over data sets, without the random output
at initialisation, relative to that over sampled data sets (root mean square over test points), and the seconds of each form.
"""

from __future__ import annotations

import csv
import itertools
import pathlib
import time
from typing import Any

import jax
import numpy as np

import ntk_shortcuts as ns
from ntk_shortcuts.methods.average.atoms.average import Atoms, pool_coordinates
from ntk_shortcuts.methods.average.atoms.coordinates import Coordinates
from ntk_shortcuts.methods.average.atoms.influence import Influence, label_spread, spread_at, with_feedback
from ntk_shortcuts.methods.average.atoms.resolvent import averaged_resolvent
from ntk_shortcuts.networks.gram import Gram, gram_between

RESULTS = pathlib.Path(__file__).parent / "results" / "variance_forms.csv"
TIMES = np.array([3.0, 30.0, 300.0, 3000.0])
FORMS = ("alone", "feedback", "ladder")


def digits() -> tuple[ns.Pool, ns.Pool]:
    pool, test = ns.images.digits_patch(brightness=1.5, num_images=400).split(jax.random.key(0), 0.7)
    return pool.with_agreement(0.9), test


def two_features() -> tuple[ns.Pool, ns.Pool]:
    """A pool of 700 samples of the law, so many that hardly one comes twice among a hundred."""
    model = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
    parts = [model.sample(jax.random.key(seed), count) for seed, count in ((0, 700), (1, 200))]
    pool, test = (ns.Pool(p.inputs, p.labels, {"shortcut": np.where(p.latents[:, 0] > 0, 1, -1)}) for p in parts)
    return pool, test


SETTINGS = tuple(itertools.product(("digits", "two features"), (1, 3), (50, 100, 300)))


def ladder(influence: Influence, where: Coordinates, targets: np.ndarray) -> np.ndarray:
    """Variance over data sets at the test points, from one equation for every pair of poles."""
    counts, size = influence.counts, influence.num_samples
    values = counts.values[:, None]
    everywhere = np.concatenate([where.nodes, where.points])
    parts = [
        (c, r.left_out, values / (1 + values * r.whole), (everywhere @ r.rows.T) / r.left_out, left)
        for c, r, left in zip(influence.residues, influence.resolvents, influence.residuals(where, targets), strict=True)
    ]
    total = np.zeros(len(where.points))
    for first, second, conjugate in itertools.product(parts, parts, (False, True)):
        c, left_out, taken, sides, residual = first
        d, *others = second
        d, *others = (np.conj(part) for part in (d, *others)) if conjugate else (d, *others)
        left_out2, taken2, sides2, residual2 = others
        mean1, mean2 = (np.sum(counts.probability * part, axis=0) for part in (taken, taken2))
        varied = (np.sum(counts.probability * taken * taken2, axis=0) - mean1 * mean2) / size**2
        passed = varied * sides * sides2  # (nodes and points, nodes)
        fixed = np.zeros(len(everywhere), complex)
        for number in np.unique(counts.totals):
            of = counts.totals == number
            apart = counts.probability[:, of] * (values - counts.mean[of])
            along = [
                (s[:, of] * np.sum(apart * t[:, of], axis=0)) @ r[of, 0] / size
                for s, t, r in ((sides, taken, residual), (sides2, taken2, residual2))
            ]
            fixed += along[0] * along[1] / np.sum(counts.variance[of])
        source = passed @ (residual[:, 0] * residual2[:, 0]) - fixed
        count = len(where.nodes)
        # A residual is that of the node left out: its own count's part is not fed back.
        among = passed[:count] / (left_out * left_out2)
        own = np.diag(passed[:count]) * residual[:, 0] * residual2[:, 0]
        np.fill_diagonal(among, 0)
        at_nodes = np.linalg.solve(np.eye(count) - among, source[:count] - own)
        found = source[count:] + passed[count:] @ (at_nodes / (left_out * left_out2))
        total += 0.5 * (c * d * found).real
    return np.maximum(total, 0)


def sampled(gram: Gram, pool: ns.Pool, num_samples: int, sets: int) -> np.ndarray:
    """Standard deviation of exact solutions over sampled data sets, (times, n)."""
    targets, means = np.where(pool.labels > 0, 1.0, -1.0), []
    for i in range(sets):
        counts = np.bincount(pool.draw(jax.random.key(1000 + i), num_samples), minlength=len(pool))
        came = np.flatnonzero(counts)
        root = np.sqrt(counts[came] / num_samples)
        values, vectors = np.linalg.eigh(root[:, None] * gram.ntk[np.ix_(came, came)] * root)
        values, vectors = np.maximum(values, 1e-12 * values[-1]), root[:, None] * vectors
        sides, learnt = gram.ntk_cross[:, came] @ vectors, vectors.T @ targets[came]
        means.append([sides @ (-np.expm1(-values * t) / values * learnt) for t in TIMES])
    return np.std(means, axis=0, ddof=1)


def measure(law: str, depth: int, num_samples: int, sets: int = 300) -> list[dict[str, Any]]:
    pool, test = {"digits": digits, "two features": two_features}[law]()
    gram = gram_between(ns.MLP(depth), pool.inputs, test.inputs)
    reference = sampled(gram, pool, num_samples, sets)
    indexed, _, _ = pool.prepared(ns.MLP(depth), test)
    counts = indexed.counts(num_samples)
    targets = np.where(pool.labels > 0, 1.0, -1.0)[:, None]
    atoms = Atoms(gram, targets, np.asarray(pool.weights), counts, num_samples)
    root = np.sqrt(pool.weights)
    filter_ = ns.GradientFlow(TIMES).rational(num_samples, float(np.linalg.eigvalsh(root[:, None] * gram.ntk * root)[-1]), 6)
    poles, residues = np.asarray(filter_.poles), np.asarray(filter_.residues)
    whole = pool_coordinates(atoms, poles)
    rows = []
    for t, of, weights, truth in zip(TIMES, poles, residues, reference, strict=True):
        where = whole.above(0.01 * float(np.min(np.abs(of))))
        resolvents = [averaged_resolvent(complex(pole), where, counts, num_samples) for pole in of]
        influence = Influence(weights, resolvents, counts, num_samples, np.arange(len(pool)))
        spread = label_spread(influence, where, targets)
        row: dict[str, Any] = {"law": law, "depth": depth, "num_samples": num_samples, "time": t, "data_sets": sets}
        forms = {
            "alone": lambda: spread_at(spread.matrix, where.points),  # noqa: B023  called at once
            "feedback": lambda: spread_at(with_feedback(influence, where, spread), where.points),  # noqa: B023
            "ladder": lambda: ladder(influence, where, targets),  # noqa: B023
        }
        for name, form in forms.items():
            began = time.perf_counter()
            ratio = np.sqrt(np.mean(form()) / np.mean(truth**2))
            row |= {name: round(float(ratio), 4), f"{name} seconds": round(time.perf_counter() - began, 3)}
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| law | t | " + " | ".join(f"{form}: median (range)" for form in FORMS) + " |", "| --- |" + " --- |" * 4]
    for law, t in itertools.product(dict.fromkeys(row["law"] for row in rows), TIMES):
        of = [row for row in rows if row["law"] == law and float(row["time"]) == t]
        cells = []
        for form in FORMS:
            ratio = [float(row[form]) for row in of]
            cells.append(f"{np.median(ratio):.3f} ({min(ratio):.3f} to {max(ratio):.3f})")
        lines.append(f"| {law} | {t:g} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Seconds, median: " + ", ".join(f"{f} {np.median([float(r[f'{f} seconds']) for r in rows]):.3f}" for f in FORMS),
    ]
    return "\n".join(lines)


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    rows: list[dict[str, Any]] = []
    for setting in SETTINGS:
        rows += measure(*setting)
        print(*setting, [tuple(row[form] for form in FORMS) for row in rows[-len(TIMES) :]], flush=True)
        with RESULTS.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    print(table(rows))


if __name__ == "__main__":
    main()

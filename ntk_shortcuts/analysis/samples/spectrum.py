"""Eigenfunctions of a kernel on samples of one's own."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ntk_shortcuts.analysis.samples.functions import LABEL, named_values
from ntk_shortcuts.analysis.samples.operator import operator_of
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.networks.base import as_network
from ntk_shortcuts.results.arrays import TIME_UNITS, table, variable
from ntk_shortcuts.results.base import Result, origin_of
from ntk_shortcuts.typing import Float
from ntk_shortcuts.validation import require_integer

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

# Eigenvalues below this part of the largest are rounding.
_ROUNDING = 1e-13


class SampleSpectrum(Result):
    r"""Leading eigenfunctions of the NTK on samples with weights q, \(\sum_rq_r\Theta(p,r)\phi_i(r)=\lambda_i\phi_i(p)\).

    - `eigenvalues` (modes,), descending; `learning_times` 1/lambda, in units of learning rate x steps, inf where rounding hides
      the eigenvalue.
    - `eigenfunctions` (modes, P) at the samples, \(\sum_pq_p\phi_i\phi_j=\delta_{ij}\).
    - `label_alignments` (modes,), `attribute_alignments` {name: (modes,)}: cosines in [-1, 1] of \(\phi_i\) and the label or
      attribute, its weighted mean removed; signs are chosen so that the largest of a mode's is positive. Of more than two
      values it is the length of the projection on all of them together, >= 0. NaN for an attribute that does not vary.
    - `trace` of the operator, \(\sum_pq_p\Theta(p,p)\).
    - `diagnostics`: `tail_mass` (fraction of the trace in the modes left out), `label_dropped` (fraction of the label's square
      there).
    """

    sources: ClassVar[tuple[str, ...]] = ("lim2026shortcut",)

    eigenvalues: Float[np.ndarray, "modes"]
    learning_times: Float[np.ndarray, "modes"]
    eigenfunctions: Float[np.ndarray, "modes P"]
    label_alignments: Float[np.ndarray, "modes"]
    attribute_alignments: dict[str, Float[np.ndarray, "modes"]]
    trace: float
    diagnostics: dict[str, Any] = dataclasses.field(default_factory=dict)

    def plot(self, ax: Any = None) -> Figure:
        """Learning times, and the shares of the label and of each attribute that the eigenfunctions carry.

        Args:
            ax: matplotlib axes to draw in; by default those of a new figure.
        """
        from ntk_shortcuts.plotting.spectrum import plot_spectrum

        return plot_spectrum(self, ax)

    def to_xarray(self) -> xarray.Dataset:
        """Everything over the dimensions `mode`, `sample` and `function`, the label first of these."""
        alignments = {"label": self.label_alignments, **self.attribute_alignments}
        variables = {
            "eigenvalues": variable(("mode",), self.eigenvalues, "eigenvalue of the weighted kernel"),
            "learning_times": variable(("mode",), self.learning_times, "learning time", TIME_UNITS),
            "alignments": variable(("function", "mode"), np.stack(list(alignments.values())), "cosine with the function"),
            "eigenfunctions": variable(("mode", "sample"), self.eigenfunctions, "eigenfunction at the samples"),
            "trace": variable((), self.trace, "trace of the operator"),
        }
        functions = {"function": variable(("function",), list(alignments), "label or attribute")}
        return table(variables, functions, self.origin, self.diagnostics)


def sample_spectrum(pool: Pool, network: Any, modes: int) -> SampleSpectrum:
    """The leading eigenfunctions, all of them where there are fewer samples than `modes`."""
    count = min(require_integer("modes", modes, 1), len(pool))
    operator = operator_of(pool, network)
    eigenvalues, vectors = operator.leading(count)
    cosines = {}
    for name, values in named_values(pool).items():
        functions = operator.functions(values)
        size = np.sqrt(np.sum(functions**2))
        along = vectors.T @ functions
        length = along[:, 0] if along.shape[1] == 1 else np.sqrt(np.sum(along**2, axis=1))
        cosines[name] = length / size if size > 1e-12 else np.full(count, np.nan)
    every = np.nan_to_num(np.stack(list(cosines.values())))
    largest = np.take_along_axis(every, np.argmax(np.abs(every), axis=0)[None], axis=0)[0]
    flip = np.where(largest < 0, -1.0, 1.0)
    several = {name for name, values in named_values(pool).items() if len(np.unique(values[pool.weights > 0])) > 2}
    signed = {name: found if name in several else flip * found for name, found in cosines.items()}
    label = signed.pop(LABEL)
    trace = float(np.trace(operator.matrix))
    seen = eigenvalues > _ROUNDING * eigenvalues[0]
    return SampleSpectrum(
        eigenvalues=eigenvalues,
        learning_times=np.where(seen, 1 / np.where(seen, eigenvalues, 1), np.inf),
        eigenfunctions=flip[:, None] * operator.at_samples(eigenvalues, vectors).T,
        label_alignments=label,
        attribute_alignments=signed,
        trace=trace,
        diagnostics={
            "tail_mass": float(1 - np.sum(eigenvalues) / trace),
            "label_dropped": float(1 - np.sum(label**2)),
        },
        origin=origin_of({"model": pool, "network": as_network(network)}, modes=count),
    )

"""Tables that draw themselves. Imported when the first one is made, as xarray takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import xarray

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Audit(xarray.Dataset):
    """An `xarray.Dataset` that draws itself: :func:`ntk_shortcuts.plotting.plot_audit`."""

    __slots__ = ()

    def plot(self) -> Figure:  # pyright: ignore[reportIncompatibleVariableOverride]  xarray draws no audits
        """Learning times, predictivities and alignments as a figure."""
        from ntk_shortcuts.plotting.audit import plot_audit

        return plot_audit(self)


class Mitigations(xarray.Dataset):
    """An `xarray.Dataset` that draws itself: :func:`ntk_shortcuts.plotting.plot_mitigations`."""

    __slots__ = ()

    def plot(self) -> Figure:  # pyright: ignore[reportIncompatibleVariableOverride]  xarray draws no mitigations
        """Accuracies of the worst group over time, and the best of each mitigation."""
        from ntk_shortcuts.plotting.mitigations import plot_mitigations

        return plot_mitigations(self)

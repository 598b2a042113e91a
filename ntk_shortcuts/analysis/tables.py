"""Audits and mitigations, which draw themselves. Imported when the first one is made, as xarray takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntk_shortcuts.results.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Audit(Table):
    """An `xarray.Dataset` that draws itself: :func:`ntk_shortcuts.plotting.plot_audit`."""

    __slots__ = ()

    def plot(self, ax: Any = None) -> Figure:  # pyright: ignore[reportIncompatibleVariableOverride]  xarray draws no audits
        """Learning times and predictivities, in matplotlib axes `ax` where they are given."""
        from ntk_shortcuts.plotting.audit import plot_audit

        return plot_audit(self, ax)


class Mitigations(Table):
    """An `xarray.Dataset` that draws itself: :func:`ntk_shortcuts.plotting.plot_mitigations`."""

    __slots__ = ()

    def plot(self, ax: Any = None) -> Figure:  # pyright: ignore[reportIncompatibleVariableOverride]  xarray draws none
        """Accuracies of the worst group over time, and the best of each mitigation, in matplotlib axes `ax` where given."""
        from ntk_shortcuts.plotting.mitigations import plot_mitigations

        return plot_mitigations(self, ax)

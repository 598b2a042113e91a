"""Finite width at initialisation: moments of the NTK, the fourth cumulant of the output and its density."""

from ntk_shortcuts.kernels.finite_width.moments import (
    FiniteWidthMoments,
    edgeworth_density,
    finite_width_moments,
    output_fourth_cumulant,
)

__all__ = ["FiniteWidthMoments", "edgeworth_density", "finite_width_moments", "output_fourth_cumulant"]

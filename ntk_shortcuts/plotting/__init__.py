"""Figures of results. Nothing is computed here: predictions and maps go in, matplotlib Figures come out.

They are made without pyplot: no global state, no display needed. Save one with `figure.savefig("file.png")`. Each takes `ax=`,
matplotlib axes of your own to draw in, and leaves sizes, colour cycle, line widths, grids and fonts to `matplotlib.rcParams`.
"""

from ntk_shortcuts.plotting.agreement import Scatter, plot_agreement
from ntk_shortcuts.plotting.audit import plot_audit
from ntk_shortcuts.plotting.bias_map import Inset, plot_bias_map
from ntk_shortcuts.plotting.bias_over_time import plot_bias_over_time
from ntk_shortcuts.plotting.decision_surface import plot_decision_surface
from ntk_shortcuts.plotting.ensemble import plot_networks
from ntk_shortcuts.plotting.examples import plot_examples
from ntk_shortcuts.plotting.gaps import Gaps, plot_gaps
from ntk_shortcuts.plotting.group_curves import plot_group_curves
from ntk_shortcuts.plotting.influence import plot_influence
from ntk_shortcuts.plotting.learning_curve import plot_learning_curve
from ntk_shortcuts.plotting.map import plot_map
from ntk_shortcuts.plotting.mitigations import plot_mitigations
from ntk_shortcuts.plotting.numbers import plot_numbers
from ntk_shortcuts.plotting.outputs import plot_outputs
from ntk_shortcuts.plotting.prediction import plot_prediction
from ntk_shortcuts.plotting.release_times import plot_release_times
from ntk_shortcuts.plotting.spectrum import plot_spectrum
from ntk_shortcuts.plotting.style import BIAS_LABEL, PREDICTIVITY_LABEL, RATIO_LABEL, TIME_LABEL
from ntk_shortcuts.plotting.surfaces import Surfaces, plot_surfaces
from ntk_shortcuts.plotting.sweep import plot_sweep
from ntk_shortcuts.plotting.telescope import plot_telescope

__all__ = [
    "BIAS_LABEL",
    "PREDICTIVITY_LABEL",
    "RATIO_LABEL",
    "TIME_LABEL",
    "Gaps",
    "Inset",
    "Scatter",
    "Surfaces",
    "plot_agreement",
    "plot_audit",
    "plot_bias_map",
    "plot_bias_over_time",
    "plot_decision_surface",
    "plot_examples",
    "plot_gaps",
    "plot_group_curves",
    "plot_influence",
    "plot_learning_curve",
    "plot_map",
    "plot_mitigations",
    "plot_networks",
    "plot_numbers",
    "plot_outputs",
    "plot_prediction",
    "plot_release_times",
    "plot_spectrum",
    "plot_surfaces",
    "plot_sweep",
    "plot_telescope",
]

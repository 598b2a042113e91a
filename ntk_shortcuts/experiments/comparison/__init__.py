"""Theory against training: the same configurations trained as networks and predicted, with records and a report."""

from ntk_shortcuts.experiments.comparison.configuration import Configuration, compare
from ntk_shortcuts.experiments.comparison.figures import report_figures
from ntk_shortcuts.experiments.comparison.presets import PRESETS, preset
from ntk_shortcuts.experiments.comparison.records import read, read_lines, run
from ntk_shortcuts.experiments.comparison.report import write_report
from ntk_shortcuts.experiments.comparison.statistics import Agreement, PowerLaw, agreement, fit_power_law
from ntk_shortcuts.experiments.comparison.summary import summarize

__all__ = [
    "PRESETS",
    "Agreement",
    "Configuration",
    "PowerLaw",
    "agreement",
    "compare",
    "fit_power_law",
    "preset",
    "read",
    "read_lines",
    "report_figures",
    "run",
    "summarize",
    "write_report",
]

"""Theory against training: the same configurations trained as networks and predicted, with records and a report."""

from ntk_shortcuts.experiments.comparison.configuration import Configuration, compare
from ntk_shortcuts.experiments.comparison.figures import report_figures
from ntk_shortcuts.experiments.comparison.laws import LawConfiguration, compare_law
from ntk_shortcuts.experiments.comparison.presets import PRESETS, law_preset, preset
from ntk_shortcuts.experiments.comparison.records import read, read_lines, run
from ntk_shortcuts.experiments.comparison.report import write_report
from ntk_shortcuts.experiments.comparison.statistics import Agreement, PowerLaw, agreement, fit_power_law
from ntk_shortcuts.experiments.comparison.summary import summarize

__all__ = [
    "PRESETS",
    "Agreement",
    "Configuration",
    "LawConfiguration",
    "PowerLaw",
    "agreement",
    "compare",
    "compare_law",
    "fit_power_law",
    "law_preset",
    "preset",
    "read",
    "read_lines",
    "report_figures",
    "run",
    "summarize",
    "write_report",
]

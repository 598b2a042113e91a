"""Two features as the page has them: the setting of a law, and the answers to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import ntk_shortcuts as ns
from ntk_shortcuts.analysis.spectrum import KernelSpectrum
from ntk_shortcuts.explorer.calls import Call
from ntk_shortcuts.explorer.controls import chosen, evenly
from ntk_shortcuts.explorer.curve import Curve, growing, in_parts
from ntk_shortcuts.explorer.once import computed_once
from ntk_shortcuts.explorer.setting import DATA, SAMPLES, Setting
from ntk_shortcuts.results.prediction import Prediction

_PREDICTIVITIES = evenly(0.5, 0.99, 0.01)
# Quarters of an octave, two digits each.
_RATIOS = tuple(float(f"{2 ** (power / 4):.2g}") for power in range(-12, 13))
_MODES = 16
# Points of curves, and points at once: an average over data sets takes as many times as long.
_POINTS, _AT_ONCE, _OF_AVERAGES = 24, 8, 4
# Of curves and maps, whose pixels are as large: nodes are refined less often than for the number.
_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class LawSetting(Setting):
    """What is predicted, on the law of two features: the fields beyond a `Setting` are those of `GenerativeModel`.

    Availability is a matter of the ratio of amplifications alone here; the core's is 1.
    """

    shortcut_predictivity: float = chosen(0.85, "shortcut predictivity ρ_s", DATA, _PREDICTIVITIES)
    core_predictivity: float = chosen(0.9, "core predictivity ρ_c", DATA, _PREDICTIVITIES)
    amplification_ratio: float = chosen(4.0, "availability α_s/α_c", DATA, _RATIOS)
    correlation: float = chosen(0.6, "correlation σ", DATA, evenly(-0.9, 0.9, 0.1))

    def model(self) -> Call:
        """The law."""
        predictivity = (self.shortcut_predictivity, self.core_predictivity)
        amplification = (self.amplification_ratio, 1.0)
        return Call(
            "GenerativeModel",
            {"predictivity": predictivity, "amplification": amplification, "correlation": self.correlation},
        )


def prediction(setting: LawSetting) -> Prediction:
    """What the page's first number is read off."""
    return _prediction(setting.plain())


def over_training(setting: LawSetting) -> Iterator[Curve]:
    """The bias over the times, or ridges, of the setting's rule, a few at a time."""
    extents = np.asarray(setting.controls()[setting.extent].numbers)
    extents = extents[np.linspace(0, len(extents) - 1, min(_POINTS, len(extents))).round().astype(int)]
    parts = len(extents) // (_AT_ONCE if setting.num_samples is None else _OF_AVERAGES)
    plain = setting.plain(setting.extent)
    return growing([tuple(extents[part]) for part in in_parts(len(extents), parts)], lambda part: _at_extents(plain, part))


def over_samples(setting: LawSetting) -> Iterator[Curve]:
    """The bias over the training samples, one after another, and with infinitely many."""
    order = [count for part in in_parts(len(SAMPLES), 4) for count in SAMPLES[part]]
    return growing(order, lambda count: _at_samples(dataclasses.replace(setting, num_samples=count).plain()))


def spectrum(setting: LawSetting) -> Iterator[KernelSpectrum]:
    """Eigenfunctions of the kernel under the law."""
    yield _spectrum(setting.plain("rule", "time", "learning_rate", "strength", "num_samples"))


class Map(NamedTuple):
    """Biases (predictivities, ratios), NaN where they are not known yet."""

    predictivities: np.ndarray
    ratios: np.ndarray
    biases: np.ndarray


def over_law(setting: LawSetting) -> Iterator[Map]:
    """The bias over predictivity and availability of the shortcut, row after row, from far between to between."""
    count = 17 if setting.num_samples is None else 9
    predictivities, ratios = np.linspace(0.5, 0.98, count).round(4), np.geomspace(0.125, 8.0, count).round(4)
    plain = setting.plain("shortcut_predictivity", "amplification_ratio")
    biases = np.full((count, count), np.nan)
    for row in (index for part in in_parts(count, 8) for index in range(count)[part]):
        biases[row] = _row(plain, predictivities[row], tuple(ratios))
        yield Map(predictivities, ratios, biases.copy())


@computed_once
def _prediction(setting: LawSetting) -> Prediction:
    return ns.predict_bias(setting.model()(), setting.network()(), setting.training()(), setting.num_samples)


@computed_once
def _at_extents(setting: LawSetting, extents: tuple[float, ...]) -> Curve:
    rule = setting.training(np.asarray(extents))()
    law, network = setting.model()(), setting.network()()
    found = ns.predict_bias(law, network, rule, setting.num_samples, tolerance=_TOLERANCE)
    return Curve(np.asarray(getattr(rule, setting.extent)), np.asarray(found.bias), np.full(len(extents), not found.issues))


@computed_once
def _at_samples(setting: LawSetting) -> Curve:
    found = prediction(setting)
    count = np.inf if setting.num_samples is None else setting.num_samples
    return Curve(np.array([count]), np.array([found.bias]), np.array([not found.issues]))


@computed_once
def _spectrum(setting: LawSetting) -> KernelSpectrum:
    return ns.kernel_spectrum(setting.model()(), setting.network()(), _MODES)


@computed_once
def _row(setting: LawSetting, predictivity: float, ratios: tuple[float, ...]) -> np.ndarray:
    arguments = setting.model()(), setting.network()(), setting.training()(), [predictivity], ratios
    found = ns.bias_map(*arguments, num_samples=setting.num_samples, tolerance=_TOLERANCE)
    return found["bias"].values[0]

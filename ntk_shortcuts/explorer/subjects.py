"""What a page is about: a law, or the samples of a file. Each says its setting, its prediction, its figures and its code."""

from __future__ import annotations

import abc
import dataclasses
import threading
from pathlib import Path
from typing import Any

from ntk_shortcuts.explorer import law
from ntk_shortcuts.explorer.code import Code, law_code, pool_code
from ntk_shortcuts.explorer.pool import Samples
from ntk_shortcuts.explorer.setting import Setting
from ntk_shortcuts.explorer.views.audit import AuditView
from ntk_shortcuts.explorer.views.base import View
from ntk_shortcuts.explorer.views.bias_map import BiasMap
from ntk_shortcuts.explorer.views.curve import OverSamples, OverTraining
from ntk_shortcuts.explorer.views.groups import Groups
from ntk_shortcuts.explorer.views.spectrum import Spectrum
from ntk_shortcuts.explorer.views.surface import Surface
from ntk_shortcuts.results.prediction import Prediction


class Subject(abc.ABC):
    """What a page is about; one for all windows of a server."""

    title: str
    default: Setting

    @abc.abstractmethod
    def predict(self, setting: Any) -> Prediction:
        """The prediction that the page's first number is read off."""

    @abc.abstractmethod
    def code(self, setting: Any) -> Code:
        """The same as Python and as a command."""

    @abc.abstractmethod
    def views(self) -> list[View]:
        """Figures for one window, in order."""

    def warm_up(self) -> None:
        """Answer beside the page what readers are likely to ask next, so that its programs are there before they do."""
        likely = dataclasses.replace(self.default, num_samples=100)
        threading.Thread(target=self.predict, args=(likely,), name="explorer: likely next", daemon=True).start()


class TwoFeatures(Subject):
    """The law of two features."""

    title = "A shortcut and a core feature"
    default = law.LawSetting()

    def predict(self, setting: Any) -> Prediction:
        return law.prediction(setting)

    def code(self, setting: Any) -> Code:
        return law_code(setting)

    def views(self) -> list[View]:
        time = "time = learning rate × steps"
        return [
            Surface(),
            OverTraining("training", time, law.over_training),
            BiasMap(law.over_law),
            Spectrum(law.spectrum),
            OverSamples("samples", "training samples N", law.over_samples),
        ]


class OwnSamples(Subject):
    """A pool from a file."""

    def __init__(self, path: Path):
        self._samples = Samples(path)
        self.title = f"Your samples: {path.name}"
        self.default = self._samples.default

    def predict(self, setting: Any) -> Prediction:
        return self._samples.prediction(setting.plain())

    def code(self, setting: Any) -> Code:
        return pool_code(setting, str(self._samples.path))

    def views(self) -> list[View]:
        return [Groups(self._samples.groups, self._samples.over_training), AuditView(self._samples.audit)]

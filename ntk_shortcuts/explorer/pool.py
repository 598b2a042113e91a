"""Samples of one's own as the page has them: the setting, and the answers to it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import ntk_shortcuts as ns
from ntk_shortcuts.explorer.controls import chosen, evenly
from ntk_shortcuts.explorer.curve import Curve, growing, in_parts
from ntk_shortcuts.explorer.once import computed_once
from ntk_shortcuts.explorer.setting import DATA, Setting
from ntk_shortcuts.laws.pool.readers import read_pool
from ntk_shortcuts.results.prediction import Prediction

# As `ntk-shortcuts predict --pool` has them by default.
TEST_FRACTION, SEED = 0.3, 0
_POINTS, _AT_ONCE = 16, 4


@dataclasses.dataclass(frozen=True)
class PoolSetting(Setting):
    """What is predicted, on a pool of samples: `agreement` of an attribute with the label reweights it, None leaves it."""

    attribute: str | None = chosen(None, "attribute", DATA, (None,))
    agreement: float | None = chosen(
        None, "its agreement with the label", DATA, (None, *evenly(0.5, 0.99, 0.01)), none="as in the file"
    )


class Samples:
    """A pool from a file, a part of it to test on, and what is predicted of both.

    Args:
        path: an `.npz` as :func:`ntk_shortcuts.laws.read_pool` reads it.

    Raises:
        ValueError: no such file, or none that holds a pool that can be split.
    """

    def __init__(self, path: Path):
        self.path = path
        self.test, self.pool = read_pool(path).split(jax.random.key(SEED), TEST_FRACTION)
        self.prediction = computed_once(self._prediction)
        self._at_extents = computed_once(self._curve)
        self._audited = computed_once(self._audit)

    @functools.cached_property
    def default(self) -> PoolSetting:
        """The setting that the page opens with: its attributes are those of this pool."""
        names = tuple(self.pool.attributes)
        field = ("attribute", str | None, chosen(names[0] if names else None, "attribute", DATA, names or (None,)))
        return dataclasses.make_dataclass("PoolSetting", [field], bases=(PoolSetting,), frozen=True)()

    @property
    def groups(self) -> list[dict[str, int]]:
        """Label and attributes of each group, in the order of a curve's columns."""
        names = ("label", *self.pool.attributes)
        return [dict(zip(names, group, strict=True)) for group in self.pool.groups]

    def over_training(self, setting: PoolSetting) -> Iterator[Curve]:
        """The accuracies (n, groups) over times, or ridges; of an average over data sets a few at a time."""
        extents = np.asarray(setting.controls()[setting.extent].numbers)
        extents = extents[np.linspace(0, len(extents) - 1, min(_POINTS, len(extents))).round().astype(int)]
        parts = 1 if setting.num_samples is None else len(extents) // _AT_ONCE
        plain = setting.plain(setting.extent)
        return growing([tuple(extents[p]) for p in in_parts(len(extents), parts)], lambda part: self._at_extents(plain, part))

    def audit(self, setting: PoolSetting) -> Iterator[Any]:
        """What the attributes offer this network: an `ntk_shortcuts.audit`."""
        yield self._audited(setting.plain("rule", "time", "learning_rate", "strength", "num_samples"))

    def _reweighted(self, setting: PoolSetting) -> ns.Pool:
        if setting.agreement is None:
            return self.pool
        return self.pool.with_agreement(setting.agreement, setting.attribute)

    def _predict(self, setting: PoolSetting, training: Any) -> Prediction:
        network, samples = setting.network()(), setting.num_samples
        return ns.predict(self._reweighted(setting), network, training, num_samples=samples, test=self.test)

    def _prediction(self, setting: PoolSetting) -> Prediction:
        return self._predict(setting, setting.training()())

    def _curve(self, setting: PoolSetting, extents: tuple[float, ...]) -> Curve:
        rule = setting.training(np.asarray(extents))()
        found = self._predict(setting, rule)
        accuracies = found.group_accuracy.values.reshape(len(extents), -1)
        return Curve(np.asarray(getattr(rule, setting.extent)), accuracies, np.full(len(extents), not found.issues))

    def _audit(self, setting: PoolSetting) -> Any:
        return ns.audit(self._reweighted(setting), setting.network()())

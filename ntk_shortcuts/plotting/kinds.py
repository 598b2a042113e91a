"""What figures need of results and laws: their attributes, whatever their types. So results can draw themselves."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Predicted(Protocol):
    """A prediction: bias () or (T,), mean (probes,) or (T, probes) at `probes` (probes, 2), and its method's name."""

    @property
    def bias(self) -> Any: ...
    @property
    def mean(self) -> Any: ...
    @property
    def probes(self) -> Any: ...
    @property
    def method(self) -> str: ...


@runtime_checkable
class TwoFeatures(Protocol):
    """A law of a shortcut and a core: pairs of numbers, and the grid where its bias is read."""

    @property
    def predictivity(self) -> Any: ...
    @property
    def amplification(self) -> Any: ...
    @property
    def means(self) -> Any: ...
    @property
    def bayes_direction(self) -> Any: ...
    def probe_grid(self) -> Any: ...


@runtime_checkable
class LabelledLatents(Protocol):
    """A data set: latents (n, 2), or None where they are not known, and labels (n,)."""

    @property
    def latents(self) -> Any: ...
    @property
    def labels(self) -> Any: ...

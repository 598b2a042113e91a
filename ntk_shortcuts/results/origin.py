"""What a result was asked for: the specs and numbers behind it, for its attributes, its figure and its sources."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ntk_shortcuts.description import beside, described, netcdf_value, plain_value, spec_parameters, versions
from ntk_shortcuts.spec import Spec


@dataclasses.dataclass(frozen=True, eq=False)
class Origin:
    """The question that a result answers; empty under JAX transformations, where its numbers have no values.

    - `specs`: by argument: "model", "network", "training" and "method", those there were.
    - `numbers`: further arguments, such as "num_samples".

    It is equal to any other, so that results of different questions have one structure as pytrees.
    """

    specs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    numbers: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin)

    def __hash__(self) -> int:
        return hash(Origin)

    def __repr__(self) -> str:
        return f"Origin({', '.join(f'{name}={value!r}' for name, value in {**self.specs, **self.numbers}.items())})"

    @property
    def parameters(self) -> dict[str, Any]:
        """Every resolved parameter, defaults included, as plain Python values."""
        method = self.specs.get("method")
        named = {} if method is None else {"method": method.name}
        specs = described({name: spec for name, spec in self.specs.items() if name != "method"})
        found = {**named, **specs, **{name: plain_value(value) for name, value in self.numbers.items()}}
        options = {} if method is None else spec_parameters(method)
        return {**found, **beside(found, {name: value for name, value in options.items() if (name, value) != ("key", None)})}

    @property
    def attributes(self) -> dict[str, Any]:
        """The same, the sources and the versions, as netCDF can store them."""
        found = {name: netcdf_value(value) for name, value in self.parameters.items()}
        return {**found, **({"sources": " ".join(self.cited)} if self.cited else {}), **versions()}

    @property
    def cited(self) -> tuple[str, ...]:
        """Sources of all specs, each once."""
        cited = (source for spec in self.specs.values() if isinstance(spec, Spec) for source in spec.cited)
        return tuple(dict.fromkeys(cited))

"""A prediction as it is written down: its resolved parameters."""

from __future__ import annotations

from typing import Any


def resolved_parameters(
    model: Any, network: Any, training: Any, num_samples: int | None, method: str, seed: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Every parameter, defaults included, as plain values."""
    from ntk_shortcuts.description import versions
    from ntk_shortcuts.methods import resolve
    from ntk_shortcuts.results.origin import Origin

    specs = {"model": model, "network": network, "training": training, "method": resolve(method, options)}
    parameters = Origin(specs, {"num_samples": num_samples}).parameters
    # The command line has a seed where Python has a key or a data set, and always the default probes.
    for name in ("key", "dataset", "probes", "probe_inputs", "initial_outputs"):
        parameters.pop(name, None)
    return {**parameters, "seed": seed, **versions()}

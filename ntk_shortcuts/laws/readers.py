"""Laws from files: TOML whose keys are the arguments of the constructor."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.laws.clusters import presets
from ntk_shortcuts.laws.clusters.law import Clusters
from ntk_shortcuts.laws.features.law import GaussianFeatures
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.validation import require

_LAWS: dict[str, Callable[..., DataLaw]] = {
    "two_features": GenerativeModel,
    "features": GaussianFeatures,
    "clusters": Clusters,
    "waterbirds": Clusters.waterbirds,
    "xor_core": Clusters.xor_core,
    "imbalanced": Clusters.imbalanced,
}
_PRESETS = {"waterbirds": presets.waterbirds, "xor_core": presets.xor_core, "imbalanced": presets.imbalanced}
_OF_PRESETS = ("covariance", "amplification", "input_dim")


def read_law(path: str | Path) -> DataLaw:
    """The law that a TOML file describes: `law`, one of two_features, features, clusters, waterbirds, xor_core and imbalanced,
    and the arguments of that one by name.

    Raises:
        ValueError: naming the file and the line: no TOML, an unknown law or key, a value out of range.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = Path(folder) / "law.toml"
        ...     _ = place.write_text('law = "features"\\npredictivity = [0.8, 0.85, 0.9]\\namplification = [4, 2, 1]\\n')
        ...     read_law(place).amplification.tolist()
        [4.0, 2.0, 1.0]
    """
    path = Path(path)
    require(path.is_file(), "law", "a TOML file", f"{str(path)!r}, which is not there")
    text = path.read_text(encoding="utf-8")
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"law must be a TOML file; got {str(path)!r}: {error}") from error
    name = given.pop("law", None)
    known = isinstance(name, str) and name in _LAWS
    require(known, "law", f"one of {', '.join(_LAWS)} in {_place(path, text, 'law')}", name)
    allowed = _keys(str(name))
    for key in given:
        require(key in allowed, key, f"one of {', '.join(allowed)} for a law of {name}, in {_place(path, text, key)}", key)
    try:
        return _LAWS[str(name)](**given)
    except (ValueError, TypeError) as error:
        named = str(error).split(" ", 1)[0].split("[")[0]
        raise ValueError(f"{error}, in {_place(path, text, named)}") from error


def _keys(name: str) -> list[str]:
    made = _PRESETS.get(name, _LAWS[name])
    own = [key for key, found in inspect.signature(made).parameters.items() if found.kind is not found.VAR_KEYWORD]
    return [*own, *(_OF_PRESETS if name in _PRESETS else ())]


def _place(path: Path, text: str, key: str) -> str:
    """The file, and the line where a key stands in it."""
    pattern = re.compile(rf"\s*\[*\s*{re.escape(key)}\b")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)]
    return f"{str(path)!r}, line {lines[0]}" if lines else repr(str(path))

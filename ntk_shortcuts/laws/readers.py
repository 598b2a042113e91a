"""Laws from files: TOML whose keys are the arguments of the constructor, with wrappers around the law as tables."""

from __future__ import annotations

import functools
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.laws.clusters import presets
from ntk_shortcuts.laws.clusters.law import Clusters
from ntk_shortcuts.laws.features.law import GaussianFeatures
from ntk_shortcuts.laws.imbalance import ImbalancedClasses
from ntk_shortcuts.laws.noise import NoisyLabels
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.validation import require

LAWS: dict[str, Callable[..., DataLaw]] = {
    "two_features": GenerativeModel,
    "features": GaussianFeatures,
    "clusters": Clusters,
    "waterbirds": Clusters.waterbirds,
    "xor_core": Clusters.xor_core,
    "imbalanced": Clusters.imbalanced,
}
"""What the key `law` may say, and what makes each."""

WRAPPERS: dict[str, Callable[..., DataLaw]] = {"imbalance": ImbalancedClasses, "noise": NoisyLabels}
"""Tables of a file, from the inside out: each is made around what stands before it."""

_PRESETS = {"waterbirds": presets.waterbirds, "xor_core": presets.xor_core, "imbalanced": presets.imbalanced}
_OF_PRESETS = ("covariance", "amplification", "input_dim")


def read_law(path: str | Path) -> DataLaw:
    """The law that a TOML file describes: `law`, one of two_features, features, clusters, waterbirds, xor_core and imbalanced,
    and the arguments of that one by name.

    A table `[imbalance]` with `positive` is an :class:`ntk_shortcuts.ImbalancedClasses` around it, a table `[noise]` with
    `rate` an :class:`ntk_shortcuts.NoisyLabels` around that. Keys of rates are labels, or groups as in `"1,-1"`.

    Raises:
        ValueError: naming the file and the line: no TOML, an unknown law or key, a missing one, a value out of range.

    Example:
        >>> import tempfile
        >>> text = 'law = "features"\\npredictivity = [0.8, 0.85, 0.9]\\namplification = [4, 2, 1]\\nnoise = {rate = 0.1}'
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = Path(folder) / "law.toml"
        ...     _ = place.write_text(text)
        ...     law = read_law(place)
        >>> law.law.amplification.tolist(), float(law.rate)
        ([4.0, 2.0, 1.0], 0.1)
    """
    path = Path(path)
    require(path.is_file(), "law", "a TOML file", f"{str(path)!r}, which is not there")
    file = _File(path, path.read_text(encoding="utf-8"))
    try:
        given = tomllib.loads(file.text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"law must be a TOML file; got {str(path)!r}: {error}") from error
    name = given.pop("law", None)
    known = isinstance(name, str) and name in LAWS
    require(known, "law", f"one of {', '.join(LAWS)} in {file.place('law')}", name)
    around = {wrapper: given.pop(wrapper) for wrapper in WRAPPERS if wrapper in given}
    law = _made(LAWS[str(name)], f"law of {name}", given, keys_of(str(name)), file, "")
    for wrapper, arguments in around.items():
        require(isinstance(arguments, dict), wrapper, f"a table [{wrapper}] in {file.place(wrapper)}", arguments)
        arguments = {key: _by_group(value, file.place(key, wrapper)) for key, value in arguments.items()}
        made = functools.partial(WRAPPERS[wrapper], law)
        law = _made(made, f"table [{wrapper}]", arguments, keys_of(wrapper), file, wrapper)
    return law


def keys_of(name: str) -> dict[str, bool]:
    """Keys that a law or a table of a file has, and whether each must be given; of laws without the tables.

    Example:
        >>> keys_of("imbalance"), keys_of("clusters")["means"], keys_of("clusters")["covariance"]
        ({'positive': False}, True, False)
    """
    made = _PRESETS.get(name) or {**LAWS, **WRAPPERS}[name]
    found = inspect.signature(made).parameters.items()
    own = {key: of.default is of.empty for key, of in found if of.kind is not of.VAR_KEYWORD}
    if name in WRAPPERS:
        del own["law"]
    return own | dict.fromkeys(_OF_PRESETS if name in _PRESETS else (), False)


class _File(NamedTuple):
    path: Path
    text: str

    def place(self, key: str, table: str = "") -> str:
        """The file, and the line where a key of a table stands in it; where it does not, the line of the table."""
        lines = dict(reversed([*self._keys()]))
        line = lines.get(f"{table}.{key}" if table else key, lines.get(table))
        return repr(str(self.path)) if line is None else f"{str(self.path)!r}, line {line}"

    def _keys(self) -> Iterator[tuple[str, int]]:
        """Keys with those of the tables that they stand in, and their lines."""
        table = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[\s*([A-Za-z_][\w.]*)\s*\]", line):
                table = f"{header[1]}."
                yield header[1], number
            elif entry := re.match(r"\s*([A-Za-z_][\w.]*)\s*=", line):
                parts = f"{table}{entry[1]}".split(".")
                yield from ((".".join(parts[:length]), number) for length in range(1, len(parts) + 1))


def _made(
    make: Callable[..., DataLaw], called: str, given: Mapping[str, Any], keys: Mapping[str, bool], file: _File, table: str
) -> DataLaw:
    """The law, or one line that says where in the file what is wrong with it stands."""
    allowed = [*keys, *([] if table else WRAPPERS)]
    for key in given:
        require(key in allowed, key, f"one of {', '.join(allowed)} for a {called}, in {file.place(key, table)}", key)
    for key in (key for key, needed in keys.items() if needed):
        require(key in given, key, f"given for a {called}, in {file.place(table or 'law')}", None)
    try:
        return make(**given)
    except (ValueError, TypeError) as error:
        named = str(error).split(" ", 1)[0].split("[")[0]
        raise ValueError(f"{error}, in {file.place(named, table)}") from error


def _by_group(value: Any, place: str) -> Any:
    """A table whose keys are labels or groups, as in "1,-1", with these as integers; any other value as it is."""
    if not isinstance(value, Mapping):
        return value
    try:
        return {tuple(int(word) for word in group.split(",")): entry for group, entry in value.items()}
    except ValueError:
        allowed = f'by label or group, such as 1 or "1,-1", in {place}'
        raise ValueError(f"rate must be {allowed}; got {', '.join(value)}") from None

"""What records of theory against training say, as plain numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ntk_shortcuts.experiments.comparison.statistics import PREDICTIONS, PowerLaw, agreement, fit_power_law
from ntk_shortcuts.validation import require


def summarize(records: Sequence[dict]) -> dict[str, Any]:
    """Agreement, seconds, exponents and misses, as plain values.

    Records of several data sets make `agreement` (see :func:`ntk_shortcuts.experiments.comparison.agreement`; of laws each
    shortcut or group counts), `seconds` (in all), `time_ratio` (training over each prediction) and `misses`; records of one
    data set make `exponents`.

    Raises:
        ValueError: no record of several data sets.
    """
    table = table_of(records)
    found = {name: agreement(table, name)._asdict() for name in PREDICTIONS}
    several = [r for r in records if _has_several(r)]
    seconds = {name: sum(r["seconds"][name] for r in several) for name in ("train", *PREDICTIONS)}
    return {
        "configurations": len(several),
        "networks": sum(r["parameters"]["num_datasets"] * r["parameters"]["num_inits"] for r in records),
        "agreement": found,
        "seconds": seconds,
        "time_ratio": {name: seconds["train"] / seconds[name] for name in PREDICTIONS},
        "exponents": [
            {"depth": depth, "time": time, "gap": gap, **law._asdict()} for depth, time, gap, law in width_exponents(records)
        ],
        "misses": misses(table),
    }


def misses(records: Iterable[dict]) -> list[dict[str, Any]]:
    """Points of gap above 0.02 from `own_init` with its standard error, |z| above 3 from `expected`, or beyond max(0.05, 3.5
    standard errors) from `averaged`."""
    found = []
    for r in records:
        for i, t in enumerate(r["times"]):
            gap = r["ensemble_gap"][i]
            if abs(gap) > 0.02:
                found.append(_miss(r, t, "own_init", gap, gap / r["ensemble_gap_error"][i]))
            gap, z = r["trained"][i] - r["expected"][i], r["expected_z"][i]
            if abs(z) > 3:
                found.append(_miss(r, t, "expected", gap, z))
            if "averaged" in r:
                gap, z = r["trained"][i] - r["averaged"][i], r["averaged_z"][i]
                if abs(gap) > 0.05 and abs(z) > 3.5:
                    found.append(_miss(r, t, "averaged", gap, z))
    return found


def _miss(record: dict, time: float, prediction: str, gap: float, z: float) -> dict[str, Any]:
    return {"name": record["name"], "time": time, "prediction": prediction, "gap": gap, "z": z}


def width_exponents(records: Sequence[dict]) -> list[tuple[int, float, str, PowerLaw]]:
    """Fitted power laws (depth, time, gap, law) over records of one data set that differ in width.

    The gaps: "outputs, one network", "outputs, ensemble mean", "bias, one network", "bias, ensemble mean".
    """
    found = []
    for depth, rows in studies_of(records).items():
        if len({r["parameters"]["width"] for r in rows}) < 3:
            continue
        widths = [r["parameters"]["width"] for r in rows]
        for i, time in enumerate(rows[0]["times"]):
            for gap, (squares, errors) in squared_gaps(rows, i).items():
                found.append((depth, time, gap, fit_power_law(widths, squares, errors)))
    return found


def squared_gaps(rows: Sequence[dict], i: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Squared gaps at the i-th time with their standard errors."""

    def column(name: str) -> np.ndarray:
        return np.array([r[name][i] for r in rows], float)

    inits = np.array([r["parameters"]["num_inits"] for r in rows])
    gap, error, single = column("ensemble_gap"), column("ensemble_gap_error"), column("single_gap")
    return {
        "outputs, one network": (column("single_output_gap"), column("single_output_gap_error")),
        "outputs, ensemble mean": (column("ensemble_output_gap"), column("ensemble_output_gap_error")),
        # The error of a mean square of about Gaussian differences.
        "bias, one network": (single**2, single**2 * np.sqrt(2 / inits)),
        # Without the noise's own square; a square of g +- e has variance 4 g^2 e^2 + 2 e^4.
        "bias, ensemble mean": (gap**2 - error**2, np.sqrt(4 * gap**2 * error**2 + 2 * error**4)),
    }


def table_of(records: Iterable[dict]) -> list[dict]:
    """Records of several data sets; one of a law is a row for each shortcut or group."""
    table = [row for r in records if _has_several(r) for row in _by_entry(r)]
    require(len(table) > 0, "records", "at least one of several data sets", len(table))
    return table


def _has_several(record: dict) -> bool:
    return record["parameters"]["num_datasets"] > 1


def _by_entry(record: dict) -> list[dict]:
    """A record of a law as one for each of its entries."""
    entries = record.get("entries")
    if entries is None:
        return [record]
    by_entry = [name for name, values in record.items() if isinstance(values, list) and np.ndim(values) == 2]
    return [
        {**record, "name": f"{record['name']}: {entry}", **{name: [at[i] for at in record[name]] for name in by_entry}}
        for i, entry in enumerate(entries)
    ]


def studies_of(records: Iterable[dict]) -> dict[int, list[dict]]:
    """Records of one data set by depth, widths ascending."""
    rows = [r for r in records if r["parameters"]["num_datasets"] == 1]
    rows = sorted(rows, key=lambda r: (r["parameters"]["depth"], r["parameters"]["width"]))
    return {d: [r for r in rows if r["parameters"]["depth"] == d] for d in sorted({r["parameters"]["depth"] for r in rows})}

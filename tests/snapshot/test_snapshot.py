"""Every public entry gives the numbers of the snapshot: 1e-9 of the largest (flows 1e-6), or what arithmetic leaves open."""

import json
import pathlib

import numpy as np
import pytest

from snapshot.entries import ENTRIES, QUICK, evaluate

EPS = np.finfo(np.float64).eps
SNAPSHOT = json.loads(pathlib.Path(__file__).with_name("snapshot.json").read_text())


def test_every_entry_is_in_the_snapshot():
    assert set(SNAPSHOT) == set(ENTRIES) and len(ENTRIES) >= 190


def largest_difference(name, found):
    """Largest difference of an entry in units of what is allowed, and where."""
    relative = 1e-6 if "flow," in name or "laziness" in name or "motion" in name else 1e-9
    expected, noise = SNAPSHOT[name]["values"], SNAPSHOT[name]["noise"]
    assert set(found) >= set(expected), sorted(set(expected) - set(found))
    worst = (0.0, "")
    for key, value in expected.items():
        value, got = np.asarray(value, float), found[key]
        assert value.shape == got.shape, (key, value.shape, got.shape)
        same = (value == got) | (np.isnan(value) & np.isnan(got))
        if same.all():
            continue
        size = np.max(np.abs(value[np.isfinite(value)]), initial=0.0)
        if "discretization_error" in key or key.startswith("slope "):
            size = 1.0  # a difference of biases, and the slope of a bias at its maximum
        # Two compilations of the same code differ by the noise; a third may differ by a few times as much.
        allowed = max(relative * size, 4 * noise[key])
        if "condition_number" in key:  # the smallest eigenvalue is known to some roundings of the largest
            allowed = max(allowed, 64 * EPS * size**2)
        if "mass_dropped" in key or "kernel_error" in key:  # relative to 1
            allowed = max(allowed, 16 * EPS)
        if key == "single":
            allowed = max(allowed, np.finfo(np.float32).eps * size)
        worst = max(worst, (float(np.max(np.where(same, 0, np.abs(value - got)))) / allowed, key))
    return worst


# Take a minute where the machine is busy, or are all there is of their kind.
IN_CI = ("population, nested twice, linear", "stax, population", "stax, dataset_averaged")


def _marked(name):
    slow = [pytest.mark.slow, pytest.mark.branches] if name in IN_CI else [] if name in QUICK else [pytest.mark.slow]
    return pytest.param(name, marks=[*slow, *([pytest.mark.peers] if name.startswith("stax") else [])])


@pytest.mark.parametrize("name", [_marked(name) for name in ENTRIES])
def test_entry_is_unchanged(name):
    ratio, where = largest_difference(name, evaluate(name))
    assert ratio <= 1, f"{where}: {ratio:.3g} times what is allowed"


def test_a_shifted_number_is_seen():
    name = "population, plain, relu 1"
    found = {key: np.asarray(value, float) for key, value in SNAPSHOT[name]["values"].items()}
    found["bias"] = found["bias"] * (1 + 1e-7)
    assert largest_difference(name, found)[0] > 1

"""Infinite-width kernels of `ntk_shortcuts` against frozen high-precision values (see README.md here)."""

import json
import math
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

import ntk_shortcuts as ns

RECORDS = json.loads(Path(__file__).with_name("kernel_references.json").read_text(encoding="utf-8"))
CLOSED_FORM = ("linear", "relu", "leaky_relu", "erf")
RTOL_CLOSED_FORM = 1e-10  # two routes to the same closed form, float64
RTOL_QUADRATURE = 1e-8  # quadrature at default settings
ATOL = 1e-14  # in units of the kernel's own size, where a value vanishes or cancels
GROUP_FIELDS = ("activation", "depth", "weight_variance", "bias_variance", "parameterization", "width")


def group_key(record):
    return tuple(record[field] for field in GROUP_FIELDS)


def sort_key(record):
    return tuple(str(field) for field in group_key(record))


GROUPS = [list(group) for _, group in groupby(sorted(RECORDS, key=sort_key), key=group_key)]


def group_name(group):
    return "-".join(str(field) for field in group_key(group[0]) if field is not None)


# Depth, weight and bias variance of what the other groups of an activation cover together
# (`test_references_cover_what_they_claim`); each depth and number of pairs compiles a program of its own.
REPEATED = {
    "closed form": {(1, 1.0, 0.0), (2, 1.0, 0.0), (3, 2.3, 0.7), (5, 2.0, 0.0)},
    "quadrature": {(1, 2.3, 0.7), (2, 1.5, 0.1)},
}


def is_repeated(group):
    record = group[0]
    if record["activation"] == "linear":
        return False
    kind = "closed form" if record["activation"] in CLOSED_FORM else "quadrature"
    return (record["depth"], record["weight_variance"], record["bias_variance"]) in REPEATED[kind]


def make_network(record):
    fields = {field: record[field] for field in GROUP_FIELDS if record[field] is not None}
    return ns.MLP(**fields)


def kernel_scale(record):
    """Size of the kernel's terms: product of input norms / d * weight variance + bias variance."""
    norms = math.hypot(*record["x1"]) * math.hypot(*record["x2"])
    return norms / record["input_dim"] * record["weight_variance"] + record["bias_variance"]


def ntk_scale(record):
    """As `kernel_scale`, with the factor that standard layers gain over the NTK parameterization."""
    if record["parameterization"] == "ntk":
        return kernel_scale(record)
    fan_in = max(record["input_dim"], record["width"])
    return kernel_scale(record) * fan_in / record["weight_variance"]


def describe_failures(records, name, ours, rtol, scales):
    """One line for each record whose value is outside the tolerance."""
    lines = []
    for record, value, scale in zip(records, ours, scales, strict=True):
        reference = float(record[name])
        error, allowed = abs(value - reference), rtol * abs(reference) + ATOL * scale
        if not error <= allowed:  # catches NaN too
            lines.append(
                f"{name} of pair {record['pair']!r} ({record['kind']}): got {value!r}, "
                f"expected {record[name]}, error {error:.2e}, allowed {allowed:.2e}"
            )
    return lines


@pytest.mark.parametrize(
    "group", [pytest.param(g, id=group_name(g), marks=[pytest.mark.slow] if is_repeated(g) else []) for g in GROUPS]
)
def test_kernels_match_high_precision_references(group):
    network = make_network(group[0])
    rtol = RTOL_CLOSED_FORM if group[0]["activation"] in CLOSED_FORM else RTOL_QUADRATURE
    failures = []
    for input_dim in sorted({record["input_dim"] for record in group}):
        records = [record for record in group if record["input_dim"] == input_dim]
        x1 = np.array([record["x1"] for record in records], dtype=np.float64)
        x2 = np.array([record["x2"] for record in records], dtype=np.float64)
        kernels = network.kernels(x1, x2)
        nngp, ntk = (np.diagonal(np.asarray(matrix)).tolist() for matrix in (kernels.nngp, kernels.ntk))
        failures += describe_failures(records, "nngp", nngp, rtol, [kernel_scale(r) for r in records])
        failures += describe_failures(records, "ntk", ntk, rtol, [ntk_scale(r) for r in records])
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("groups", [GROUPS, [g for g in GROUPS if not is_repeated(g)]], ids=["all", "quick"])
def test_references_cover_what_they_claim(groups):
    """A reference file that lost its hard cases would let every other test pass."""
    kinds = {"generic", "nearly_parallel", "parallel", "antiparallel", "nearly_antiparallel", "zero"}
    smooth = {"tanh", "gelu", "sigmoid", "silu", "sin", "softplus"}
    records = [record for group in groups for record in group]
    assert {record["activation"] for record in records} == smooth | set(CLOSED_FORM)
    for activation in smooth | set(CLOSED_FORM):
        mine = [record for record in records if record["activation"] == activation]
        assert kinds <= {record["kind"] for record in mine}
        assert {record["depth"] for record in mine} >= {2, 3, 5}
        assert {record["input_dim"] for record in mine} == {2, 5, 100}
        assert {record["parameterization"] for record in mine} == {"ntk", "standard"}
        assert {record["bias_variance"] > 0 for record in mine} == {True, False}

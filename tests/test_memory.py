"""Memory that is left, and kernels that are refused because they do not fit into it."""

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts import memory
from ntk_shortcuts.memory import free_memory
from ntk_shortcuts.networks.gram import gram_within


class Device:
    def __init__(self, **stats):
        self.stats = stats or None

    def memory_stats(self):
        return self.stats


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Files of a machine in place of those of this one, and what writes them."""
    monkeypatch.setattr(memory, "_MACHINE", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)

    def written(name, text):
        (tmp_path / name).write_text(text)

    return written


def test_of_this_machine():
    assert 2**20 < free_memory() < 2**50


def test_of_devices_that_tell():
    first, second = Device(bytes_limit=100, bytes_in_use=30), Device(bytes_limit=100)
    assert free_memory([first]) == 70 and free_memory([first, second]) == 170


def test_of_a_processor_by_whoever_has_least(machine):
    machine("meminfo", "MemTotal: 9 kB\nMemAvailable: 5 kB\n")
    assert free_memory([Device()]) == 5 * 1024
    machine("memory.max", "4096")
    machine("memory.current", "96")
    assert free_memory([Device()]) == 4000
    machine("memory.stat", "anon 7\ninactive_file 50\n")  # files that were read
    assert free_memory([Device()]) == 4050
    machine("memory.current", "5000")
    assert free_memory([Device()]) == 0
    machine("memory.max", "max")
    assert free_memory([Device()]) == 5 * 1024


def test_where_the_machine_does_not_say(machine, monkeypatch):
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}.__getitem__)
    assert free_memory([Device()]) == 4096 * 1000
    monkeypatch.delattr(memory.os, "sysconf")
    assert free_memory([Device()]) == 2**34


@pytest.mark.slow
@pytest.mark.branches
def test_kernels_larger_than_memory_are_refused_with_sizes_and_a_way_out(monkeypatch):
    monkeypatch.setattr(memory, "_LITTLE", 0)
    monkeypatch.setattr(memory, "free_memory", lambda devices=None: 2 * 30 * 20 * 8)
    network, x = ns.MLP(1), np.random.default_rng(0).normal(size=(30, 3))
    assert network.kernels(x, x[:20]).ntk.shape == (30, 20)
    said = r"points must be so few that their kernels, 30 x 30, fit into memory: 0.0 GiB, of which 0.0 are free \({}.*got 30"
    with pytest.raises(ValueError, match=said.format("predict_outputs solves")):
        network.kernels(x)
    assert network.kernels(np.float32(x)).ntk.shape == (30, 30)  # of half the size
    with pytest.raises(ValueError, match=said.format('method="dataset" solves')):
        gram_within(network, x)
    with pytest.raises(ValueError, match=said.format("predict_outputs solves")):
        jax.jit(lambda points: network.kernels(points).ntk)(x)
    with pytest.raises(ValueError, match=said.format("outside of JAX")):
        ns.laws.LawKernel(ns.GenerativeModel(), network)(x[:, :2])

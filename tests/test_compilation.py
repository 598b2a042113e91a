"""A process holds so many compiled programs; more are forgotten before the system kills it."""

import io
import sys
import time

import jax
import jax.numpy as jnp
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts import compilation
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.progress import Bar


@pytest.fixture
def crowded(monkeypatch, tmp_path):
    limit = tmp_path / "max_map_count"
    limit.write_text("1")
    monkeypatch.setattr(compilation, "_LIMIT", limit)
    monkeypatch.setattr(compilation, "_EVERY", 1)


def _compile():
    function = jax.jit(lambda x: x + 1)
    function(1.0)
    return function


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.skipif(not compilation._MAPPINGS.exists(), reason="no list of memory mappings")
def test_programs_are_forgotten_where_they_crowd(crowded):
    function = _compile()
    assert function._cache_size() == 1
    assert compilation.make_room() and function._cache_size() == 0
    assert not compilation.make_room()  # nothing new
    assert function(1.0) == 2


def test_and_kept_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(compilation, "_EVERY", 1)
    function = _compile()
    assert not compilation.make_room() and function._cache_size() == 1
    monkeypatch.setattr(compilation, "_MAPPINGS", tmp_path / "none")
    function = _compile()
    assert not compilation.make_room() and function._cache_size() == 1


def test_predictions_make_room_and_stay_the_same(crowded):
    arguments = ns.GenerativeModel(), ns.MLP(0), ns.GradientFlow(3.0)
    options = {"random_init": False, "tolerance": 0.1}
    first = ns.predict_bias(*arguments, **options)
    function = _compile()
    assert ns.predict_bias(*arguments, **options).bias == first.bias
    assert function._cache_size() == 0


class Terminal(io.StringIO):
    def isatty(self):
        return True


WRITTEN, COMPILED = compilation._WRITTEN, compilation._COMPILED


def _told(monkeypatch, terminal, patience, seconds=0.3):
    """What is on standard error after a program that takes so long, inside a call of the package."""
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(compilation, "_PATIENCE", patience)
    monkeypatch.setattr(compilation, "_PAUSE", 0.05)
    monkeypatch.setattr(compilation, "_GLANCE", 0.01)
    time.sleep(0.1)  # longer than the pause: another program
    with compilation.compiling_shown():
        jax.monitoring.record_event_duration_secs(WRITTEN, 0.01)
        time.sleep(seconds)
        jax.monitoring.record_event_duration_secs(COMPILED, seconds)
    assert compilation._programs._glance is None
    return terminal.getvalue()


def test_compiling_is_said_where_it_takes_long(monkeypatch):
    assert "compiling" in _told(monkeypatch, Terminal(), 0.1)
    assert _told(monkeypatch, Terminal(), 10.0) == ""


def test_off_a_terminal_nothing_is_said(monkeypatch):
    assert _told(monkeypatch, io.StringIO(), 0.1) == ""


def test_a_bar_says_it_where_there_is_one(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = Bar("points")
    _told(monkeypatch, terminal, 0.1)
    bar.stop()
    assert "points, compiling" in terminal.getvalue()


def test_what_jax_compiles_is_what_is_said(monkeypatch):
    """JAX's own events: the word comes from a compilation, not from a test's."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(compilation, "_PATIENCE", 0.0)
    monkeypatch.setattr(compilation, "_GLANCE", 0.001)
    in_float64(lambda: jax.jit(lambda x: jnp.linalg.eigh(x @ x.T + jnp.sin(x))[0])(jnp.eye(50)))()
    assert "compiling" in terminal.getvalue()

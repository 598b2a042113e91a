"""A process holds so many compiled programs; more are forgotten before the system kills it."""

import jax
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts import compilation


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

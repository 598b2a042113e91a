"""What one process compiled the next one reads; the cache can be switched off, and is the user's where he chose one."""

import json
import os
import subprocess
import sys

import equinox
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_shortcuts.methods.flow.equation import FlowRules, _on_error, integrate

PROGRAM = """
import json, jax, ntk_shortcuts as ns
found = {"hits": 0, "misses": 0}
def listen(event, **_):
    for name in found:
        found[name] += event == f"/jax/compilation_cache/cache_{name}"
jax.monitoring.register_event_listener(listen)
bias = ns.predict_bias(ns.GenerativeModel(), ns.MLP(0), ns.GradientFlow(3.0)).bias if predicting else 0.0
from ntk_shortcuts.program_cache import kept_programs
cache = kept_programs()
print(json.dumps({**found, "bias": bias, "place": str(cache.place), "size": cache.size, "limit": cache.limit}))
"""


BUSY = """
import json, warnings, filelock, jax
from ntk_shortcuts.program_cache import kept_programs
held = filelock.FileLock(kept_programs().place / ".lockfile")
patient = filelock.FileLock.acquire
filelock.FileLock.acquire = lambda lock, timeout=None: patient(lock, timeout=0.01)
def said(number):
    with warnings.catch_warnings(record=True) as found:
        if number:
            warnings.simplefilter("always")
        with held:
            jax.jit(lambda x: x + number)(1.0)
    return [str(warning.message) for warning in found]
print(json.dumps([said(0), said(1)]))
"""


def run(tmp_path, program, **variables):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NTK_", "JAX_"))}
    environment = {**kept, "XDG_CACHE_HOME": str(tmp_path), **variables}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def cache_of(tmp_path, predicting=False, **variables):
    """What a process has of the cache, and has found in it."""
    return run(tmp_path, f"predicting = {predicting}{PROGRAM}", **variables)


@pytest.mark.slow
@pytest.mark.branches
def test_the_second_process_reads_what_the_first_compiled(tmp_path):
    first, second = (cache_of(tmp_path, True, NTK_SHORTCUTS_CACHE=str(tmp_path / "mine")) for _ in range(2))
    assert first["bias"] == second["bias"]
    assert first["place"].startswith(str(tmp_path / "mine")) and 0 < first["size"] < first["limit"]
    assert first["misses"] > second["misses"] and second["hits"] > first["hits"]
    assert not (tmp_path / "ntk_shortcuts").exists()


@pytest.mark.parametrize("variables", [{"NTK_SHORTCUTS_CACHE": "off"}, {"NTK_SHORTCUTS_CACHE": "/dev/null/nowhere"}])
def test_without_a_place_nothing_is_kept(tmp_path, variables):
    found = cache_of(tmp_path, **variables)
    assert (found["place"], found["size"], found["hits"]) == ("None", 0, 0)
    assert not list(tmp_path.rglob("*-cache"))


def test_a_place_of_jax_stays(tmp_path):
    assert cache_of(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "theirs"))["place"] == str(tmp_path / "theirs")


def test_waiting_for_the_lock_in_vain_is_no_warning(tmp_path):
    silenced, heard = run(tmp_path, BUSY)
    assert silenced == [] and any("The file lock" in warning for warning in heard)


def test_flows_call_nothing_in_python():
    """A program that does is not kept. What the network itself checks stays a check."""
    rules, before = FlowRules(0.0, 1e-4, "squared", False, False, 100, "float32"), equinox._errors.EQX_ON_ERROR
    state, times = {"w": jnp.ones(3, jnp.float32)}, jnp.array([1.0, 2.0])

    def flow(times, velocity=lambda _, p: jax.tree.map(jnp.negative, p)):
        return integrate(state, velocity, lambda p: p["w"], times, rules)

    def checked(time, p):
        return {"w": -equinox.error_if(p["w"], jnp.any(p["w"] < 0.5), "below one half")}

    assert "callback" not in str(jax.make_jaxpr(flow)(times))
    seen, last, _ = flow(times)
    assert last == 2.0 and np.allclose(seen, np.exp([[-1.0], [-2.0]]), atol=1e-3)
    with pytest.raises(Exception, match="below one half"):
        jax.block_until_ready(equinox.filter_jit(flow)(times, checked))
    assert equinox._errors.EQX_ON_ERROR == before == "raise"


def test_another_equinox_without_that_switch_is_left_alone(monkeypatch):
    monkeypatch.delattr(equinox._errors, "EQX_ON_ERROR")
    with _on_error("off") as before:
        assert before is None and not hasattr(equinox._errors, "EQX_ON_ERROR")

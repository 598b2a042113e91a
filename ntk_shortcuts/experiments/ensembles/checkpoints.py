"""States of a run on disk, so that one that was killed goes on from there."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ntk_shortcuts.experiments.ensembles.steps import State
from ntk_shortcuts.numerics import without_key_type


class Record(eqx.Module):
    """What is kept of a group of networks, as NumPy arrays, members first."""

    outputs: Any
    initial_outputs: Any
    initial_train_outputs: Any
    train_loss: Any
    validation_accuracy: Any
    params: Any


class Store:
    """States and records of a run in a directory, one file per group of members; without a directory, nothing."""

    def __init__(self, path: str | os.PathLike | None, mark: str):
        self.path = None if path is None else Path(path)
        if self.path is None:
            return
        file = self.path / "run.txt"
        _require(self.path.is_dir() or not self.path.exists(), f"{self.path}, a file")
        self.path.mkdir(parents=True, exist_ok=True)
        if file.exists():
            _require(file.read_text(errors="replace") == mark, f"{self.path}, of another run")
        else:
            _require(not any(self.path.iterdir()), f"{self.path}, with files of another kind")
            file.write_text(mark)

    def save(self, name: int, done: int, states: State, record: Record) -> None:
        if self.path is None:
            return
        target = self._target(name)
        partial = target.with_suffix(".partial")
        state = dataclasses.replace(states, key=jax.random.key_data(states.key))
        # The parameters and f_0 are in the state already.
        kept = dataclasses.replace(record, params=None, initial_train_outputs=None)
        eqx.tree_serialise_leaves(partial, (np.asarray(done), state, kept))
        os.replace(partial, target)

    def load(self, name: int, states: State, record: Record) -> tuple[int, State, Record]:
        """Steps done, and what they left; where there is no file, what was passed."""
        if self.path is None or not self._target(name).exists():
            return 0, states, record
        target = self._target(name)
        plain = dataclasses.replace(states, key=jax.random.key_data(states.key))
        try:
            # Arrays one after another, without pickle.
            done, loaded, record = eqx.tree_deserialise_leaves(target, (np.asarray(0), plain, record))
        except Exception as error:
            reason = f"{target} ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no more to read'})"
            raise ValueError(
                f"checkpoint must hold what this run wrote (delete the file to train again); got {reason}"
            ) from error
        # Functions are known by their names only: that they are the same shows in what they compute.
        found, fresh = np.asarray(loaded.initial), np.asarray(states.initial)
        same = np.allclose(found, fresh, rtol=0, atol=1e-3 * np.abs(fresh).max())
        _require(same, f"{target}, of other networks")
        loaded = dataclasses.replace(loaded, key=jax.random.wrap_key_data(loaded.key, impl=jax.random.key_impl(states.key)))
        sharded = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), loaded, states)
        return int(done), sharded, record

    def _target(self, name: int) -> Path:
        assert self.path is not None
        return self.path / f"members-{name:06d}.eqx"


def _require(condition: bool, got: str) -> None:
    if not condition:
        raise ValueError(f"checkpoint must be a new directory, or that of the same run; got {got}")


def fingerprint(*parts: Any) -> str:
    """A hash of everything that the numbers depend on.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> fingerprint(MLP(1, width=8)) == fingerprint(MLP(1, width=8)), fingerprint(MLP(1)) == fingerprint(MLP(1, "tanh"))
        (True, False)
    """
    return hashlib.sha256(repr(_described((jax.__version__, *parts))).encode()).hexdigest()


def _described(value: Any) -> Any:
    """A value by its numbers and names, the same in every process: no addresses of functions."""
    value = without_key_type(value)
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        array = np.asarray(value)
        array = array.astype(np.float64) if array.dtype.kind == "f" else array
        return array.shape, array.dtype.kind, hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    if isinstance(value, eqx.Module):
        fields = [(field.name, _described(getattr(value, field.name))) for field in dataclasses.fields(value)]
        return type(value).__qualname__, fields
    if isinstance(value, tuple | list):
        return [_described(entry) for entry in value]
    if isinstance(value, functools.partial):
        return _described((value.func, value.args, sorted(value.keywords.items())))
    return _name(value) if callable(value) else repr(value)


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))

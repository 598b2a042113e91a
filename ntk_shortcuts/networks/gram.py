"""Kernels between samples, evaluated once: from then on a sample is a number, and its kernels a lookup."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.memory import require_room
from ntk_shortcuts.networks.base import KernelFacts, Network
from ntk_shortcuts.networks.inputs import Inputs
from ntk_shortcuts.numerics import is_traced
from ntk_shortcuts.progress import steps
from ntk_shortcuts.typing import AnyArray, Float
from ntk_shortcuts.validation import require

# Entries of a block of kernels; blocks of images are smaller (side), as their networks hold every pair of positions.
_BLOCK = 2**22
_IMAGE_SIDE = 64
# Grams that stay in memory for further predictions, in bytes.
_KEPT = 2**30
_WAY_OUT = 'method="dataset" solves large pools in blocks where no cache is given; pool.split and pool.take give a part'
# Samples from which on kernels are evaluated where they are asked for: a gram of more would take 2 GiB.
_MOST = 12_000


class Gram(NamedTuple):
    """Kernels between P nodes and n test points.

    - `ntk`, `nngp` (P, P); `ntk_cross`, `nngp_cross` (n, P); `nngp_own` (n,): of each test point with itself.
    """

    ntk: Float[np.ndarray, "P P"]
    nngp: Float[np.ndarray, "P P"]
    ntk_cross: Float[np.ndarray, "n P"]
    nngp_cross: Float[np.ndarray, "n P"]
    nngp_own: Float[np.ndarray, "n"]


class Numbered(Inputs):
    """Samples by number, (n, 1)."""

    numbers: Float[AnyArray, "n 1"]

    @property
    def input_dim(self) -> int:
        require(False, "points", "looked up", "their dimension asked for")
        raise AssertionError

    def scaled(self) -> None:
        return None

    def moments(self, other: Any) -> Any:
        require(False, "points", "looked up", "their inner products asked for")

    def vectors(self, key: Any) -> Any:
        require(False, "points", "looked up", "their inputs asked for")


class GramNetwork(Network):
    """A network by its kernels between numbered samples: of any sample with one of the P, and of each with itself."""

    gram: Gram
    known: KernelFacts = eqx.field(static=True)

    def __init__(self, gram: Gram, facts: KernelFacts):
        self.gram = gram
        self.known = KernelFacts(even=facts.even, linear=facts.linear)

    @property
    def facts(self) -> KernelFacts:
        return self.known

    def kernels(self, x1: Any, x2: Any = None) -> Kernels:
        rows, columns = (_numbers(x) for x in (x1, x1 if x2 is None else x2))
        gram, count = self.gram, len(self.gram.ntk)
        if not is_traced(rows, columns):
            rows, columns = np.asarray(rows), np.asarray(columns)
            if np.array_equal(rows, np.arange(count)) and np.array_equal(columns, rows):
                return Kernels(jnp.asarray(gram.nngp), jnp.asarray(gram.ntk))
        own = rows[:, None] == columns[None, :]
        inside = jnp.clip(columns, 0, count - 1)

        def looked_up(train: Any, cross: Any, diagonal: Any) -> jax.Array:
            train, cross = jnp.asarray(train), jnp.asarray(cross)
            known = train[jnp.clip(rows, 0, count - 1)][:, inside]
            there = cross[jnp.clip(rows - count, 0, len(cross) - 1)][:, inside]
            values = jnp.where((rows < count)[:, None], known, there)
            if diagonal is None:
                return values
            itself = jnp.asarray(diagonal)[jnp.clip(rows - count, 0, len(cross) - 1)]
            return jnp.where(own & (rows >= count)[:, None], itself[:, None], values)

        return Kernels(
            looked_up(gram.nngp, gram.nngp_cross, gram.nngp_own), looked_up(gram.ntk, gram.ntk_cross, None), jnp.asarray(0.0)
        )


class SampleNetwork(Network):
    """A network between numbered samples whose kernels are evaluated anew where they are asked for; of inputs as rows."""

    network: Network
    rows: Float[AnyArray, "samples d"]

    @property
    def facts(self) -> KernelFacts:
        return KernelFacts(even=self.network.facts.even, linear=self.network.facts.linear)

    def kernels(self, x1: Any, x2: Any = None) -> Kernels:
        rows = jnp.asarray(self.rows)
        first = rows[_numbers(x1)]
        return self.network.kernels(first, None if x2 is None else rows[_numbers(x2)])


def numbered_network(
    network: Network,
    inputs: Float[np.ndarray, "P ..."],
    test: Float[np.ndarray, "n ..."],
    cache: str | os.PathLike | None = None,
) -> Network:
    """A network between the numbered samples of a pool and a test pool: a lookup, or above 12,000 samples, and without a folder
    to keep them in, of kernels evaluated where they are asked for."""
    if cache is not None or len(inputs) <= _MOST:
        return GramNetwork(gram_between(network, inputs, test, cache), network.facts)
    rows = np.concatenate([inputs, test]).reshape(-1, inputs[0].size)
    return SampleNetwork(network.on_images(inputs.shape[1:]), rows)


def _numbers(points: Any) -> Any:
    points = points.numbers if isinstance(points, Numbered) else points
    return jnp.asarray(points)[:, 0].astype(int)


def gram_between(
    network: Network,
    inputs: Float[np.ndarray, "P ..."],
    test: Float[np.ndarray, "n ..."],
    cache: str | os.PathLike | None = None,
) -> Gram:
    """All kernels that predictions on a pool need, block by block; the last ones asked for are kept.

    Args:
        inputs: (P, d), or images (P, h, w, c), which become rows for a network of vectors.
        cache: a folder in which every block is kept as it is made, under a name made from the inputs and the kernels of some of
            them, so that an interrupted evaluation goes on where it was and the next process finds it.

    Raises:
        ValueError: more samples than there is memory for, with the sizes.
    """
    rows, tested = (x.reshape(len(x), inputs[0].size) for x in (inputs, test))
    network = network.on_images(inputs.shape[1:])
    name = _name(network, rows, tested)
    if name not in _recent:
        folder = None if cache is None else Path(cache) / name
        _keep(name, _evaluated(network, rows, tested, inputs.ndim > 2, folder))
    _recent.move_to_end(name)
    return _recent[name]


def gram_within(network: Network, inputs: Float[np.ndarray, "P ..."], cache: str | os.PathLike | None = None) -> Gram:
    """The kernels of a pool's samples alone, for what asks nothing of test points."""
    return gram_between(network, inputs, inputs[:0], cache)


_recent: OrderedDict[str, Gram] = OrderedDict()


def _keep(name: str, gram: Gram) -> None:
    _recent[name] = gram
    while len(_recent) > 1 and sum(part.nbytes for kept in _recent.values() for part in kept) > _KEPT:
        _recent.popitem(last=False)


def _name(network: Network, rows: np.ndarray, tested: np.ndarray) -> str:
    """Of the inputs, and of a network by what it makes of some of them: all networks have kernels, few have a name."""
    some = rows[np.linspace(0, len(rows) - 1, min(3, len(rows))).astype(int)]
    found = network.kernels(jnp.asarray(some))
    digest = hashlib.blake2b(digest_size=16)
    for part in (rows, tested, *(np.float32(np.asarray(kernel)) for kernel in (found.nngp, found.ntk))):
        digest.update(str(part.shape).encode() + np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _evaluated(network: Network, rows: np.ndarray, tested: np.ndarray, images: bool, folder: Path | None) -> Gram:
    count, everything = len(rows), np.concatenate([rows, tested])
    require_room(len(everything), count, _WAY_OUT)
    side = _IMAGE_SIDE if images and not network.facts.of_inner_products else max(1, _BLOCK // count)
    width = side if side == _IMAGE_SIDE else count
    nngp, ntk = np.empty((len(everything), count)), np.empty((len(everything), count))
    corners = [(start, left) for start in range(0, len(everything), side) for left in range(0, count, width)]
    # Of two blocks of the pool that mirror each other one is evaluated.
    corners = [(start, left) for start, left in corners if left <= start or start + side > count]
    for start, left in steps(corners, f"kernels between {len(everything)} and {count} samples"):
        block = everything[start : start + side], rows[left : left + width]
        found = _kept(folder, f"{start}-{left}", lambda block=block: _kernels(network, *block))
        for whole, part in zip((nngp, ntk), found, strict=True):
            whole[start : start + side, left : left + width] = part
            if width < count and left < start < count:
                within = min(start + side, count) - start
                whole[left : left + width, start : start + within] = part[:within].T
    parts = np.array_split(tested, len(tested) // 16 or 1) if len(tested) else []
    own = np.concatenate([np.empty(0), *(np.diag(_kernels(network, part, part)[0]) for part in parts)])
    return Gram(ntk[:count], nngp[:count], ntk[count:], nngp[count:], own)


def _kernels(network: Network, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    found = network.kernels(jnp.asarray(rows), jnp.asarray(columns))
    return np.stack([np.asarray(found.nngp, float), np.asarray(found.ntk, float)])


def _kept(folder: Path | None, name: str, evaluate: Callable[[], np.ndarray]) -> np.ndarray:
    """An array from its file, or made and put there, whole or not at all."""
    if folder is None:
        return evaluate()
    path = folder / f"{name}.npy"
    if path.exists():
        return np.load(path)
    found = evaluate()
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as file:
        np.save(file, found)
    partial.replace(path)
    return found

"""Networks of ours from `neural_tangents.stax` architectures: infinitely wide, and of finite width where they can be drawn."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.networks.base import FiniteNetwork
from ntk_shortcuts.networks.inputs import two_inputs
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.typing import AnyArray, Array, Float, Key, Num
from ntk_shortcuts.validation import as_points, require, require_finite, require_integer, required


class StaxNetwork(FiniteNetwork):
    """A network given by a neural-tangents `kernel_fn`, and its finite ones by `init_fn` and `apply_fn`: see :func:`from_stax`.

    It stands wherever an infinite `MLP` does. Points of a data law are embedded in R^d by one draw, with the network's `key`,
    of the law's embedding, the features' directions orthogonal. A dense network's kernels depend on inner products alone,
    which are then those of d -> infinity (with nesting up to O(1/sqrt(d))); any other network's depend on the draw. With
    `init_fn` and `apply_fn` it can be trained as well.
    """

    sources: ClassVar[tuple[str, ...]] = ("jacot2018neural", "novak2020neural")

    kernel_fn: Callable[..., Any] = eqx.field(static=True)
    input_shape: tuple[int, ...] | None = eqx.field(static=True)
    key: Key
    init_fn: Callable[..., Any] | None = eqx.field(static=True, default=None)
    apply_fn: Callable[..., Any] | None = eqx.field(static=True, default=None)

    def on_images(self, shape: tuple[int, ...]) -> StaxNetwork:
        """Images as they come, where no input_shape was given."""
        if self.input_shape is not None or len(shape) == 1:
            return self
        return dataclasses.replace(self, input_shape=tuple(shape))

    @in_float64
    def kernels(self, x1: Any, x2: Any = None) -> Kernels:
        """NNGP and NTK, each (n1, n2), between inputs (n1, d) and (n2, d); x2=None means x1.

        Images (n, h, w, c) are taken as they are; vectors become (n, *input_shape) where an input shape was given. float32
        inputs are computed in float32, all others in float64. `quadrature_error` is 0: neural-tangents gives no bound.

        Raises:
            ValueError: inputs that do not fit input_shape; kernels that are missing, not (n1, n2), or not
                finite.
        """
        if np.ndim(x1) > 2:
            rows = [None if x is None else jnp.reshape(jnp.asarray(x), (len(x), -1)) for x in (x1, x2)]
            return self.on_images(np.shape(x1)[1:]).kernels(*rows)
        first, second = two_inputs(x1, x2)
        x1 = first.vectors(self.key)
        x2 = None if second is None else second.vectors(self.key).astype(x1.dtype)
        images1 = self._as_images("x1", x1)
        images2 = None if x2 is None else self._as_images("x2", x2)
        with _lenient():
            result = self.kernel_fn(images1, images2, get=("nngp", "ntk"))
        shape = (x1.shape[0], x1.shape[0] if x2 is None else x2.shape[0])
        nngp, ntk = (_checked(name, getattr(result, name, None), shape, x1.dtype) for name in ("nngp", "ntk"))
        return Kernels(nngp=nngp, ntk=ntk)

    @property
    def is_finite(self) -> bool:
        """Whether it can be drawn: made with `init_fn` and `apply_fn`."""
        return self.init_fn is not None and self.apply_fn is not None

    def require_finite(self, allowed: str) -> None:
        """Refuse a network made without `init_fn` and `apply_fn`, which say its widths."""
        self._functions()

    def init(self, key: Key, input_dim: int, dtype: Any = None) -> Any:
        """Draw parameters, as `init_fn` arranges them.

        Args:
            dtype: by default JAX's current default float.

        Raises:
            ValueError: a network made without `init_fn` and `apply_fn`; input_dim that is not the product of input_shape.
        """
        init_fn, _ = self._functions()
        require_integer("input_dim", input_dim, 1)
        shape = self.input_shape or (input_dim,)
        allowed = f"{math.prod(shape)}, the product of input_shape={self.input_shape}"
        require(input_dim == math.prod(shape), "input_dim", allowed, input_dim)
        dtype = jnp.result_type(float) if dtype is None else jnp.dtype(dtype)
        with _lenient():
            _, params = init_fn(key, (1, *shape))
        return jax.tree.map(lambda leaf: leaf.astype(dtype), params)

    def apply(self, params: Any, x: Num[AnyArray, "n d"]) -> Float[Array, "n"]:
        """Outputs (n,) at inputs (n, d), in the parameters' dtype.

        Raises:
            ValueError: a network made without `init_fn` and `apply_fn`; inputs that do not fit input_shape; an `apply_fn` whose
                outputs are not (n, 1).
        """
        _, apply_fn = self._functions()
        points = as_points("x", x)
        leaves = jax.tree.leaves(params)
        images = self._as_images("x", points.astype(jnp.result_type(*leaves)) if leaves else points)
        # Stax's own factors are of the session's precision; a second convolution refuses what they make of float32.
        with _lenient(), jax.enable_x64(images.dtype == jnp.float64):
            outputs = apply_fn(params, images)
        shape = (points.shape[0], 1)
        allowed = f"a function to outputs of shape (n, 1) = {shape}, with Dense(1) as the last layer"
        require(outputs.shape == shape, "apply_fn", allowed, f"shape {outputs.shape}")
        return outputs[:, 0].astype(images.dtype)

    def _functions(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """`init_fn` and `apply_fn`, where both are given."""
        allowed = "given to draw and train the network: from_stax(kernel_fn, init_fn=init_fn, apply_fn=apply_fn)"
        if self.init_fn is None or self.apply_fn is None:
            return required(None, "init_fn and apply_fn", allowed, (self.init_fn, self.apply_fn))
        return self.init_fn, self.apply_fn

    def _as_images(self, name: str, points: jax.Array) -> jax.Array:
        if self.input_shape is None:
            return points
        size = math.prod(self.input_shape)
        allowed = f"of dimension d = {size}, the product of input_shape={self.input_shape}"
        if points.shape[1] != size:
            raise ValueError(f"{name} must be {allowed}; got d = {points.shape[1]}")
        return points.reshape(points.shape[0], *self.input_shape)


@contextlib.contextmanager
def _lenient() -> Iterator[None]:
    """neural-tangents adds integers to floats and vectors to matrices, whatever the session allows itself."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def from_stax(
    kernel_fn: Callable[..., Any],
    input_shape: Sequence[int] | None = None,
    key: Key | None = None,
    *,
    init_fn: Callable[..., Any] | None = None,
    apply_fn: Callable[..., Any] | None = None,
) -> StaxNetwork:
    """A network of ours from what `neural_tangents.stax` gives of an architecture: kernels, and networks of finite width.

    Its conventions are the architecture's own: `stax.Dense(width, W_std, b_std)` has weight_variance =
    W_std^2 and bias_variance = b_std^2, and the readout is a layer like the others. So is its accuracy, which
    near parallel inputs is about the square root of the machine precision.

    Args:
        kernel_fn: the third entry of what `stax.serial(...)` returns, jitted or batched (`nt.batch`) or not.
        input_shape: shape of one input, channels last: (10, 10, 1) for an image; its product must be d. None
            leaves inputs as vectors (d,).
        key: of the embedding of a data law's points; `jax.random.key(0)` by default. It cannot matter for dense networks
            without nesting.
        init_fn: the first entry of what `stax.serial(...)` returns; with `apply_fn` or not at all.
        apply_fn: the second entry. With both of them networks of the
            layers' widths can be drawn and trained (:func:`~ntk_shortcuts.train_ensemble`). In stax's default parameterisation,
            "ntk", they learn as fast as an `MLP` of "ntk" does.

    Raises:
        ValueError: kernel_fn, init_fn or apply_fn is not a function, one of the latter two is missing, or input_shape is not a
            sequence of positive integers.

    Example:
        >>> from ntk_shortcuts.kernels.neural_tangents import load
        >>> stax = load().stax
        >>> init_fn, apply_fn, kernel_fn = stax.serial(stax.Dense(32, 2**0.5), stax.Relu(), stax.Dense(1, 2**0.5))
        >>> network = from_stax(kernel_fn, init_fn=init_fn, apply_fn=apply_fn)
        >>> round(float(network.kernels([[1.0, 0.0]], [[0.0, 2.0]]).nngp[0, 0]), 6)
        0.63662
        >>> network.apply(network.init(jax.random.key(0), 2), jnp.eye(2)).shape
        (2,)
    """
    if not callable(kernel_fn):
        raise ValueError(
            "kernel_fn must be a function, the third entry of stax.serial's (init_fn, apply_fn, kernel_fn); "
            f"got {type(kernel_fn).__name__}"
        )
    if init_fn is not None or apply_fn is not None:
        for name, function in (("init_fn", init_fn), ("apply_fn", apply_fn)):
            allowed = "a function, of stax.serial's (init_fn, apply_fn, kernel_fn) both of the first two or none"
            require(callable(function), name, allowed, function)
    if input_shape is not None:
        allowed = "None or a sequence of positive integers, such as (10, 10, 1)"
        is_sequence = isinstance(input_shape, tuple | list) and len(input_shape) > 0
        require(is_sequence, "input_shape", allowed, input_shape)
        input_shape = tuple(require_integer("input_shape", size, 1, allowed) for size in input_shape)
    return StaxNetwork(kernel_fn, input_shape, jax.random.key(0) if key is None else key, init_fn, apply_fn)


def _checked(name: str, kernel: Any, shape: tuple[int, int], dtype: Any) -> jax.Array:
    label = f"kernel_fn's {name}"
    if kernel is None:
        raise ValueError(f'{label} must be an array: kernel_fn(x1, x2, get=("nngp", "ntk")) returns both; got None')
    if jnp.shape(kernel) != shape:
        raise ValueError(
            f"{label} must be of shape (n1, n2) = {shape}: before the last Dense(1), add GlobalAvgPool() or "
            f"Flatten(); got shape {jnp.shape(kernel)}"
        )
    require_finite(label, kernel)
    return jnp.asarray(kernel, dtype)

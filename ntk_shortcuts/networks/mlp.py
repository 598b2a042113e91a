"""One definition of a fully connected network: its spec, and the kernels of its infinite width.

What it shares with the network that is trained, layers and parameters, is in :mod:`ntk_shortcuts.networks.fully_connected`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.axes import Axis, at, declare_axes
from ntk_shortcuts.kernels.activations.base import Activation
from ntk_shortcuts.kernels.activations.hermite import Quadrature
from ntk_shortcuts.kernels.activations.piecewise_linear import Linear
from ntk_shortcuts.kernels.activations.resolve import ActivationLike, resolve_activation
from ntk_shortcuts.kernels.angular import AngleSeries, AngularKernels, angle_series
from ntk_shortcuts.kernels.between_points import point_kernels, series_kernels, series_of_moments
from ntk_shortcuts.kernels.blocks import NORMALIZATIONS
from ntk_shortcuts.kernels.devices import by_rows
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.kernels.recursion import Kernels, Layers, RepeatedLayers, linear_profiles, mlp_kernels
from ntk_shortcuts.networks.base import KernelFacts, Network
from ntk_shortcuts.networks.fully_connected import INITIALIZATIONS, PARAMETERIZATIONS, FullyConnected
from ntk_shortcuts.networks.inputs import Inputs, two_inputs
from ntk_shortcuts.numerics import compiled, in_float64, is_traced, on_one_device, real_leaf
from ntk_shortcuts.padding import filled, size_of_samples
from ntk_shortcuts.typing import AnyArray, Array, Float, Scalar
from ntk_shortcuts.validation import as_points, require, require_integer, require_values

# For predictions; a kernel by itself reports its error, up to 0.5. Kinks, as in |x|, leave 0.02.
_RESOLVED = 0.05


class MLP(FullyConnected):
    r"""A fully connected network with a scalar linear readout.

    NTK parameterisation: \(z^l=\sqrt{\sigma_w^2/n_{l-1}}\,W^lh^{l-1}+\sigma_bb^l\) with all weights and biases N(0, 1);
    standard: \(z^l=W^lh^{l-1}+b^l\) with variances \(\sigma_w^2/n_{l-1}\) and \(\sigma_b^2\). \(n_l\) is the width of
    layer l, \(n_{-1}=d\). Mean-field, of richness \(\gamma\): \(f=f_\mathrm{NTK}/(\gamma\sqrt n)\), with every weight learning
    \(\gamma^2n\) times as fast: those that are held are \(\gamma\sqrt n\) times smaller, and multiplied by as much in function,
    so that one learning rate serves all. Features move by \(O(\gamma)\) whatever n; \(\gamma=1/\sqrt n\) is the NTK
    parameterisation. Label D15.1.

    Residual: \(z^l=z^{l-1}+b\,D^l\phi(z^{l-1})\) for the hidden layers after the first, D the affine layer; normalised:
    \(\phi(\mathrm{LN}\,z)\) in place of \(\phi(z)\) everywhere, in both parameterisations and with either initialisation.

    Args:
        depth: number of hidden layers L >= 0; 0 is a linear model.
        activation: a registered name (`ntk_shortcuts.kernels.known_activations()`), an `Activation`, or a JAX function of one
            variable (`jax.nn.relu` is "relu"; `jax.nn.gelu` is "gelu_tanh", JAX's approximation, and "gelu" the exact one).
        width: of every hidden layer; None is infinitely wide.
        weight_variance: sigma_w^2 > 0.
        bias_variance: sigma_b^2 >= 0; at 0 the network has no biases.
        parameterization: "ntk", "standard" or "mean_field".
        initialization: "normal", or "torch": weights and biases uniform in +-1/sqrt(fan_in), the default of
            PyTorch's Linear layers, which replaces the two variances and needs parameterization="standard".
            Kernels are those of Gaussian weights of the same variances: of few inputs the first layer's uniform ones leave a
            trace at any width (2 % of an erf network's NTK for 4 inputs, below the 0.3 % that were resolved for 64).
        residual: the factor b >= 0 of the layers added to what was there; None: they replace it.
        normalization: None, or "layer": over the width, without trained gain and offset and without a constant added to the
            variance. Neither changes a network without hidden layers.
        richness: \(\gamma>0\) of the mean-field parameterisation, 1 by default. 0, of infinite width only, is the limit in
            which the kernel is frozen and outputs start at 0; at \(\gamma>0\) that of an infinitely wide network moves, and its
            kernels are refused.

    Raises:
        ValueError: naming the argument, the allowed values and the value got.

    Warns:
        UnresolvedActivationWarning: a function with a kink that is no registered activation
            (:func:`~ntk_shortcuts.kernels.activations.resolve.resolve_activation`).

    Example:
        >>> kernels = MLP(depth=1).kernels([[1.0, 0.0]], [[0.0, 2.0]])
        >>> round(float(kernels.nngp[0, 0]), 6)  # 2 * sqrt(1) * sqrt(4) / (2 pi), twice sigma_w^2 = 2, over d = 2
        0.63662
    """

    depth: int = eqx.field(static=True)
    width: int | None = eqx.field(static=True)
    parameterization: str = eqx.field(static=True)
    initialization: str = eqx.field(static=True)
    activation: Activation
    weight_variance: Scalar
    bias_variance: Scalar
    residual: Scalar | None
    normalization: str | None = eqx.field(static=True)
    richness: Scalar | None
    # Of small richness after that of large width: a frozen kernel without initial outputs. Known where the richness is traced.
    is_lazy_limit: bool = eqx.field(static=True, init=False)

    def __init__(
        self,
        depth: int,
        activation: ActivationLike = "relu",
        width: int | None = None,
        weight_variance: Scalar = 2.0,
        bias_variance: Scalar = 0.0,
        parameterization: str = "ntk",
        initialization: str = "normal",
        residual: Scalar | None = None,
        normalization: str | None = None,
        richness: Scalar | None = None,
    ):
        self.depth = require_integer("depth", depth, 0)
        self.activation = resolve_activation(activation)
        self.width = None if width is None else require_integer("width", width, 1, "None or an integer >= 1")
        require_values("weight_variance", weight_variance, (), "positive and finite", lambda v: (v > 0) & (v < np.inf))
        require_values("bias_variance", bias_variance, (), ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
        require(
            parameterization in PARAMETERIZATIONS,
            "parameterization",
            f"one of {', '.join(PARAMETERIZATIONS)}",
            parameterization,
        )
        require(
            initialization in INITIALIZATIONS,
            "initialization",
            f"one of {', '.join(INITIALIZATIONS)}",
            initialization,
        )
        require(
            initialization != "torch" or parameterization == "standard",
            "parameterization",
            '"standard" with initialization="torch"',
            parameterization,
        )
        if residual is not None:
            require_values("residual", residual, (), "None or >= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
        allowed = f"None or {', '.join(NORMALIZATIONS)}"
        require(normalization is None or normalization in NORMALIZATIONS, "normalization", allowed, normalization)
        several = normalization is None or self.width != 1
        require(several, "width", "None or an integer >= 2 with a normalization over the width", width)
        self.richness = _checked_richness(richness, parameterization, self.depth, self.width)
        known = self.richness is not None and not is_traced(self.richness)
        self.is_lazy_limit = known and self.width is None and not np.any(self.richness)
        self.residual = None if residual is None else real_leaf(residual)
        self.normalization = normalization
        self.weight_variance = real_leaf(weight_variance)
        self.bias_variance = real_leaf(bias_variance)
        self.parameterization = parameterization
        self.initialization = initialization

    @property
    def cited(self) -> tuple[str, ...]:
        used = {
            "he2016deep": self.residual is not None,
            "ba2016layer": self.normalization is not None,
            "chizat2019lazy": self.richness is not None,
            "bordelon2022self": self.richness is not None,
        }
        return (*super().cited, *(source for source, is_used in used.items() if is_used))

    @property
    def facts(self) -> KernelFacts:
        width = self.width if self.depth > 0 else None
        # What is added to a residual block's even output is odd.
        even = self.depth > 0 and not self.has_biases and self.activation.is_even and self.block.residual is None
        return KernelFacts(self.is_homogeneous, even, self.is_linear, True, width, self.is_scale_free)

    @property
    def is_linear(self) -> bool:
        """Whether outputs are affine functions of the inputs."""
        return self.block.normalization is None and (self.depth == 0 or isinstance(self.activation, Linear))

    @property
    def is_homogeneous(self) -> bool:
        """Whether Theta(r x, r' x') = r r' Theta(x, x') for r, r' > 0: no biases, no normalisation, and a piecewise linear
        activation."""
        plain = self.block.normalization is None
        return plain and not self.has_biases and (self.depth == 0 or self.activation.is_homogeneous)

    @property
    def is_scale_free(self) -> bool:
        """Whether Theta(r x, r' x') = Theta(x, x') for r, r' > 0: normalised, without biases, and not residual, where the first
        layer grows with x and what the normalised ones add to it does not."""
        return self.block.normalization is not None and self.block.residual is None and not self.has_biases

    @in_float64
    def kernels(self, x1: Any, x2: Any = None) -> Kernels:
        """NNGP and NTK between inputs (n1, d) and (n2, d); x2=None means x1.

        The Gaussian expectations are those of infinite width; a finite `width` enters through the learning-rate
        factors of the standard parameterisation only. float32 inputs are computed in float32, all others in float64.

        Raises:
            ValueError: shapes that do not fit, NaN or infinite entries.
        """
        first, second = two_inputs(x1, x2)
        return self.kernels_of_layers(first, second, self.layers(first.input_dim))

    def kernels_of_layers(self, first: Inputs, second: Inputs | None, layers: Layers) -> Kernels:
        """The same of other affine layers than the network's own, between which its activation and its block stand."""
        scaled = first.scaled()
        if scaled is None:
            moments = first.moments(first if second is None else second)
            return self._without_initial_outputs(self._from_moments(moments, first.input_dim, layers))
        points, scale = scaled
        others = None
        if second is not None and (seen := second.scaled()) is not None:
            others = seen[0].astype(points.dtype)
        return self._without_initial_outputs(self._between(points, others, scale, first.input_dim, layers))

    def own_traced(self, x: jax.Array) -> Kernels:
        return self.own_of_layers(x, self.layers(x.shape[1]))

    def own_of_layers(self, x: jax.Array, layers: Layers) -> Kernels:
        """Of each input with itself, between other affine layers than the network's own: a recursion of variances alone."""
        moments = PairMoments.diagonal(jnp.sum(x**2, axis=1))
        return self._without_initial_outputs(mlp_kernels(moments, layers, self.activation, x.shape[1], self.block))

    def of_any_depth(self) -> Network:
        if self.depth == 0 or isinstance(self.activation, Linear) or is_traced(self):
            return self
        # The second layer of a network of one is the readout, which joins nothing.
        changes = {"depth": 2} if self.depth > 1 else {"depth": 2, "residual": None}
        return AnyDepth(at(self, changes), jnp.asarray(self.depth - 1), self.facts)

    @in_float64
    def kernels_from_gram(
        self,
        g12: Float[Array, "n1 n2"],
        g11_diag: Float[Array, "n1"],
        g22_diag: Float[Array, "n2"],
        input_dim: int,
    ) -> Kernels:
        """The same from inner products <x, x'> (not divided by d) and squared norms.

        Angles below the square root of the machine precision are not in a Gram matrix: prefer :meth:`kernels`.

        Raises:
            ValueError: shapes that do not fit, NaN, negative squared norms, or |g12| beyond the product of norms.
        """
        g12 = as_points("g12", g12)
        dtype = g12.dtype
        require_integer("input_dim", input_dim, 1)
        diagonals = []
        for name, diagonal, size in (
            ("g11_diag", g11_diag, g12.shape[0]),
            ("g22_diag", g22_diag, g12.shape[1]),
        ):
            require_values(name, diagonal, (size,), ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
            diagonals.append(jnp.asarray(diagonal, dtype))
        if not is_traced(g12, diagonals):
            bound = np.sqrt(np.outer(*map(np.asarray, diagonals)))
            excess = float(np.max(np.abs(np.asarray(g12)) - bound * (1 + 1e3 * jnp.finfo(dtype).eps)))
            got = f"{excess:.3g} more"
            if dtype == np.float64 and excess <= 1e3 * np.finfo(np.float32).eps * np.max(bound):
                got += ": rounding of float32, it seems (pass the float32 arrays as they are, or clip g12 to the bound)"
            require(excess <= 0, "g12", "at most sqrt(g11_diag g22_diag) in size (Cauchy-Schwarz)", got)
        moments = PairMoments.from_gram(g12, *diagonals)
        return self._without_initial_outputs(self._from_moments(moments, input_dim, self.layers(input_dim)))

    def angular_kernels(self, input_dim: int) -> AngularKernels:
        """The kernels as polynomials in the angle between points of the plane, for a homogeneous or scale-free network only.

        Raises:
            ValueError: a network with biases or another activation, whose kernel does not depend on the angle alone.
        """
        allowed = "bias-free with a piecewise linear activation, or layer-normalised and not residual"
        require(self.is_homogeneous or self.is_scale_free, "network", allowed, self)
        found = AngularKernels.fit(self.layers(input_dim), self.activation, input_dim, self.block)
        return eqx.tree_at(lambda kernels: kernels.nngp, found, 0 * found.nngp) if self.is_lazy_limit else found

    def _without_initial_outputs(self, kernels: Kernels) -> Kernels:
        return Kernels(0 * kernels.nngp, kernels.ntk, kernels.quadrature_error) if self.is_lazy_limit else kernels

    def _from_moments(self, moments: PairMoments, input_dim: int, layers: Layers) -> Kernels:
        series = self._series(layers, input_dim, moments.covariance.dtype)
        if series is None:
            repeated = RepeatedLayers.of(layers, self.activation, self.block, moments)
            kernels = mlp_kernels(moments, repeated, self.activation, np.asarray(float(input_dim)), self.block)
        else:
            kernels = series_of_moments(moments, series)
        return self._in_range(kernels, moments.variance1, moments.variance2, layers, input_dim, series)

    def _between(
        self, points1: jax.Array, points2: jax.Array | None, scale: jax.Array | None, input_dim: int, layers: Layers
    ) -> Kernels:
        series = self._series(layers, input_dim, points1.dtype)
        if series is None:
            repeated = RepeatedLayers.of(layers, self.activation, self.block, (points1, points2, scale))
            of_points, held = point_kernels, (scale, repeated, self.activation, np.asarray(float(input_dim)), self.block)
        else:
            of_points, held = series_kernels, (scale, series, self.activation.block_sides)
        counts = points1.shape[0], (points1 if points2 is None else points2).shape[0]
        alone = not is_traced(points1, points2, held) and on_one_device(points1)
        rows = _filled(points1) if alone else points1
        columns = _filled(points2) if alone and points2 is not None else points2
        kernels = by_rows(lambda held, own, others: of_points(own, others, *held), held, rows, columns)
        if is_traced(kernels):
            return kernels
        squares1 = _squared_norms(points1, scale)
        squares2 = squares1 if points2 is None else _squared_norms(points2, scale)
        kernels = self._in_range(kernels, squares1, squares2, layers, input_dim, series)
        if kernels.ntk.shape == counts:
            return kernels
        return jax.tree.map(lambda part: np.asarray(part)[: counts[0], : counts[1]] if np.ndim(part) else part, kernels)

    def _series(self, layers: Layers, input_dim: int, dtype: Any) -> AngleSeries | None:
        angular = self.is_homogeneous or self.is_scale_free
        if not angular or self.is_linear or isinstance(self.activation, Quadrature) or isinstance(layers, RepeatedLayers):
            return None
        return angle_series(layers, self.activation, input_dim, dtype, self.block)

    def _in_range(
        self,
        kernels: Kernels,
        squares1: np.ndarray | jax.Array,
        squares2: np.ndarray | jax.Array,
        layers: Layers,
        input_dim: int,
        series: AngleSeries | None,
    ) -> Kernels:
        """Refuse kernels that overflow, or vanish by underflow: at depth L they go like the L-th power of the variance."""
        if is_traced(kernels):
            return kernels
        if isinstance(self.activation, Quadrature):
            self._require_resolved(float(kernels.quadrature_error), 0.5)
        # From the longest inputs at angle 0 where they are the extreme, without a look at every pair; in NumPy, since it is
        # a few numbers only.
        longest = float(np.sqrt(np.max(squares1)) * np.sqrt(np.max(squares2)))
        if series is not None:
            largest = (1.0 if self.is_scale_free else longest) * float(np.sum(series.ntk))
        elif self.is_linear:
            lines = linear_profiles(*jax.tree.map(float, (layers, input_dim, self.block)))
            largest = max(float(slope * longest + intercept) for slope, intercept in lines)
        else:
            largest = float(_largest_entry(kernels))
        dtype = kernels.ntk.dtype
        # Entries a rounding smaller than the largest must not underflow either: XLA takes subnormal numbers as 0.
        least, huge = float(jnp.finfo(dtype).tiny / jnp.finfo(dtype).eps), float(jnp.finfo(dtype).max)
        if least <= largest <= huge:
            return kernels
        allowed = f"of kernels within the range of {dtype} on these inputs"
        advice = f"(depth {self.depth}, weight_variance {self.weight_variance}" + (
            "; float64 inputs reach further)" if dtype == jnp.float32 else ")"
        )
        require(largest < least, "network", allowed, f"an overflow {advice}")
        if np.any(squares1 > 0) and np.any(squares2 > 0):
            # Zero may also be the truth, as for orthogonal inputs of a linear network; of an input with itself it is not.
            own = mlp_kernels(PairMoments.diagonal(jnp.ravel(squares1)), layers, self.activation, input_dim, self.block)
            require(float(jnp.max(own.ntk)) >= least, "network", allowed, f"an underflow {advice}")
        return kernels

    @in_float64
    def require_resolved(self, largest_square: Callable[[], Any], input_dim: int) -> None:
        """Refuse inputs of a squared norm whose pre-activations the activation's quadrature does not resolve.

        For where the kernels themselves are traced and cannot tell. Closed forms have no limit.
        """
        if not isinstance(self.activation, Quadrature) or is_traced(self):
            return
        first, *rest = self.layers(input_dim)
        at, error = np.asarray(first.weight_variance * np.asarray(largest_square()) / input_dim + first.bias_variance), 0.0
        for layer in rest:
            after, found = map(np.asarray, self.activation.second_moment(np.asarray(self.block.seen_variance(at))))
            at = np.asarray(self.block.joined_number(at, layer.weight_variance * after + layer.bias_variance))
            error = max(error, float(found))
        self._require_resolved(error, _RESOLVED)

    def _require_resolved(self, error: float, limit: float) -> None:
        allowed = f"resolved by the quadrature of {self.activation.name} to {limit} (smaller inputs or weight_variance help)"
        require(error <= limit, "network", allowed, f"an error of {error:.2g}")


def _checked_richness(richness: Scalar | None, parameterization: str, depth: int, width: int | None) -> Scalar | None:
    if parameterization != "mean_field":
        require(richness is None, "richness", 'None but with parameterization="mean_field"', richness)
        return None
    require(depth > 0, "depth", 'at least 1 with parameterization="mean_field", which is about hidden units', depth)
    richness = 1.0 if richness is None else richness
    if width is None:
        require_values("richness", richness, (), ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
    else:
        allowed = "positive and finite at finite width (0 is a limit of infinite width)"
        require_values("richness", richness, (), allowed, lambda v: (v > 0) & (v < np.inf))
    return real_leaf(richness)


def _filled(points: AnyArray) -> AnyArray:
    """With copies of the last point, up to a few numbers of points, which share compiled programs."""
    return filled(points, size_of_samples(len(points)), repeat=True)


@compiled
def _largest_entry(kernels: Kernels) -> jax.Array:
    return jnp.maximum(*(jnp.max(jnp.abs(kernel)) for kernel in (kernels.nngp, kernels.ntk)))


def _squared_norms(points: jax.Array, scale: jax.Array | None) -> np.ndarray:
    amplified = np.asarray(points) if scale is None else np.asarray(points) * np.asarray(scale)
    with np.errstate(over="ignore"):
        return np.einsum("ij,ij->i", amplified, amplified)


class AnyDepth(Network):
    """Kernels of an MLP as compiled programs get it: its depth is a number like the others.

    - `network`: the same of depth 2, of whose hidden layers there are `hidden` beyond the first.
    """

    network: MLP
    hidden: jax.Array
    known: KernelFacts = eqx.field(static=True)

    @property
    def facts(self) -> KernelFacts:
        return self.known

    def kernels(self, x1: Any, x2: Any = None) -> Kernels:
        first, second = two_inputs(x1, x2)
        return self.network.kernels_of_layers(first, second, self._layers(first.input_dim))

    def own_traced(self, x: jax.Array) -> Kernels:
        return self.network.own_of_layers(x, self._layers(x.shape[1]))

    def _layers(self, input_dim: int) -> RepeatedLayers:
        layers = self.network.layers(input_dim)
        return RepeatedLayers(layers[0], layers[1], self.hidden, layers[-1])


declare_axes(
    MLP,
    "network",
    "an MLP",
    {
        "depth": Axis("hidden layers", "iu"),
        "activation": Axis("activation", "U"),
        "width": Axis("width of the hidden layers", "iu"),
        "weight_variance": Axis("weight variance"),
        "bias_variance": Axis("bias variance"),
        "residual": Axis("factor of residual blocks"),
        "richness": Axis("richness"),
        "normalization": Axis("normalization", "U", scale=lambda arguments, name: None if name == "none" else name),
    },
)

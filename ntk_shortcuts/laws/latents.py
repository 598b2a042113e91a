"""Latents in R^K as networks see them: each amplified along its own direction of R^d, and nothing else."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.laws.two_features.embedding import Embedding
from ntk_shortcuts.networks.inputs import Inputs
from ntk_shortcuts.numerics import in_float64, unit_vectors
from ntk_shortcuts.typing import AnyArray, Array, Float, Key
from ntk_shortcuts.validation import as_points


class AmplifiedLatents(Inputs):
    r"""Latents (n, K) with amplifications (K,): inner products \(\sum_i\alpha_i^2z_iz_i'\), of inputs as d -> infinity."""

    latents: Float[AnyArray, "n K"]
    amplification: Float[AnyArray, "K"]
    dimension: int = eqx.field(static=True)

    @property
    def input_dim(self) -> int:
        return self.dimension

    def scaled(self) -> tuple[jax.Array, None]:
        """The amplified latents: coordinates along the K directions."""
        latents = jnp.asarray(self.latents)
        return latents * jnp.asarray(self.amplification, latents.dtype), None

    def moments(self, other: AmplifiedLatents) -> PairMoments:
        return PairMoments.from_inputs(self.scaled()[0], other.scaled()[0])

    def vectors(self, key: Key) -> Float[Array, "n d"]:
        """One draw of the embedding, its directions orthogonal."""
        return feature_embedding(key, self.dimension, self.amplification, orthogonal=True)(self.latents)


class LatentLaw(DataLaw):
    """A law of latents in R^K, of amplifications (K,), whose inputs lie in R^d, d = `input_dim`."""

    # Fields of the subclasses, which dataclasses would put first if they stood here.
    if TYPE_CHECKING:
        amplification: Float[AnyArray, "K"]
        input_dim: int

    @property
    @abc.abstractmethod
    def features(self) -> int:
        """K."""

    @property
    def latent_dim(self) -> int:
        return self.features

    @in_float64
    def embedding(self, key: Key, orthogonal: bool = False) -> Embedding:
        """Draw one embedding of latents into R^d; `orthogonal` makes its directions exactly so."""
        return feature_embedding(key, self.input_dim, jnp.asarray(self.amplification), orthogonal)

    def inputs(self, points: Any) -> AmplifiedLatents:
        points = as_points("latents", points, dimension=self.features)
        return AmplifiedLatents(points, self.amplification, self.input_dim)


def feature_embedding(key: Key, input_dim: int, amplification: Float[AnyArray, "K"], orthogonal: bool = False) -> Embedding:
    """Draw K random unit vectors of R^d (made orthogonal on request), along which the amplified features lie."""
    count = amplification.shape[0]
    directions = jax.random.normal(key, (count, input_dim))
    if orthogonal:
        directions = jnp.linalg.qr(directions.T)[0].T
    return Embedding(unit_vectors(directions)[1], ((),) * count, amplification, 1.0, 0.0)

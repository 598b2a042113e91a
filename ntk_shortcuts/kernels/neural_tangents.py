"""neural-tangents and its `stax` networks: `from ntk_shortcuts.kernels import neural_tangents as interop`."""

from ntk_shortcuts.networks.neural_tangents import load
from ntk_shortcuts.networks.stax import StaxNetwork, from_stax

__all__ = ["StaxNetwork", "from_stax", "load"]

"""Networks: specs of what is predicted and trained."""

from ntk_shortcuts.networks.base import FiniteNetwork, KernelFacts, Network
from ntk_shortcuts.networks.last_layer import LastLayer
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.networks.preprocessed import Preprocessed

__all__ = ["MLP", "FiniteNetwork", "KernelFacts", "LastLayer", "Network", "Preprocessed"]

"""Trained networks beside predictions: ensembles, sweeps and maps, comparisons of theory with training, and image pools."""

import lazy_loader as _lazy_loader

# As at the top: a sweep of predictions does not wait for what trains networks.
__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)

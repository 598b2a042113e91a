"""A pool of samples as a data law: your own images or features, labels, and attributes that should not matter."""

from ntk_shortcuts.laws.pool.pool import Pool

__all__ = ["Pool"]

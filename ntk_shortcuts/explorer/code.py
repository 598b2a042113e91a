"""What the page shows as Python and as a command: the same calls that it makes."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from ntk_shortcuts.explorer.law import LawSetting
from ntk_shortcuts.explorer.pool import SEED, TEST_FRACTION, PoolSetting
from ntk_shortcuts.explorer.setting import Setting


class Code(NamedTuple):
    """A script, whose last line prints the page's numbers, and a command that does."""

    python: str
    shell: str


def law_code(setting: LawSetting) -> Code:
    """Of a prediction on the law of two features.

    Example:
        >>> print(law_code(LawSetting(num_samples=100)).python)
        import ntk_shortcuts as ns
        <BLANKLINE>
        model = ns.GenerativeModel(predictivity=(0.85, 0.9), amplification=(4, 1), correlation=0.6)
        network = ns.MLP(depth=1, activation='relu', weight_variance=2, bias_variance=0)
        training = ns.GradientFlow(time=30)
        prediction = ns.predict_bias(model, network, training, num_samples=100)
        print(prediction.bias)
    """
    samples = _samples(setting)
    return Code(
        "\n".join(
            [
                "import ntk_shortcuts as ns",
                "",
                f"model = {setting.model().python}",
                *_network_and_training(setting),
                f"prediction = ns.predict_bias(model, network, training{samples})",
                "print(prediction.bias)",
            ]
        ),
        _command(setting, setting.model().options),
    )


def pool_code(setting: PoolSetting, path: str) -> Code:
    """Of a prediction on the samples of a file."""
    reweighted, options = [], f"--pool {shlex.quote(path)}"
    if setting.agreement is not None:
        reweighted = [f"pool = pool.with_agreement({setting.agreement:g}, {setting.attribute!r})"]
        options += f" --agreement {setting.agreement:g} --attribute {shlex.quote(str(setting.attribute))}"
    samples = _samples(setting)
    return Code(
        "\n".join(
            [
                "import jax",
                "import ntk_shortcuts as ns",
                "",
                f"test, pool = ns.laws.read_pool({path!r}).split(jax.random.key({SEED}), {TEST_FRACTION})",
                *reweighted,
                *_network_and_training(setting),
                f"prediction = ns.predict(pool, network, training{samples}, test=test)",
                "print(prediction.accuracy, prediction.group_accuracy)",
            ]
        ),
        _command(setting, options),
    )


def _network_and_training(setting: Setting) -> list[str]:
    return [f"network = {setting.network().python}", f"training = {setting.training().python}"]


def _samples(setting: Setting) -> str:
    return "" if setting.num_samples is None else f", num_samples={setting.num_samples}"


def _command(setting: Setting, data: str) -> str:
    samples = "" if setting.num_samples is None else f" --num-samples {setting.num_samples}"
    return f"ntk-shortcuts predict {data} {setting.network().options} {setting.training().options}{samples}"

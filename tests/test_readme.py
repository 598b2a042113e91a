"""Every Python block of the README runs; the shell blocks are the two commands that CI runs."""

import pathlib
import re

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()


def test_python_blocks_run():
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_two_commands():
    blocks = re.findall(r"```sh\n(.*?)```", README, re.S)
    assert len(blocks) == 2
    assert blocks[0].startswith("python -m pip install . && ntk-shortcuts map")
    assert blocks[1].strip() == "python -m pip install -e '.[test]' && pytest"

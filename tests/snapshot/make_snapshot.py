"""Writes tests/snapshot/snapshot.json: `python tests/snapshot/make_snapshot.py [NAME ...]` (all entries, or the named ones).

Every entry is computed twice, in processes that compile without and with XLA's optimisation. What the two differ by is the
arithmetic's noise in that entry, which is kept beside the numbers. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile

PATH = pathlib.Path(__file__).with_name("snapshot.json")
PARTS = pathlib.Path(tempfile.gettempdir(), "ntk_shortcuts_snapshot")
FLAGS = {"unoptimized": "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false", "optimized": ""}


def compute(part: str, names: list[str]) -> None:
    """Append entries to a file of lines as they finish."""
    import jax

    jax.config.update("jax_enable_x64", True)
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    from ntk_shortcuts.compilation import make_room
    from snapshot.entries import ENTRIES, evaluate

    done = read(part)
    with (PARTS / f"{part}.jsonl").open("a") as lines:
        for name in names or list(ENTRIES):
            if name not in done:
                found = {key: value.tolist() for key, value in evaluate(name).items()}
                lines.write(json.dumps([name, found]) + "\n")
                lines.flush()
                make_room()
                print(part, name, file=sys.stderr, flush=True)


def read(part: str) -> dict:
    path = PARTS / f"{part}.jsonl"
    return dict(json.loads(line) for line in path.read_text().splitlines()) if path.exists() else {}


def main(names: list[str]) -> None:
    import numpy as np

    PARTS.mkdir(exist_ok=True)
    runs = []
    for part, flags in FLAGS.items():
        command = [sys.executable, __file__, "--compute", part, *names]
        runs.append(subprocess.Popen(command, env={**os.environ, "XLA_FLAGS": flags}))
    assert not any(run.wait() for run in runs)
    plain, optimized = (read(part) for part in FLAGS)
    kept = json.loads(PATH.read_text()) if names and PATH.exists() else {}
    for name, values in plain.items():
        noise = {}
        for key, value in values.items():
            one, other = np.asarray(value, float), np.asarray(optimized[name][key], float)
            with np.errstate(invalid="ignore"):
                noise[key] = float(np.nanmax(np.abs(one - other), initial=0.0)) if one.shape == other.shape else float("inf")
        kept[name] = {"values": values, "noise": noise}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(kept[name])}" for name in kept)
    PATH.write_text("{\n" + lines + "\n}\n")
    for part in FLAGS:
        (PARTS / f"{part}.jsonl").unlink()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    compute(arguments[1], arguments[2:]) if arguments[:1] == ["--compute"] else main(arguments)

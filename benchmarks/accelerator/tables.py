"""The tables of a run: a row or more for each case, put there as it ends, and which cases come next."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Mapping

import records
from step import Case, Row, Scale, Step

WORDS = ("case", "error", "device", "jax")
CUT_OFF = "cut off"
AGAIN = "cut off again"


class Tables:
    """Tables of steps in a folder.

    Args:
        device: cells that every row ends with.
    """

    def __init__(self, folder: pathlib.Path, steps: Mapping[str, Step], scale: Scale, device: Mapping[str, str]):
        self.folder, self.steps, self.scale, self.device = folder, steps, scale, dict(device)
        # The clock's thread writes what was cut off, while the other may be writing too.
        self.writing = threading.Lock()

    def rows(self, name: str) -> list[Row]:
        """The rows there are of a step."""
        return records.read(self.folder / f"{name}.csv", words=(*WORDS, *self.steps[name].words))

    def found(self, name: str) -> list[Row]:
        """Those of cases that ended well."""
        return [row for row in self.rows(name) if not row["error"]]

    def put(self, name: str, case: Case, rows: list[Row]) -> None:
        """Rows of a case, in place of those there are of it."""
        with self.writing:
            others = [row for row in self.rows(name) if row["case"] != case.name]
            own = [{"case": case.name, "error": "", **row, **self.device} for row in rows]
            records.write(self.folder / f"{name}.csv", [*others, *own])

    def cut(self, name: str, case: Case) -> None:
        """A case that was under way when the time was over; twice, and others come before it."""
        again = self.errors(name).get(case.name, "").startswith(CUT_OFF)
        self.put(name, case, [{"error": AGAIN if again else CUT_OFF}])

    def errors(self, name: str) -> dict[str, str]:
        """By case, of those with rows."""
        return {row["case"]: row["error"] for row in self.rows(name)}

    def missing(self, name: str) -> list[Case]:
        """What was cut off, then cases without rows, and last those that failed."""
        errors = self.errors(name)
        left = [case for case in self.steps[name].cases(self.scale) if errors.get(case.name, CUT_OFF)]
        return sorted(left, key=lambda case: _turn(errors.get(case.name)))

    def in_turn(self, names: list[str]) -> list[str]:
        """Steps, with that first of which a case was cut off."""
        return sorted(names, key=lambda name: CUT_OFF not in self.errors(name).values())


def _turn(error: str | None) -> int:
    return 1 if error is None else 0 if error == CUT_OFF else 2

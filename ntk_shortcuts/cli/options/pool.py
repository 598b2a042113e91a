"""Options of a pool of samples that a file holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ntk_shortcuts import Pool


@dataclass(frozen=True)
class AgreementOptions:
    """How well an attribute of a pool agrees with the label: weights of its samples."""

    agreement: Annotated[
        float | None, typer.Option(help="Reweight the pool: P(attribute = label) within each class. By default as in the file.")
    ] = None
    attribute: Annotated[str | None, typer.Option(metavar="NAME", help="Which attribute agrees, where there are several.")] = (
        None
    )

    def reweighted(self, pool: Pool) -> Pool:
        if self.agreement is None:
            if self.attribute is not None:
                raise ValueError(f"attribute must be given with --agreement; got {self.attribute!r} without")
            return pool
        return pool.with_agreement(self.agreement, self.attribute)

    def refuse_without_pool(self) -> None:
        for name, value in vars(self).items():
            if value is not None:
                raise ValueError(f"{name} must be given with --pool; got {value}")


@dataclass(frozen=True)
class PoolOptions:
    """A pool of samples in place of a law, and what part of it is tested on."""

    pool: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Samples of your own in place of a law: an .npz with inputs, labels and attributes by name."
        ),
    ] = None
    test_fraction: Annotated[float, typer.Option(help="Of each group of the pool: samples to test on.")] = 0.3

    def split(self, seed: int) -> tuple[Pool, Pool]:
        """The samples that data sets are drawn from, and those to test on."""
        import jax

        from ntk_shortcuts.validation import require_values

        require_values("test_fraction", self.test_fraction, (), "in (0, 1)", lambda v: (v > 0) & (v < 1))
        assert self.pool is not None
        test, pool = read_file("pool", self.pool).split(jax.random.key(seed), self.test_fraction)
        return pool, test

    def refuse_without_pool(self) -> None:
        if self.pool is None and self.test_fraction != PoolOptions.test_fraction:
            raise ValueError(f"test_fraction must be given with --pool; got {self.test_fraction}")


def read_file(name: str, path: Path) -> Pool:
    """The pool that a file holds.

    Raises:
        ValueError: naming the argument, a file that is not there or holds no pool.
    """
    from ntk_shortcuts.laws.pool.readers import read_pool

    if path.is_dir():
        way = "ntk_shortcuts.laws.pool_from_folder reads images and write_pool makes the file"
        raise ValueError(f"{name} must be an .npz file; {str(path)!r} is a folder ({way})")
    if not path.is_file():
        raise ValueError(f"{name} must be an .npz file; there is no {str(path)!r}")
    return read_pool(path)

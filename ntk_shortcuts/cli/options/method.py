"""Options of the prediction method."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from ntk_shortcuts.cli.options.names import losses, methods, name_option


@dataclass(frozen=True)
class MethodOptions:
    """The method and its options; each that a method has not is refused where it is given (`cli.methods`)."""

    method: Annotated[
        str | None,
        name_option(
            methods,
            "dataset_averaged (default with --num-samples), population (default without), dataset (one sampled from "
            "--seed), monte_carlo, population_flow (of finite --width), leading_order.",
        ),
    ] = None
    num_samples: Annotated[int | None, typer.Option(help="Training samples N; infinite by default.")] = None
    num_datasets: Annotated[int | None, typer.Option(help="Data sets that monte_carlo averages.")] = None
    num_inits: Annotated[int | None, typer.Option(help="Initialisations that population_flow averages.")] = None
    batch_size: Annotated[
        int | None, typer.Option(help="Minibatches of population_flow, with --learning-rate and --steps.")
    ] = None
    loss: Annotated[
        str | None,
        name_option(losses, "squared (default) or logistic, for population, dataset, monte_carlo and population_flow."),
    ] = None
    seed: Annotated[int, typer.Option(help="Random seed, for methods that sample.")] = 0
    random_init: Annotated[
        bool, typer.Option("--random-init/--no-random-init", help="Include the random output at initialisation.")
    ] = True
    tolerance: Annotated[float | None, typer.Option(help="Largest change of the bias under refinement.")] = None

    def refuse_one_data_set(self, purpose: str) -> None:
        """A data set has one model, and a grid many."""
        if self.method == "dataset":
            raise ValueError(f'method must be one that averages over data sets for {purpose}; got "dataset"')

    def name(self, samples_vary: bool = False) -> str:
        """A method's registered name; none given is the default for the samples."""
        from ntk_shortcuts.entry import default_method

        if self.method is None:
            return default_method(1 if samples_vary else self.num_samples)
        return self.method

    def options(self, name: str, model: Any) -> dict[str, Any]:
        """What to hand on to the method: the options given, and the key or the data set where it takes one.

        A pool, for which model is None, is its own data set.
        """
        import jax

        from ntk_shortcuts.cli.methods import options_for
        from ntk_shortcuts.validation import require_integer

        require_integer("seed", self.seed, 0)
        # An option at its default leaves it to the method, which may not have the option at all.
        given = {f.name: value for f in dataclasses.fields(self) if (value := getattr(self, f.name)) != f.default}
        for outside in ("method", "num_samples", "seed"):
            given.pop(outside, None)

        def dataset() -> Any:
            if self.num_samples is None:
                raise ValueError(f'num_samples must be given for method="{name}", whose data set is sampled; got None')
            return model.sample(jax.random.key(self.seed), self.num_samples)

        makers: dict[str, Any] = {"key": lambda: jax.random.key(self.seed)}
        return options_for(name, given, makers if model is None else {**makers, "dataset": dataset})

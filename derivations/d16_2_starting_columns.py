"""D16.2: what starting columns save. Run by itself, or as `ntk-shortcuts derive D16.2`."""

import jax.numpy as jnp
import numpy as np
import sympy as sp

import ntk_shortcuts as ns
from ntk_shortcuts.derivation import Check, Derivation, Step, compare, main
from ntk_shortcuts.methods.krylov import krylov_space
from ntk_shortcuts.numerics import in_float64

COUNT, SHIFT = 300, 3e-3
STARTS = (0, 16, 64)


def steps() -> list[Step]:
    x, a, top = sp.symbols("lambda a Lambda", positive=True)
    for degree in range(1, 6):
        chebyshev = sp.chebyshevt(degree, 1 - 2 * x / top) / sp.chebyshevt(degree, 1 + 2 * a / top)
        assert sp.simplify(chebyshev.subs(x, -a) - 1) == 0
        quotient, rest = sp.div(sp.Poly(sp.expand(1 - chebyshev), x), sp.Poly(x + a, x))
        assert sp.simplify(rest.as_expr()) == 0 and quotient.degree() == degree - 1
    # T_m(1 + 2 q) = cosh(2 m arsinh sqrt q), by its recursion.
    q = sp.Symbol("q", positive=True)
    half = sp.asinh(sp.sqrt(q))
    double = sp.expand(2 * sp.cosh(half) ** 2 - 1)
    assert sp.simplify(double - (1 + 2 * q)) == 0
    u, v = sp.symbols("u v", real=True)
    recursion = sp.cosh((u + 1) * v) + sp.cosh((u - 1) * v) - 2 * sp.cosh(v) * sp.cosh(u * v)
    assert sp.simplify(recursion.rewrite(sp.exp).expand()) == 0
    return [
        Step(
            r"For a real pole $s = -a$ the projection is the best element of the space in the norm of $S + a$: its error is "
            r"at most that of $R(S)\,(S + a)^{-1}b$ for any polynomial R of degree m with $R(-a) = 1$. Columns that span the "
            r"leading r eigenvectors take their parts out of it, whatever R is there, so that R must be small on the rest of "
            r"the spectrum alone:",
            r"\|e\|_{S+a} \le \min_{R(-a)=1}\;\max_{0\le\lambda\le\lambda_{r+1}}|R(\lambda)|\;\|(S + a)^{-1}b\|_{S+a}",
        ),
        Step(
            r"Chebyshev's polynomial is at most 1 there, and $(1 - R)/(\lambda + a)$ one of degree $m - 1$ (checked for "
            r"$m \le 5$), as m blocks hold it:",
            r"R(\lambda) = \frac{T_m(1 - 2\lambda/\lambda_{r+1})}{T_m(1 + 2a/\lambda_{r+1})}",
        ),
        Step(
            r"so that the number of products grows with the root of $\lambda_{r+1}/a$ where it grew with that of "
            r"$\lambda_1/a$. Poles of gradient flow have $|s|$ of the order of $1/t$. Kernel columns of samples, $S$ times "
            r"unit vectors, span the leading eigenvectors nearly, and do so better with every block.",
            r"T_m(1 + 2q) = \cosh\left(2m\,\mathrm{arsinh}\sqrt q\right) \ge \tfrac12e^{2m\,\mathrm{arsinh}\sqrt q},"
            r"\qquad q = a/\lambda_{r+1}",
        ),
    ]


@in_float64
def _matrix() -> tuple[np.ndarray, np.ndarray]:
    """S of a network with biases on generic inputs, and a column of labels."""
    rng = np.random.default_rng(4)
    inputs = jnp.asarray(rng.normal(size=(COUNT, 12)))
    return np.asarray(ns.MLP(2, bias_variance=0.1).kernels(inputs).ntk) / COUNT, rng.choice([-1.0, 1.0], (COUNT, 1)) / np.sqrt(
        COUNT
    )


def _errors(matrix: np.ndarray, columns: np.ndarray, most: int) -> list[float]:
    """Of the resolvent at -a of the first column, in the norm of S + a, relative, after 1, 2, ... products."""
    shifted = matrix + SHIFT * np.eye(len(matrix))
    exact = np.linalg.solve(shifted, columns[:, 0])
    found: list[float] = []

    def watch(space) -> bool:
        inner = space.projected + SHIFT * np.eye(len(space.projected))
        error = exact - space.basis @ np.linalg.solve(inner, space.start[:, 0])
        found.append(float(np.sqrt(error @ shifted @ error / (exact @ shifted @ exact))))
        return len(found) == most

    krylov_space(lambda v: matrix @ v, columns, watch, len(matrix))
    return found


def _bound(top: float, products: int) -> np.ndarray:
    return 1 / np.cosh(2 * np.arange(1, products + 1) * np.arcsinh(np.sqrt(SHIFT / top)))


def checks() -> list[Check]:
    matrix, column = _matrix()
    values, vectors = np.linalg.eigh(matrix)
    beyond = []
    for r in STARTS:
        errors = _errors(matrix, np.concatenate([column, vectors[:, COUNT - r :]], axis=1), 4)
        beyond.append(float(np.max(np.array(errors) - _bound(values[COUNT - r - 1], len(errors)))))
    products = [_products(matrix, column, r) for r in STARTS]
    return [
        compare("errors beyond the bound, with leading eigenvectors", [0.0] * 3, np.maximum(beyond, 0)),
        compare(
            "kernel columns save products: 64 of 300 samples, at most half", [1.0], [float(2 * products[2] <= products[0])]
        ),
    ]


def _products(matrix: np.ndarray, column: np.ndarray, landmarks: int) -> int:
    """Until the error is 1e-6, with kernel columns of so many samples beside the labels."""
    errors = _errors(
        matrix, np.concatenate([column, matrix[:, :: COUNT // landmarks] if landmarks else column[:, :0]], axis=1), 99
    )
    return int(np.argmax(np.array(errors) < 1e-6)) + 1


def figure():
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(5, 3.2), dpi=150, layout="constrained")
    axes = drawing.subplots()
    matrix, column = _matrix()
    values, vectors = np.linalg.eigh(matrix)
    for r, color in zip(STARTS, ("C0", "C1", "C2"), strict=True):
        start = np.concatenate([column, vectors[:, COUNT - r :]], axis=1)
        errors = _errors(matrix, start, 16)
        axes.semilogy(range(1, len(errors) + 1), errors, "o", color=color, ms=4)
        axes.semilogy(range(1, 17), _bound(values[COUNT - r - 1], 16), color=color, label=f"{r}")
    axes.set(xlabel="products with S", ylabel="error, in the norm of $S+a$", ylim=(1e-9, 2))
    axes.legend(frameon=False, fontsize="small", title="leading eigenvectors at the start", title_fontsize="small")
    return drawing


DERIVATION = Derivation(
    label="D16.2",
    title="What starting columns save",
    statement=r"A Krylov space that starts from the leading r eigenvectors beside b needs as many products as one of a matrix "
    r"whose largest eigenvalue is $\lambda_{r+1}$. Kernel columns of some samples are nearly such a start.",
    assumptions=[
        r"S positive semi-definite, a real pole $s = -a < 0$, exact arithmetic",
        r"the columns span r leading eigenvectors",
    ],
    code=["ntk_shortcuts.methods.krylov.krylov_space"],
    source="Musco & Musco (2015) for block Krylov spaces; Chebyshev's bound as for conjugate gradients",
    steps=steps,
    checks=checks,
    figure=figure,
)

if __name__ == "__main__":
    main(DERIVATION)

"""The stabilised solver: its order, its stability on stiff flows, and against another method."""

import diffrax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_shortcuts.methods.flow.chebyshev import RungeKuttaChebyshev

START = jnp.array([1.0, 2.0])
QUARTIC = diffrax.ODETerm(lambda t, y, args: -(y**3) - y)


@pytest.mark.slow
@pytest.mark.branches
def test_error_is_of_second_order():
    # y' = -y^3 - y: y^2 / (1 + y^2) falls like e^(-2t).
    ratio = START**2 / (1 + START**2) * np.exp(-2.0)
    exact = jnp.sqrt(ratio / (1 - ratio))
    solved = [diffrax.diffeqsolve(QUARTIC, RungeKuttaChebyshev(), 0.0, 1.0, 1 / n, START).ys[0] for n in (40, 80, 160)]
    errors = [float(jnp.abs(y - exact).max()) for y in solved]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all((orders > 1.8) & (orders < 2.4))


@pytest.mark.parametrize("stiffness", [1e2, 1e4])
def test_a_stiff_flow_takes_few_steps_and_stays_at_its_minimum(stiffness):
    term = diffrax.ODETerm(lambda t, y, args: -jnp.array([1.0, stiffness]) * y)
    controller = diffrax.PIDController(rtol=1e-3, atol=1e-4)
    saved = diffrax.SaveAt(ts=jnp.array([1.0, 10.0, 50.0]))
    solved = diffrax.diffeqsolve(
        term, RungeKuttaChebyshev(), 0.0, 50.0, None, jnp.ones(2), stepsize_controller=controller, saveat=saved
    )
    np.testing.assert_allclose(solved.ys[:, 0], np.exp([-1.0, -10.0, -50.0]), atol=2e-3)
    np.testing.assert_allclose(solved.ys[:, 1], 0, atol=1e-3)
    # An ordinary method would take stiffness * 50 / 3. 40 stages reach steps of 830 / stiffness; a longer one is tried, and
    # rejected down to a fifth, again and again.
    assert int(solved.stats["num_steps"]) < 100 + stiffness * 50 / (830 / 5)


def test_nothing_moves_on_a_flat_risk():
    term = diffrax.ODETerm(lambda t, y, args: jnp.zeros_like(y))
    controller = diffrax.PIDController(rtol=1e-3, atol=1e-4)
    solved = diffrax.diffeqsolve(term, RungeKuttaChebyshev(), 0.0, 5.0, None, START, stepsize_controller=controller)
    np.testing.assert_array_equal(solved.ys[0], START)


def test_the_solver_says_its_order_and_gives_the_field():
    solver = RungeKuttaChebyshev()
    term = diffrax.ODETerm(lambda t, y, args: -y)
    assert (solver.order(term), solver.error_order(term)) == (2, 3)
    assert float(solver.func(term, 0.0, jnp.asarray(2.0), None)) == -2.0

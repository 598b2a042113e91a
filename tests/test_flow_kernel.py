"""The kernel along the flow: against the infinite-width spectrum, an explicit Jacobian, and the flow itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import ntk_shortcuts as ns
from ntk_shortcuts.laws.two_features.mixture import mixture_nodes

MODEL = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
PRACTICE = ns.MLP(1, width=16, parameterization="standard", initialization="torch")
KEY = jax.random.key(0)


pytestmark = pytest.mark.xdist_group("flow_kernel")


@pytest.fixture(scope="module")
def motion():
    return ns.analysis.kernel_motion(MODEL, PRACTICE, ns.GradientFlow([30.0, 0.0, 1.0]), key=KEY, num_inits=2)


@pytest.mark.slow
@pytest.mark.branches
def test_start_and_order_of_times(motion):
    assert motion.times.tolist() == [30.0, 0.0, 1.0]
    assert (motion.relative_change[:, 1] == 0).all() and (motion.relative_change[:, 0] > motion.relative_change[:, 2]).all()
    np.testing.assert_array_equal(motion.bias[:, 1], motion.initial_kernel_bias[:, 1])
    for name in ("target", "shortcut", "core"):
        values = getattr(motion, f"{name}_alignment")
        assert ((values > 0) & (values < 1)).all()


@pytest.mark.slow
def test_biases_are_those_of_the_population_flow():
    """Of one network, whose outputs a traced prediction gives at the nodes that both then have."""
    times, options = jnp.array([30.0, 0.0, 1.0]), {"key": KEY, "num_inits": 1, "order": 8}

    @jax.jit
    def outputs(times):
        return ns.predict_bias(MODEL, PRACTICE, ns.GradientFlow(times), method="population_flow", **options).mean

    motion = ns.analysis.kernel_motion(MODEL, PRACTICE, ns.GradientFlow(times), **options)
    np.testing.assert_allclose(motion.bias[0], ns.metrics.shortcut_bias(outputs(times), MODEL), atol=3e-3)


def test_kernel_at_the_start_is_that_of_an_explicit_jacobian(motion):
    """In R^d, before the reduction to the plane, which the first layer's kernel must not notice."""
    nodes, weights = mixture_nodes(MODEL, 8)
    embedding_key, init_key = jax.random.split(jax.random.split(KEY, 2)[0])
    inputs = MODEL.embedding(embedding_key)(nodes).astype("float32")
    flat, restore = ravel_pytree(PRACTICE.init(init_key, MODEL.input_dim, "float32"))
    jacobian = np.asarray(jax.jacrev(lambda v: PRACTICE.apply(restore(v), inputs))(flat), float) * np.sqrt(weights)[:, None]
    times = 1 / np.linalg.eigvalsh(jacobian @ jacobian.T)[::-1][:6]
    np.testing.assert_allclose(motion.learning_times[0, 1], times, rtol=1e-3)
    target = np.sqrt(weights) * MODEL.class_expectation(nodes)
    kernel = jacobian @ jacobian.T
    alignment = target @ kernel @ target / (np.linalg.norm(kernel) * target @ target)
    assert motion.target_alignment[0, 1] == pytest.approx(float(alignment), rel=1e-4)


@pytest.mark.slow
def test_wide_networks_have_the_infinite_spectrum_and_keep_it():
    wide = ns.analysis.kernel_motion(MODEL, ns.MLP(1, width=1024), ns.GradientFlow([3.0, 30.0]), key=KEY, num_inits=2)
    spectrum = ns.kernel_spectrum(MODEL, ns.MLP(1), 4)
    # 88 nodes, width 1024: the operator's eigenvalues to a tenth.
    np.testing.assert_allclose(wide.learning_times[0, 0, :4], spectrum.learning_times, rtol=0.15)
    assert (wide.relative_change < 0.05).all()
    np.testing.assert_allclose(wide.bias, wide.initial_kernel_bias, atol=0.02)


@pytest.mark.parametrize(
    ("network", "training", "options", "text"),
    [
        (ns.MLP(1), ns.GradientFlow(1.0), {}, "width must be an integer for a finite network; got None"),
        (PRACTICE, ns.GradientDescent(0.1, 10), {}, "training must be GradientFlow; got 'GradientDescent'"),
        (PRACTICE, ns.GradientFlow(jnp.inf), {}, "time must be finite"),
        (PRACTICE, ns.GradientFlow(1.0), {"modes": 0}, "modes must be an integer >= 1; got 0"),
        pytest.param(
            PRACTICE,
            ns.GradientFlow(100.0),
            {"max_steps": 4},
            "max_steps must be enough to reach time 100; got 4",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_bad_input(network, training, options, text):
    with pytest.raises(ValueError, match=text):
        ns.analysis.kernel_motion(MODEL, network, training, key=KEY, num_inits=1, **options)

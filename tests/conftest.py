import jax
import numpy as np
import pytest

jax.config.update("jax_enable_x64", True)

# A script that writes reference values; it needs mpmath's optional gmpy2 and holds no tests.
collect_ignore = ["reference/make_kernel_references.py"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)

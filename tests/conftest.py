import jax
import numpy as np
import pytest

jax.config.update("jax_enable_x64", True)

# Scripts without tests: one needs mpmath's optional gmpy2, the other the extra `browser`.
collect_ignore = ["reference/make_kernel_references.py", "browser/check_site.py"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)

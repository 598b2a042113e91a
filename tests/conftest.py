import os
import pathlib
import tempfile

import jax
import numpy as np
import pytest

# The two workers of one run share what they compile; another run starts afresh.
_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(tempfile.gettempdir()) / f"jax-tests-{_RUN}"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
jax.config.update("jax_enable_x64", True)

# A script that writes reference values; it needs mpmath's optional gmpy2 and holds no tests.
collect_ignore = ["reference/make_kernel_references.py"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)

import os

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

# Most programs here run once, on a few points, and compiling them takes most of the time of the suite: XLA compiles them
# without optimisation, other processes' as well. With an empty `XLA_FLAGS` the tests run as users' code does; CI runs those of
# kernels so. One thread a program: two workers have a core each, and XLA's pool of threads has been seen to wait for ever for
# a program that was mapped (jaxlib 0.10.2, once in thousands of tests, with every thread idle).
UNOPTIMIZED = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_multi_thread_eigen=false"
os.environ.setdefault("XLA_FLAGS", UNOPTIMIZED)
# What a test takes does not depend on what was run before it.
os.environ["NTK_SHORTCUTS_CACHE"] = "off"

# Two workers on two cores: with a thread each their linear algebra does not wait for the other's (with two each, tests of
# averages over pools took up to thirty times as long on a busy machine).
threadpool_limits(1, user_api="blas")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for the processes that they start

jax.config.update("jax_enable_x64", True)

# Scripts without tests: one needs mpmath's optional gmpy2, the other the extra `browser`.
collect_ignore = ["reference/make_kernel_references.py", "browser/check_site.py", "snapshot/make_snapshot.py"]


# Each example may compile and the machine may be busy: neither is a fault. Quick runs try the same few examples every time
# (`examples` in tests/tolerances.py); `--hypothesis-profile=thorough` tries 200 of its own choice for each law.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", unhurried, max_examples=1, derandomize=True, database=None)
settings.register_profile("thorough", unhurried, max_examples=200, print_blob=True)
settings.load_profile("quick")


def pytest_runtest_setup(item):
    if item.get_closest_marker("optimized") and os.environ["XLA_FLAGS"] == UNOPTIMIZED:
        pytest.skip("float32 keeps this bound with XLA's fused multiply-adds; runs with XLA_FLAGS= in the environment")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pytest_runtest_teardown():
    # Some ten thousand programs do not fit into one process.
    from ntk_shortcuts.compilation import make_room

    make_room()

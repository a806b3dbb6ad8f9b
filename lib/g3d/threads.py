"""How threads wait for work: they spin for a bounded time, then sleep, so that a machine that others use, too, is not held up.

torch shares its work out by OpenMP. A thread of GNU's runtime that waits looks 300,000 times, for milliseconds, before it
sleeps: on a core that another process wants, that time is lost to both. 10,000 times cost nothing on free cores, where not
to spin at all does; `recipes/benchmarks/busy_machine.py` measures it.
"""

import os
from collections.abc import Mapping, MutableMapping

SPIN = "10000"
POLICIES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")  # the last is of Intel's and LLVM's runtime


def bound_spin(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the bound, for this process and its children, unless the user has said how threads wait. Before torch is imported:
    the runtime reads it once."""
    if not any(name in environment for name in POLICIES):
        environment["GOMP_SPINCOUNT"] = SPIN


def wait_policy(environment: Mapping[str, str] = os.environ) -> str:
    """The policy in words, for figures that depend on it."""
    return " ".join(f"{name}={environment[name]}" for name in POLICIES if name in environment) or "default"

"""How threads wait: a bound that is set before torch is loaded, and never against the user."""

import subprocess
import sys

import pytest
from commands import environment
from g3d.threads import POLICIES, bound_spin, wait_policy

LOOK = """
import os, subprocess, sys
class Look:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch sees", os.environ.get("GOMP_SPINCOUNT"), flush=True)
sys.meta_path.insert(0, Look())
from g3d_cli.main import main
sys.argv = ["g3d", "profile", "mnif", "--preset", "smoke", "--dry-run"]
try:
    main()
finally:
    subprocess.run([sys.executable, "-c", "import os; print('a child sees', os.environ.get('GOMP_SPINCOUNT'))"])
"""


def _command(**policy: str) -> subprocess.CompletedProcess[str]:
    """A command that imports torch, in a process of its own with this policy alone."""
    env = {name: value for name, value in environment(OMP_DISPLAY_ENV="verbose").items() if name not in POLICIES}
    return subprocess.run(
        [sys.executable, "-c", LOOK], env={**env, **policy}, capture_output=True, text=True, check=True
    )


@pytest.mark.slow
def test_a_command_bounds_the_spin_before_torch_is_imported() -> None:
    done = _command()
    assert "torch sees 10000" in done.stdout and "a child sees 10000" in done.stdout
    if "GOMP_SPINCOUNT" in done.stderr:  # torch uses GNU's runtime, which tells what it has read
        assert "GOMP_SPINCOUNT = '10000'" in done.stderr


def test_what_the_user_says_stays() -> None:
    done = _command(OMP_WAIT_POLICY="active")
    assert "torch sees None" in done.stdout and "a child sees None" in done.stdout
    assert "GOMP_SPINCOUNT = '10000'" not in done.stderr


@pytest.mark.parametrize("name", POLICIES)
def test_no_policy_of_the_user_is_changed(name: str) -> None:
    environment = {name: "3", "HOME": "/"}
    bound_spin(environment)
    assert environment == {name: "3", "HOME": "/"}
    assert wait_policy(environment) == f"{name}=3"


def test_the_policy_in_words() -> None:
    assert wait_policy({}) == "default"
    found: dict[str, str] = {}
    bound_spin(found)
    assert found == {"GOMP_SPINCOUNT": "10000"} and wait_policy(found) == "GOMP_SPINCOUNT=10000"
    both = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "5"}
    assert wait_policy(both) == "GOMP_SPINCOUNT=5 OMP_WAIT_POLICY=passive"

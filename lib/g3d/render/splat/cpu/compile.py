"""`@kernel` and `@inner` of this package: a change in any of its files, or another width of lanes, compiles them anew."""

from pathlib import Path

from g3d.kernels.compile import compilers
from g3d.render.splat.cpu.lane_type import LANES

_HERE = Path(__file__).parent
kernel, inner = compilers([_HERE.parent / "rule.py", *sorted(_HERE.glob("*.py"))], str(LANES))

"""The Triton kernels, run on the CPU by Triton's interpreter at small size, against the float64 reference."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment

pytest.importorskip("triton")
TESTS = Path(__file__).parents[2]


def interpreted(code: str) -> None:
    """Run code in a process whose Triton interprets; the interpreter must be chosen before Triton is imported."""
    head = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r}); from splat_cases import *; "
        "cameras = CAMERAS.resized(24, 20); "
    )
    words = [sys.executable, "-c", head + code]
    done = subprocess.run(words, env=environment(TRITON_INTERPRET="1"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_picture_and_gradients_are_those_of_the_reference() -> None:
    interpreted("compare(crowd(12, 2), 'gpu', cameras, antialiased=True)")


@pytest.mark.slow
@pytest.mark.parametrize("antialiased", [False, True])
def test_nasty_scenes(antialiased: bool) -> None:
    """With few ordinary Gaussians beside them, what anti-aliasing leaves of Gaussians of 400 to 1e13 units is mostly noise."""
    loose = {"huge": 1e-3, "beyond all bounds": 5e-2} if antialiased else {}
    interpreted(
        "cases = nasty(6); assert len(cases) > 10\n"
        "for name, scene in cases.items():\n"
        f"    compare(scene, 'gpu', cameras[0], antialiased={antialiased}, tolerance={loose}.get(name, 1e-4))"
    )


@pytest.mark.slow
def test_without_depth_and_more_than_one_block_of_gaussians() -> None:
    """An early stop, too: opaque ones in front."""
    interpreted(
        "scene = replace(crowd(150, log_scale=-1.0), opacity_logits=torch.full((1, 150), 4.0, dtype=F64)); "
        "cameras = cameras[0]; up = weights(1, cameras)[:2]; "
        "a, b = (drawn(scene, cameras, up, k, depth=False) for k in ('reference', 'gpu')); "
        "assert relative(b.picture.rgb, a.picture.rgb) < 1e-5; "
        "assert max(relative(x, y) for x, y in zip(b.gradients[:6], a.gradients[:6])) < 1e-4"
    )


def test_it_is_refused_where_there_is_no_gpu() -> None:
    import torch
    from g3d.errors import G3dError
    from g3d.render.splat import choose

    assert os.environ.get("TRITON_INTERPRET") != "1"
    with pytest.raises(G3dError, match="needs a CUDA GPU"):
        choose("gpu", torch.device("cpu"))


COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from g3d.render.splat.gpu import blend, project

POINTERS = {"boxes": "*i32", "counts": "*i32", "ends": "*i64", "keys": "*i64", "owners": "*i64", "order": "*i64",
            "starts": "*i64", "stops": "*i64"}
INTEGERS = {"n", "views", "width", "height", "blocks", "tiles", "tiles_x", "total"}
CONSTANTS = {"ANTIALIASED": True, "POSE": True, "DEEP": True, "BLOCK": 128}
for kernel in (project.project, project.fill, project.project_backward, blend.blend, blend.blend_backward):
    names = kernel.arg_names
    kinds = {k: "constexpr" if k in CONSTANTS else "i32" if k in INTEGERS else POINTERS.get(k, "*fp32") for k in names}
    constants = {(names.index(k),): v for k, v in CONSTANTS.items() if k in names}
    made = triton.compile(ASTSource(fn=kernel, signature=kinds, constexprs=constants), target=GPUTarget("cuda", 80, 32))
    print(kernel.__name__, len(made.asm["cubin"]))
"""


@pytest.mark.slow
def test_they_compile_for_a_gpu(tmp_path: Path) -> None:
    """To machine code of compute capability 8.0, which needs no GPU: the interpreter accepts more than the compiler."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], env=environment(TRITON_CACHE_DIR=str(tmp_path)), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.split()) == 10

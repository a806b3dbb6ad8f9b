"""Two processes compute what one computes, also with second-order gradients; one that is killed ends the other."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from commands import Pipeline, environment, g3d, refused
from g3d import distributed, latents
from g3d.latents import Latents, LatentSpace, Part
from g3d.storage import artifacts
from safetensors.torch import load_file

TOY = '''
import sys, torch
from safetensors.torch import save_file
from g3d import distributed

torch.set_num_threads(1)

def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Softplus(), torch.nn.Linear(8, 1)).double()

def r1(net, x, batch):
    """Logistic loss and R1: a gradient of a gradient."""
    x = x.requires_grad_()
    score = net(x).squeeze(1)
    (slope,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    return (torch.nn.functional.softplus(-score) + 5 * slope.square().sum(1)).sum() / batch

def meta(net, x, batch):
    """One inner step on a latent of each item, differentiated through (second order)."""
    total = 0
    for row in x:
        code = torch.zeros(4, dtype=torch.float64, requires_grad=True)
        inner = net((row + code)[None]).square().sum()
        (slope,) = torch.autograd.grad(inner, code, create_graph=True)
        total = total + (net((row + code - 0.1 * slope)[None]) - 1).square().sum()
    return total / batch

with distributed.processes(torch.device("cpu")):
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mine = distributed.share(torch.arange(5))  # 2 and 3: uneven
    found = {}
    for name, loss in (("r1", r1), ("meta", meta)):
        net = network()
        codes = torch.nn.Parameter(torch.zeros(5, 4, dtype=torch.float64))  # a latent an item: only ours get gradients
        for part in distributed.micro_batches(mine, int(sys.argv[2])):
            value = loss(net, x[mine][part] + codes[mine][part], 5)
            value.backward()
        distributed.sum_gradients([*net.parameters(), codes])
        found |= {f"{name}.{i}": p.grad for i, p in enumerate([*net.parameters(), codes])}
    flags = distributed.agree(distributed.rank() == 1, False)
    found["flags"] = torch.tensor(flags)
    if distributed.rank() == 0:
        save_file({k: v.contiguous() for k, v in found.items()}, sys.argv[1])
'''


def processes(count: int, command: list[str], **more: str) -> list[subprocess.Popen[str]]:
    """The command in `count` processes that find each other, as torchrun would start them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), **more}
    return [
        subprocess.Popen(
            [sys.executable, *command], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment(**common, RANK=str(rank), LOCAL_RANK=str(rank)),
        )
        for rank in range(count)
    ]  # fmt: skip


def together(command: list[str]) -> list[str]:
    """Run it in two processes to the end; what each wrote to stderr."""
    running = processes(2, command)
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    return said


@pytest.mark.slow
def test_gradients_of_gradients_add_up(tmp_path: Path) -> None:
    """R1 and second-order meta-gradients, shares of 2 and 3 items, whole and in micro-batches, latents of single items."""
    (tmp_path / "toy.py").write_text(TOY)
    alone = subprocess.run(
        [sys.executable, str(tmp_path / "toy.py"), str(tmp_path / "one"), "0"], env=environment(), check=False
    )
    assert alone.returncode == 0
    for micro in ("0", "1", "2"):
        together([str(tmp_path / "toy.py"), str(tmp_path / f"two{micro}"), micro])
        one, two = load_file(tmp_path / "one"), load_file(tmp_path / f"two{micro}")
        assert one.keys() == two.keys() and len(one) == 11
        for name in one:
            if name != "flags":
                assert one[name].abs().max() > 0, name
                torch.testing.assert_close(two[name], one[name], rtol=1e-12, atol=1e-14)
        assert two["flags"].tolist() == [True, False] and one["flags"].tolist() == [False, False]


def test_micro_batches_cover_the_share() -> None:
    assert distributed.micro_batches(slice(3, 8), 2) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert distributed.micro_batches(slice(3, 8), 0) == [slice(0, 5)]
    assert distributed.micro_batches(slice(4, 4), 0) == distributed.micro_batches(slice(4, 4), 3) == []


@pytest.mark.parametrize("kind", ["fit-stage1", "fit-prior"])
def test_gradient_accumulation_fits_the_same(kind: str, pipeline: Pipeline, tmp_path: Path) -> None:
    words: dict[str, list[object]] = {
        "fit-stage1": ["fit-stage1", "mnif", "--data", pipeline.data, "--preset", "smoke", "--set", "epochs=6"],
        "fit-prior": ["fit-prior", pipeline.model, "--set", "width=32", "--set", "epochs=40", "--set", "batch=6"],
    }
    name, artifact = {"fit-stage1": ("model.safetensors", "model"), "fit-prior": ("prior.safetensors", "prior")}[kind]
    for micro in (0, 1):
        done = g3d(*words[kind], "--device", "cpu", "--set", f"micro_batch={micro}", "--out", tmp_path / str(micro))
        assert done.code == 0, done.err
    one, two = (artifacts.read(tmp_path / who / name, artifact).values for who in "01")
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=2e-5)


@pytest.mark.slow
def test_two_processes_fit_the_prior_that_one_fits(pipeline: Pipeline, tmp_path: Path) -> None:
    words = [
        "fit-prior",
        str(pipeline.model),
        "--set",
        "width=32",
        "--set",
        "epochs=40",
        "--set",
        "batch=5",
        "--device",
        "cpu",
    ]
    assert g3d(*words, "--out", tmp_path / "one").code == 0
    together(["-m", "g3d_cli.main", *words, "--out", str(tmp_path / "two")])
    one, two = (artifacts.read(tmp_path / who / "prior.safetensors", "prior").values for who in ("one", "two"))
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=2e-5)


@pytest.mark.slow
def test_two_processes_fit_the_autoregressive_prior_that_one_fits(tmp_path: Path) -> None:
    """With dropout and classes; a batch of 5, so shares of 2 and 3."""
    space = LatentSpace("tokens", {"tokens": Part((4,), 5)})
    tokens = torch.randint(5, (24, 4), generator=torch.Generator().manual_seed(0))
    found = Latents(space, {"tokens": tokens}, [str(i) for i in range(24)], torch.arange(24) % 3)
    latents.write(tmp_path / "l.safetensors", found)
    words = ["fit-prior", str(tmp_path / "l.safetensors"), "--kind", "autoregressive"]
    words += ["--preset", "smoke", "--set", "batch=5", "--set", "dropout=0.3", "--device", "cpu"]
    assert g3d(*words, "--out", tmp_path / "one").code == 0
    together(["-m", "g3d_cli.main", *words, "--out", str(tmp_path / "two")])
    one, two = (artifacts.read(tmp_path / who / "prior.safetensors", "prior") for who in ("one", "two"))
    assert one.values.keys() == two.values.keys()
    for key in one.values:
        torch.testing.assert_close(two.values[key], one.values[key], rtol=1e-3, atol=2e-5)
    assert two.config["figures"] == pytest.approx(one.config["figures"], rel=1e-4)
    assert (tmp_path / "two/metrics.json").is_file()


@pytest.mark.slow
def test_two_processes_write_the_files_that_one_writes(pipeline: Pipeline, tmp_path: Path) -> None:
    """sample, decode, render and eval-fid share the work out by rank; the bytes are those of one process."""

    def tree(folder: Path) -> dict[str, bytes]:
        found = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        return {str(p.relative_to(folder)): p.read_bytes() for p in found if p.is_file()}

    def both(name: str, *words: object, outputs: tuple[str, ...] = ("--out",)) -> None:
        places = {who: [str(tmp_path / f"{name}-{who}{o}") for o in outputs] for who in ("one", "two")}
        command = {
            who: [*map(str, words), *(w for pair in zip(outputs, places[who], strict=True) for w in pair)]
            for who in places
        }
        done = g3d(*command["one"])
        assert done.code == 0, done.err
        together(["-m", "g3d_cli.main", *command["two"]])
        for one, two in zip(places["one"], places["two"], strict=True):
            assert tree(Path(one)) == tree(Path(two)) != {}, name
        assert not [p for p in tmp_path.iterdir() if p.name.endswith(".partial")]

    sample = ("sample", pipeline.model, "--prior", pipeline.prior, "--num", 37, "--device", "cpu")
    both("sample", *sample, "--cameras", "prior", "--depth", outputs=("--out", "--render", "--latents"))
    both("latents", *sample, "--batch", 5, outputs=("--latents",))
    both(
        "decode",
        "decode",
        pipeline.model,
        pipeline.model,
        "--cameras",
        "orbit:3",
        "--device",
        "cpu",
        outputs=("--render",),
    )
    both("render", "render", pipeline.scenes, "--cameras", "orbit:2", "--alpha", "--device", "cpu")
    pictures = tmp_path / "sample-one--render"
    figures = []
    for who in ("one", "two"):
        command = [
            "eval-fid",
            str(pipeline.data),
            str(pictures),
            "--extractor",
            "random",
            "--cache",
            "none",
            "--batch",
            "5",
            "--device",
            "cpu",
        ]
        command += ["--out", str(tmp_path / f"{who}.json")]
        if who == "one":
            assert g3d(*command).code == 0
        else:
            together(["-m", "g3d_cli.main", *command])
        figures.append((tmp_path / f"{who}.json").read_text())
    assert figures[0] == figures[1]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_others_with_a_sentence(victim: int, pipeline: Pipeline, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = [
        "fit-stage1",
        "mnif",
        "--data",
        str(pipeline.data),
        "--preset",
        "smoke",
        "--set",
        "epochs=100000",
        "--device",
        "cpu",
    ]
    running = processes(2, ["-m", "g3d_cli.main", *words, "--out", str(out)])
    while not (out / "log.jsonl").is_file():
        assert running[0].poll() is None, running[0].communicate()
        time.sleep(0.02)
    running[victim].send_signal(signal.SIGKILL)
    other = running[1 - victim]
    _, err = other.communicate(timeout=120)
    assert other.returncode == 1 and "another process of this run is gone" in err and "Traceback" not in err
    running[victim].communicate()


def test_processes_that_cannot_meet(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    words = ["fit-stage1", "mnif", "--data", pipeline.data, "--preset", "smoke", "--device", "cpu"]
    refused(g3d(*words, "--out", tmp_path / "run"), "cannot meet", "torchrun")
    assert not (tmp_path / "run").exists() and os.environ["WORLD_SIZE"] == "2"


@pytest.mark.slow
def test_two_processes_resume_to_what_they_end_with_undisturbed(pipeline: Pipeline, tmp_path: Path) -> None:
    words = [
        "fit-stage1",
        "mnif",
        "--data",
        str(pipeline.data),
        "--preset",
        "smoke",
        "--set",
        "epochs=300",
        "--device",
        "cpu",
    ]
    command = ["-m", "g3d_cli.main", *words, "--out"]
    together([*command, str(tmp_path / "whole")])
    running = processes(2, [*command, str(tmp_path / "cut")])
    while not (tmp_path / "cut" / "log.jsonl").is_file():
        assert running[0].poll() is None, running[0].communicate()
        time.sleep(0.02)
    for process in running:
        process.send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [143, 143], said
    assert 0 < artifacts.header(tmp_path / "cut/state.safetensors").config["step"] < 300
    together([*command, str(tmp_path / "cut"), "--resume"])
    for name in ("model.safetensors", "latents.safetensors"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

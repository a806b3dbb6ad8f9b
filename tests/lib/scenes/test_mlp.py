"""Networks written as data, against loops in float64."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from g3d.errors import G3dError
from g3d.scenes.mlp import (
    KINDS,
    Activation,
    Buffers,
    Encoding,
    Layer,
    Network,
    Output,
    activate,
    check_widths,
    encode,
    evaluate,
)
from g3d.scenes.mlp import from_json as network_from_json
from g3d.scenes.mlp import to_json as network_to_json
from torch import Tensor

FORMULAS: dict[str, tuple[Activation, Callable[[float], float]]] = {
    "linear": (Activation("linear"), lambda x: x),
    "sin": (Activation("sin"), math.sin),
    "sigmoid": (Activation("sigmoid"), lambda x: 1 / (1 + math.exp(-x))),
    "softplus": (Activation("softplus"), lambda x: math.log(1 + math.exp(x))),
    "relu": (Activation("relu"), lambda x: max(x, 0.0)),
    "leaky_relu": (Activation("leaky_relu", slope=0.1), lambda x: x if x > 0 else 0.1 * x),
    "elu": (Activation("elu", alpha=0.3), lambda x: x if x > 0 else 0.3 * (math.exp(x) - 1)),
    "clamp": (Activation("clamp"), lambda x: min(max(x, 0.0), 1.0)),
}


def test_every_kind_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grad", [False, True])
def test_activations_against_their_formulas(kind: str, grad: bool) -> None:
    plain, formula = FORMULAS[kind]
    values = [-3.0, -1.0, -0.25, 0.0, 0.3, 0.9, 1.0, 2.5, 7.0]
    for change in (
        {},
        {"gain": 2.5},
        {"shift": -0.5},
        {"offset": 0.7},
        {"maximum": 0.6},
        {"gain": -3.0, "shift": 0.1, "offset": -0.2, "maximum": 1.5},
        {"gain": 0.0, "shift": 2.0},
    ):
        spec = replace(plain, **change)
        with torch.set_grad_enabled(grad):
            found = activate(spec, torch.tensor(values, dtype=torch.float64))
        wanted = [spec.shift + spec.gain * formula(x + spec.offset) for x in values]
        wanted = wanted if spec.maximum is None else [min(w, spec.maximum) for w in wanted]
        assert found.tolist() == pytest.approx(wanted, abs=1e-12), (kind, change)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(G3dError, match=r"'gelu'.*allowed: linear, sin"):
        activate(Activation("gelu"), torch.zeros(1))


@pytest.mark.parametrize(("include", "scale"), [(True, 1.0), (False, math.pi), (True, math.pi)])
def test_positional_encoding_in_its_order(include: bool, scale: float) -> None:
    x = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = encode(x, Encoding(4, include, scale))
    for b in range(2):
        for p in range(3):
            wanted = list(x[b, p]) if include else []
            for k in range(4):
                wanted += [math.sin(scale * 2**k * float(v)) for v in x[b, p]]
                wanted += [math.cos(scale * 2**k * float(v)) for v in x[b, p]]
            assert found[b, p].tolist() == pytest.approx([float(w) for w in wanted], abs=1e-12)
    assert torch.equal(encode(x, Encoding()), x)


NETWORK = Network(
    layers=(
        Layer("a", ("x",), Activation("relu")),
        Layer("b", ("a",), Activation("sin")),
        Layer("c", ("b", "x"), Activation("leaky_relu", slope=0.1)),  # a skip
        Layer("density", ("c",), Activation("linear")),
        Layer("features", ("c", "a"), Activation("elu", alpha=0.5, gain=1.5, offset=0.25)),
        Layer("rgb", ("features", "direction"), Activation("softplus", shift=-0.2, maximum=2.0)),
    ),
    outputs={
        "density": Output("density", 1, 2, Activation("softplus", offset=-1.0)),
        "rgb": Output("rgb", 0, 3, Activation("sigmoid")),
        "hidden": Output("a", 0, 5, Activation("sin")),  # an output may read a layer that others read, too
    },
    encodings={"x": Encoding(2, True, math.pi), "direction": Encoding(1, False)},
)
SIZES = {"a": (5, 15), "b": (4, 5), "c": (6, 19), "density": (2, 6), "features": (4, 11), "rgb": (3, 10)}


def random_weights(batch: int, dtype: torch.dtype = torch.float64) -> dict[str, tuple[Tensor, Tensor]]:
    g = torch.Generator().manual_seed(1)
    return {
        n: (
            torch.randn(batch, o, i, generator=g, dtype=dtype) / i**0.5,
            torch.randn(batch, o, generator=g, dtype=dtype),
        )
        for n, (o, i) in SIZES.items()
    }


def random_inputs(batch: int, points: int) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(2)
    return {n: torch.randn(batch, points, 3, generator=g, dtype=torch.float64) for n in ("x", "direction")}


def slow(weights: dict[str, tuple[Tensor, Tensor]], x: Tensor, direction: Tensor, b: int) -> dict[str, list[float]]:
    """NETWORK at one point, neuron by neuron, written out by hand."""

    def linear(name: str, h: list[float]) -> list[float]:
        w, bias = weights[name][0][b].tolist(), weights[name][1][b].tolist()
        assert len(h) == len(w[0])
        return [sum(wi * hi for wi, hi in zip(row, h, strict=True)) + c for row, c in zip(w, bias, strict=True)]

    v, d = x.tolist(), direction.tolist()
    ex = v + [f(s * math.pi * q) for s in (1, 2) for f in (math.sin, math.cos) for q in v]
    ed = [f(q) for f in (math.sin, math.cos) for q in d]
    a = [max(q, 0.0) for q in linear("a", ex)]
    bb = [math.sin(q) for q in linear("b", a)]
    c = [q if q > 0 else 0.1 * q for q in linear("c", bb + ex)]
    density = linear("density", c)
    features = [1.5 * (q if q > 0 else 0.5 * math.expm1(q)) for q in (p + 0.25 for p in linear("features", c + a))]
    rgb = [min(math.log1p(math.exp(q)) - 0.2, 2.0) for q in linear("rgb", features + ed)]
    return {
        "density": [math.log1p(math.exp(density[1] - 1))],
        "rgb": [1 / (1 + math.exp(-q)) for q in rgb],
        "hidden": [math.sin(q) for q in a],
    }


def test_skips_and_two_branches_against_a_loop_over_points() -> None:
    weights, inputs = random_weights(2), random_inputs(2, 4)
    found = evaluate(NETWORK, weights, inputs)
    assert {n: tuple(v.shape) for n, v in found.items()} == {
        "density": (2, 4, 1),
        "rgb": (2, 4, 3),
        "hidden": (2, 4, 5),
    }
    for b in range(2):
        for p in range(4):
            wanted = slow(weights, inputs["x"][b, p], inputs["direction"][b, p], b)
            for name, values in wanted.items():
                assert found[name][b, p].tolist() == pytest.approx(values, abs=1e-10), name


def test_only_colour_sees_the_direction() -> None:
    weights, inputs = random_weights(1), random_inputs(1, 6)
    other = {**inputs, "direction": -inputs["direction"]}
    one, two = evaluate(NETWORK, weights, inputs), evaluate(NETWORK, weights, other)
    assert torch.equal(one["density"], two["density"])
    assert not torch.allclose(one["rgb"], two["rgb"])


def test_one_output_asks_only_for_what_it_depends_on() -> None:
    """The same numbers as beside the others; without the direction, and without the weights, that it has no use for."""
    weights, inputs = random_weights(2), random_inputs(2, 4)
    whole = evaluate(NETWORK, weights, inputs)
    needed = {name: weights[name] for name in ("a", "b", "c", "density")}
    found = evaluate(NETWORK, needed, {"x": inputs["x"]}, only="density")
    assert set(found) == {"density"} and torch.equal(found["density"], whole["density"])
    with torch.no_grad():
        again = evaluate(NETWORK, weights, inputs, Buffers(), only="rgb")
    assert set(again) == {"rgb"} and torch.allclose(again["rgb"], whole["rgb"])


def test_buffers_give_the_same_numbers_call_after_call() -> None:
    """Of any size in any order, in two types; earlier results stay; a layer that is read later is not overwritten."""
    buffers, kept = Buffers(), []
    for points, dtype in ((50, torch.float64), (7, torch.float64), (80, torch.float64), (80, torch.float32)):
        weights = random_weights(2, dtype)
        inputs = {n: v.to(dtype) for n, v in random_inputs(2, points).items()}
        with torch.no_grad():
            found, wanted = evaluate(NETWORK, weights, inputs, buffers), evaluate(NETWORK, weights, inputs)
        kept += [(found[name], wanted[name]) for name in NETWORK.outputs]
    assert all(torch.equal(a, b) for a, b in kept)


def test_a_chain_of_layers_needs_two_buffers() -> None:
    layers = tuple(Layer(str(i), (str(i - 1) if i else "x",), Activation("sin")) for i in range(6))
    chain = Network(layers, {"rgb": Output("5", 0, 3, Activation("linear"))}, {"x": Encoding()})
    buffers = Buffers()
    assert [buffers.place_of(chain, str(i)) for i in range(6)] == [0, 1, 0, 1, 0, 1]
    places = {name: buffers.place_of(NETWORK, name) for name in SIZES}
    assert places == {"a": 0, "b": 1, "c": 2, "density": 1, "features": 3, "rgb": 2}  # a and density are outputs
    with torch.no_grad():
        first, second = (buffers.take(0, shape, torch.zeros(1)) for shape in ((4, 5), (2, 3)))
    assert first.data_ptr() == second.data_ptr()


def test_buffers_refuse_gradients() -> None:
    with pytest.raises(AssertionError, match="gradients"):
        evaluate(NETWORK, random_weights(1), random_inputs(1, 2), Buffers())


def test_without_gradients_the_same_numbers_and_nothing_overwritten() -> None:
    weights, inputs = random_weights(2), random_inputs(2, 50)
    kept_w = {n: (w.clone(), b.clone()) for n, (w, b) in weights.items()}
    kept_x = {n: v.clone() for n, v in inputs.items()}
    with torch.enable_grad():
        wanted = evaluate(NETWORK, weights, inputs)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = evaluate(NETWORK, weights, inputs)
            again = evaluate(NETWORK, weights, inputs)
        for name in wanted:
            torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-13)
            assert torch.equal(found[name], again[name])
    for n in weights:
        assert torch.equal(weights[n][0], kept_w[n][0]) and torch.equal(weights[n][1], kept_w[n][1])
    for n in inputs:
        assert torch.equal(inputs[n], kept_x[n])


@pytest.mark.parametrize("kind", KINDS)
def test_an_input_read_as_an_output_is_not_overwritten(kind: str) -> None:
    """The shortest network: an output straight from the input, no layer between."""
    network = Network((), {"rgb": Output("x", 0, 3, Activation(kind, offset=0.5))}, {"x": Encoding()})
    x = torch.tensor([[[-2.0, 0.2, 3.0]]])
    with torch.no_grad():
        evaluate(network, {}, {"x": x})
    assert x.tolist() == [[[pytest.approx(-2.0), pytest.approx(0.2), pytest.approx(3.0)]]]


def test_gradients_flow_to_weights_and_points() -> None:
    weights = {n: (w.requires_grad_(), b.requires_grad_()) for n, (w, b) in random_weights(1).items()}
    inputs = {n: v.requires_grad_() for n, v in random_inputs(1, 2).items()}
    flat = [t for pair in weights.values() for t in pair] + list(inputs.values())

    def run(*_: Tensor) -> Tensor:
        return torch.cat(list(evaluate(NETWORK, weights, inputs).values()), dim=-1)

    assert torch.autograd.gradcheck(run, flat)


def test_json_round_trip() -> None:
    text = json.dumps(network_to_json(NETWORK))
    assert network_from_json(json.loads(text), "a file") == NETWORK
    assert "slope" in text and text.count("slope") == 1  # defaults are left out


def changed(**parts: Any) -> dict[str, Any]:
    return {**network_to_json(NETWORK), **parts}


LAYER = {"name": "a", "inputs": ["x"], "activation": {"kind": "relu"}}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed(layers=[{**LAYER, "inputs": ["b"]}]), "layer 'a'.*'b'"),
        (changed(layers=[{**LAYER, "activation": {"kind": "gelu"}}]), "'gelu'.*allowed"),
        (changed(layers=[{**LAYER, "activation": {"kind": "relu", "gain": "x"}}]), "numbers"),
        (changed(layers=[{**LAYER, "activation": {"kind": "relu", "colour": 1}}]), "colour"),
        (changed(layers=[{"name": "a"}]), "inputs"),
        (changed(layers=[LAYER]), "layer 'density', which does not exist"),
        (changed(encodings={"x": {"count": "2"}, "direction": {}}), "encodes 'x'"),
        (changed(encodings={"x": {"count": -1}, "direction": {}}), "encodes 'x'"),
        (changed(encodings=[]), "cannot be read"),
        (changed(outputs={"rgb": {"layer": "rgb", "channels": [0], "activation": {"kind": "relu"}}}), "cannot be read"),
        ({}, "layers"),
        ([], "cannot be read"),
    ],
)
def test_descriptions_that_are_refused(data: Any, words: str) -> None:
    with pytest.raises(G3dError, match=words) as caught:
        network_from_json(data, "scenes/a")
    assert "scenes/a" in str(caught.value)


def test_weights_that_do_not_fit_the_description() -> None:
    inputs = {"x": 3, "direction": 3}
    check_widths(NETWORK, SIZES, inputs, "scenes/a")
    with pytest.raises(G3dError, match=r"'layer\.c\.weight' has shape \[6, 18\].*\(b, x\) have 19.*\[6, 19\]"):
        check_widths(NETWORK, {**SIZES, "c": (6, 18)}, inputs, "scenes/a")
    with pytest.raises(G3dError, match=r"output 'rgb' .*\[0, 3\).*'rgb', which has 2"):
        check_widths(NETWORK, {**SIZES, "rgb": (2, 10)}, inputs, "scenes/a")
    wide = replace(NETWORK, outputs={"density": Output("density", 0, 2, Activation("relu"))})
    with pytest.raises(G3dError, match=r"output 'density'.*wanted are 1"):
        check_widths(wide, SIZES, inputs, "scenes/a")
    with pytest.raises(G3dError, match="reads 'direction'; a field of its kind is given x"):
        check_widths(NETWORK, SIZES, {"x": 3}, "scenes/a")


def test_memory_that_is_used_again_changes_no_result() -> None:
    """A network with skips, layers read twice and read by outputs, at sizes that grow and shrink: as with gradients."""
    g = torch.Generator().manual_seed(0)
    names = {"a": ("x",), "b": ("a",), "c": ("x", "b"), "d": ("c", "a"), "e": ("d",)}
    relu = Activation("relu")
    layers = tuple(Layer(n, i, relu if n != "b" else Activation("softplus")) for n, i in names.items())
    outputs = {"rgb": Output("e", 0, 3, Activation("sigmoid")), "density": Output("c", 0, 1, relu)}
    net = Network(layers, outputs, {"x": Encoding(2)})
    widths = {"x": 15, "a": 6, "b": 5, "c": 7, "d": 8, "e": 4}
    for scenes in (1, 2):
        weights = {}
        for name, inputs in names.items():
            wide = sum(widths[i] for i in inputs)
            w = torch.randn(scenes, widths[name], wide, generator=g)
            weights[name] = (w, torch.randn(scenes, widths[name], generator=g))
        kept = []
        for points in (50, 7, 300, 50):
            x = torch.rand(scenes, points, 3, generator=g)
            with torch.no_grad():
                found = evaluate(net, weights, {"x": x})
            wanted = evaluate(net, weights, {"x": x})
            kept.append((found, wanted))
        for found, wanted in kept:  # after all: nothing that was returned has been written over
            for name in outputs:
                torch.testing.assert_close(found[name], wanted[name])

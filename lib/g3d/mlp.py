"""An MLP written as data: layers that name their inputs, encodings, activations; evaluated for many scenes at once.

One description holds SIRENs, ReLU networks with skips and two-branch fields, so that a scene can be rendered without the
method that made it.

Letters: B scenes, P points of each, I and O features into and out of a layer.
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from g3d.errors import G3dError

Weights = Mapping[str, tuple[Tensor, Tensor]]  # layer name -> weight [B, O, I], bias [B, O]


@dataclass(frozen=True)
class Activation:
    """`kind` with its parameters: y = min(shift + gain * f(x), maximum).

    linear, sin, sigmoid, softplus; relu; leaky_relu (slope); elu (alpha); clamp (to [0, 1])."""

    kind: str
    gain: float = 1.0
    shift: float = 0.0
    slope: float = 0.2
    alpha: float = 1.0
    offset: float = 0.0  # added to x before f
    maximum: float | None = None


@dataclass(frozen=True)
class Encoding:
    """Positional encoding of an input: [x] (if `include_input`), then sin and cos of scale * 2^k x for k below `count`."""

    count: int = 0
    include_input: bool = True
    scale: float = 1.0  # 1 or pi, as the method has it


@dataclass(frozen=True)
class Layer:
    """One linear layer. `inputs` are names of encoded inputs (`x`, `direction`) or of earlier layers, concatenated."""

    name: str
    inputs: tuple[str, ...]
    activation: Activation


@dataclass(frozen=True)
class Output:
    """Channels [first, last) of a layer, activated: `rgb`, `density` or `occupancy`."""

    layer: str
    first: int
    last: int
    activation: Activation


@dataclass(frozen=True)
class Network:
    """The whole description; what scene files hold as `network`."""

    layers: tuple[Layer, ...]
    outputs: Mapping[str, Output]
    encodings: Mapping[str, Encoding]


KINDS = ("linear", "sin", "sigmoid", "softplus", "relu", "leaky_relu", "elu", "clamp")


def evaluate(network: Network, weights: Weights, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Outputs by name, [B, P, C], of a batch of MLPs at `inputs` (name -> [B, P, 3] or [B, P, 2])."""
    memory = _Memory() if not torch.is_grad_enabled() and next(iter(inputs.values())).device.type == "cpu" else None
    known = {n: encode(inputs[n], e, memory) for n, e in network.encodings.items() if n in inputs}
    last = {name: layer for layer in network.layers for name in layer.inputs}  # the layer that reads it last
    kept = {out.layer for out in network.outputs.values()}
    for layer in network.layers:
        features = [known[name] for name in layer.inputs]
        h = features[0] if len(features) == 1 else _cat(features, memory)  # [B, P, I]
        known[layer.name] = activate(layer.activation, _affine(*weights[layer.name], h, memory))
        if memory is not None:
            done = [known[n] for n in layer.inputs if last[n] is layer and n not in kept]
            memory.give([*done, *([h] if len(features) > 1 else [])])
    found = {}
    for name, out in network.outputs.items():
        part = known[out.layer][..., out.first : out.last]
        if not torch.is_grad_enabled():
            part = part.clone()  # `activate` then works in place, and outputs may share channels
        found[name] = activate(out.activation, part)
    if memory is not None:
        memory.give(list(known.values()))
    return found


def _affine(weight: Tensor, bias: Tensor, h: Tensor, memory: "_Memory | None") -> Tensor:
    """weight [B, O, I], bias [B, O], h [B, P, I] => [B, P, O]"""
    if memory is None:
        return torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2))
    out = memory.take((*h.shape[:2], weight.shape[1]), h)
    if len(weight) == 1:
        torch.addmm(bias[0], h[0], weight[0].t(), out=out[0])
        return out
    return torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2), out=out)


def _cat(parts: list[Tensor], memory: "_Memory | None") -> Tensor:
    if memory is None:
        return torch.cat(parts, dim=-1)
    shape = (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))
    return torch.cat(parts, dim=-1, out=memory.take(shape, parts[0]))


class _Memory:
    """Memory of one evaluation that the next one finds again: fresh large tensors cost as much as the products (measured).

    Only for what never leaves `evaluate`, without gradients, on a CPU. Each thread has its own."""

    _kept = threading.local()
    _MOST = 1 << 24  # numbers of a piece that is kept

    def __init__(self) -> None:
        self._taken: dict[int, Tensor] = {}  # address of what was handed out => the piece that it lies in

    def take(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """An uninitialised tensor of this shape."""
        size = math.prod(shape)
        free = self._free(like)
        found = next((i for i in range(len(free) - 1, -1, -1) if free[i].numel() >= size), None)
        piece = like.new_empty(size) if found is None else free.pop(found)
        view = piece[:size].view(shape)
        self._taken[view.data_ptr()] = piece
        return view

    def give(self, tensors: list[Tensor]) -> None:
        """Those of `tensors` that were taken may be taken again."""
        for tensor in tensors:
            piece = self._taken.pop(tensor.data_ptr(), None)
            if piece is not None and piece.numel() <= self._MOST:
                free = self._free(piece)
                free.append(piece)
                del free[:-8]

    def _free(self, like: Tensor) -> list[Tensor]:
        pieces: dict[tuple[torch.dtype, bool], list[Tensor]] = self._kept.__dict__.setdefault("pieces", {})
        return pieces.setdefault((like.dtype, torch.is_inference_mode_enabled()), [])


def encode(x: Tensor, encoding: Encoding, memory: _Memory | None = None) -> Tensor:
    """[B, P, d] => [B, P, d (+ 2 d count)], in the order x, sin(2^0 x), cos(2^0 x), sin(2^1 x), ..."""
    if encoding.count == 0:
        return x
    angles = [x * (encoding.scale * 2.0**k) for k in range(encoding.count)]
    waves = [f for angle in angles for f in (angle.sin(), angle.cos())]
    return _cat([x, *waves] if encoding.include_input else waves, memory)


def activate(spec: Activation, x: Tensor) -> Tensor:
    """Apply an activation; in place where no gradient is wanted (fresh large tensors cost page faults)."""
    inplace = not torch.is_grad_enabled()
    if spec.offset:
        x = x.add_(spec.offset) if inplace else x + spec.offset
    match spec.kind:
        case "linear":
            y = x
        case "sin":
            y = x.sin_() if inplace else x.sin()
        case "sigmoid":
            y = x.sigmoid_() if inplace else x.sigmoid()
        case "softplus":
            y = F.softplus(x)
        case "relu":
            y = F.relu(x, inplace=inplace)
        case "leaky_relu":
            y = F.leaky_relu(x, spec.slope, inplace=inplace)
        case "elu":
            y = F.elu(x, spec.alpha, inplace=inplace)
        case "clamp":
            y = x.clamp_(0, 1) if inplace else x.clamp(0, 1)
        case _:
            raise G3dError(f"the activation '{spec.kind}' is not known; allowed: {', '.join(KINDS)}")
    if spec.gain != 1.0:
        y = y * spec.gain
    if spec.shift:
        y = y + spec.shift
    return y if spec.maximum is None else y.clamp(max=spec.maximum)


def to_json(network: Network) -> dict[str, Any]:
    """Plain JSON values, leaving out parameters at their defaults."""
    return {
        "layers": [
            {"name": la.name, "inputs": list(la.inputs), "activation": _lean(la.activation)} for la in network.layers
        ],
        "outputs": {
            n: {"layer": o.layer, "channels": [o.first, o.last], "activation": _lean(o.activation)}
            for n, o in network.outputs.items()
        },
        "encodings": {n: _lean(e) for n, e in network.encodings.items()},
    }


def from_json(data: Mapping[str, Any], where: str) -> Network:
    """From a scene file's metadata; `where` names the file in messages."""
    try:
        layers = tuple(Layer(la["name"], tuple(la["inputs"]), Activation(**la["activation"])) for la in data["layers"])
        outputs = {
            n: Output(o["layer"], int(o["channels"][0]), int(o["channels"][1]), Activation(**o["activation"]))
            for n, o in data["outputs"].items()
        }
        encodings = {n: Encoding(**e) for n, e in data["encodings"].items()}
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        raise G3dError(
            f"the network of '{where}' cannot be read ({type(error).__name__}: {error}); write it again"
        ) from error
    network = Network(layers, outputs, encodings)
    _check(network, where)
    return network


def _check(network: Network, where: str) -> None:
    known = set(network.encodings)
    for layer in network.layers:
        for name in layer.inputs:
            if name not in known:
                raise G3dError(
                    f"layer '{layer.name}' of '{where}' reads '{name}', which comes neither before it nor from an input"
                )
        known.add(layer.name)
    for spec in [*(la.activation for la in network.layers), *(o.activation for o in network.outputs.values())]:
        if spec.kind not in KINDS:
            raise G3dError(f"'{where}' has the activation '{spec.kind}'; allowed: {', '.join(KINDS)}")
        numbers = (spec.gain, spec.shift, spec.slope, spec.alpha, spec.offset, spec.maximum or 0)
        if not all(isinstance(n, int | float) for n in numbers):
            raise G3dError(f"'{where}' has the activation {spec}; its parameters are numbers")
    for name, encoding in network.encodings.items():
        if not isinstance(encoding.count, int) or encoding.count < 0 or not isinstance(encoding.scale, int | float):
            raise G3dError(f"'{where}' encodes '{name}' by {encoding}; its count is a whole number, its scale a number")
    for name, out in network.outputs.items():
        if out.layer not in known:
            raise G3dError(f"the output '{name}' of '{where}' reads the layer '{out.layer}', which does not exist")


def check_widths(
    network: Network, shapes: Mapping[str, tuple[int, ...]], inputs: Mapping[str, int], where: str
) -> None:
    """Refuse weights [O, I] (`shapes`, by layer) that do not fit the network on `inputs` (name -> coordinates)."""
    widths: dict[str, int] = {}
    for name, e in network.encodings.items():
        if name not in inputs:
            raise G3dError(f"the network of '{where}' reads '{name}'; a field of its kind is given {', '.join(inputs)}")
        widths[name] = inputs[name] * (2 * e.count + (e.include_input or not e.count))
    for layer in network.layers:
        wanted, shape = sum(widths[name] for name in layer.inputs), shapes[layer.name]
        if shape[1] != wanted:
            raise G3dError(
                f"'{where}': tensor 'layer.{layer.name}.weight' has shape {list(shape)}; its inputs "
                f"({', '.join(layer.inputs)}) have {wanted} features, so wanted is [{shape[0]}, {wanted}]"
            )
        widths[layer.name] = shape[0]
    for name, out in network.outputs.items():
        channels = {"rgb": 3, "density": 1, "occupancy": 1}.get(name, out.last - out.first)
        if not 0 <= out.first < out.last <= widths[out.layer] or out.last - out.first != channels:
            raise G3dError(
                f"the output '{name}' of '{where}' is channels [{out.first}, {out.last}) of the layer '{out.layer}', "
                f"which has {widths[out.layer]}; wanted are {channels} of them"
            )


def _lean(spec: Activation | Encoding) -> dict[str, Any]:
    default = Activation("linear") if isinstance(spec, Activation) else Encoding()
    found = {k: v for k, v in vars(spec).items() if v != getattr(default, k)}
    return {"kind": spec.kind, **found} if isinstance(spec, Activation) else found

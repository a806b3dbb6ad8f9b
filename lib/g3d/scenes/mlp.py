"""An MLP written as data: layers that name their inputs, encodings, activations; evaluated for many scenes at once.

One description holds SIRENs, ReLU networks with skips and two-branch fields, so that a scene can be rendered without the
method that made it.

Letters: B scenes, P points of each, I and O features into and out of a layer.
"""

import math
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


class Buffers:
    """Memory for the features of layers, used again call after call: fresh large tensors cost page faults.

    Without gradients only. A layer gets the place of features that no later layer reads: a chain needs two."""

    def __init__(self) -> None:
        self._held: dict[int, Tensor] = {}
        self._network: Network | None = None
        self._places: dict[str, int] = {}

    def place_of(self, network: Network, layer: str) -> int:
        """The number of the memory that a layer writes to."""
        if self._network is not network:
            self._network, self._places = network, _places(network)
        return self._places[layer]

    def take(self, place: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Memory of a shape; what was taken there before is overwritten."""
        size = math.prod(shape)
        held = self._held.get(place)
        if held is None or held.numel() < size or held.dtype != like.dtype or held.device != like.device:
            held = self._held[place] = like.new_empty(size)
        return held[:size].view(shape)


def _places(network: Network) -> dict[str, int]:
    last_use = {name: i for i, layer in enumerate(network.layers) for name in layer.inputs}
    last_use |= {out.layer: len(network.layers) for out in network.outputs.values()}
    places: dict[str, int] = {}
    for i, layer in enumerate(network.layers):
        taken = {place for name, place in places.items() if last_use.get(name, -1) >= i}
        places[layer.name] = next(place for place in range(len(network.layers)) if place not in taken)
    return places


JOINED = -1  # the place of several inputs side by side


def evaluate(
    network: Network,
    weights: Weights,
    inputs: Mapping[str, Tensor],
    buffers: Buffers | None = None,
    only: str | None = None,
) -> dict[str, Tensor]:
    """Outputs by name, [B, P, C], of a batch of MLPs at `inputs` (name -> [B, P, 3] or [B, P, 2]).

    `only` one of them costs only the layers, and asks only for the inputs, that it depends on."""
    assert buffers is None or not torch.is_grad_enabled(), "buffers are overwritten, gradients would be wrong"
    needed = None if only is None else _behind(network, only)
    known = {
        name: encode(inputs[name], encoding)
        for name, encoding in network.encodings.items()
        if name in inputs and (needed is None or name in needed)
    }
    for layer in network.layers:
        if needed is not None and layer.name not in needed:
            continue
        features = [known[name] for name in layer.inputs]
        weight, bias = weights[layer.name]
        shape, out, joined = (*features[0].shape[:2], weight.shape[1]), None, None
        if buffers is not None:
            out = buffers.take(buffers.place_of(network, layer.name), shape, weight)
            joined = buffers.take(JOINED, (*shape[:2], weight.shape[2]), weight) if len(features) > 1 else None
        h = features[0] if len(features) == 1 else torch.cat(features, dim=-1, out=joined)  # [B, P, I]
        x = torch.baddbmm(bias.unsqueeze(1), h, weight.transpose(1, 2), out=out)
        known[layer.name] = activate(layer.activation, x)
    found = {}
    for name, output in network.outputs.items():
        if only is not None and name != only:
            continue
        part = known[output.layer][..., output.first : output.last]
        if not torch.is_grad_enabled():
            part = part.clone()  # `activate` then works in place, and outputs may share channels
        found[name] = activate(output.activation, part)
    return found


def encode(x: Tensor, encoding: Encoding) -> Tensor:
    """[B, P, d] => [B, P, d (+ 2 d count)], in the order x, sin(2^0 x), cos(2^0 x), sin(2^1 x), ..."""
    if encoding.count == 0:
        return x
    angles = [x * (encoding.scale * 2.0**k) for k in range(encoding.count)]
    waves = [f for angle in angles for f in (angle.sin(), angle.cos())]
    return torch.cat([x, *waves] if encoding.include_input else waves, dim=-1)


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
        y = y.mul_(spec.gain) if inplace else y * spec.gain
    if spec.shift:
        y = y.add_(spec.shift) if inplace else y + spec.shift
    if spec.maximum is None:
        return y
    return y.clamp_(max=spec.maximum) if inplace else y.clamp(max=spec.maximum)


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
        network = Network(layers, outputs, encodings)
        _check(network, where)
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, ArithmeticError) as error:
        raise G3dError(
            f"the network of '{where}' cannot be read ({type(error).__name__}: {error}); write it again"
        ) from error
    return network


def reads(network: Network, output: str, name: str) -> bool:
    """Whether an output depends on an input."""
    return name in _behind(network, output)


def _behind(network: Network, output: str) -> set[str]:
    """The layers and inputs that an output depends on."""
    reached = {network.outputs[output].layer}
    for layer in reversed(network.layers):  # inputs of a layer come before it
        if layer.name in reached:
            reached |= set(layer.inputs)
    return reached


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

"""The layers of F_A, F_S, MS and MB as tables 8 and 9 give them: names, what they read, how wide they are.

Letters: I and O features into and out of a layer.
"""

from typing import NamedTuple

from g3d.methods.infamous_nerf.config import Config
from g3d.scenes import mlp

LEAKY, LINEAR = mlp.Activation("leaky_relu", slope=0.2), mlp.Activation("linear")
CODES = ("alpha", "beta", "epsilon", "modulated")  # what is the same at every point of a scene; the last is epsilon'
APPEARANCE = tuple(f"A_{i}" for i in range(1, 6))  # table 8
MODULATION = tuple(f"M{kind}_{i}" for kind in "BS" for i in range(1, 4))  # table 9, of beta alone
SHAPE = (*(f"E_{i}" for i in range(1, 4)), *(f"S_{i}" for i in range(1, 7)))  # table 9


class Target(NamedTuple):
    """A layer whose weights the hypernetwork writes."""

    name: str
    inputs: tuple[str, ...]  # codes, `x`, `direction` or layers, side by side
    sizes: tuple[int, ...]  # features of each input
    outputs: int  # O
    activation: mlp.Activation

    @property
    def fan_in(self) -> int:
        """I."""
        return sum(self.sizes)

    @property
    def parameters(self) -> int:
        """P: of the weight and the bias."""
        return self.outputs * (self.fan_in + 1)


def targets(config: Config) -> list[Target]:
    """All 20 layers, each after what it reads. The outputs' activations belong to the scene, so the last layers are linear."""
    width, last = config.width, config.last_width
    sizes = {
        "alpha": config.appearance_dim, "beta": config.shape_dim, "epsilon": config.expression_dim,
        "modulated": config.expression_dim,        "x": 6 * config.x_frequencies, "direction": 6 * config.direction_frequencies,
    }  # fmt: skip
    first = ("alpha", "x", "epsilon") if config.expression_in_colour else ("alpha", "x")
    table: list[tuple[str, tuple[str, ...], int, mlp.Activation]] = [
        ("A_1", first, width, LEAKY),
        ("A_2", ("A_1",), width, LEAKY),
        ("A_3", ("A_2", "alpha", "x"), width, LEAKY),
        ("A_4", ("A_3", "direction"), last, LEAKY),
        ("A_5", ("A_4",), 3, LINEAR),
        *(
            (f"M{kind}_{i}", ("beta",) if i == 1 else (f"M{kind}_{i - 1}",), width if i < 3 else config.expression_dim,
             LEAKY if i < 3 else LINEAR)
            for kind in "BS" for i in range(1, 4)
        ),
        ("E_1", ("modulated", "x"), width, LEAKY),
        ("E_2", ("E_1",), width, LEAKY),
        ("E_3", ("E_2",), width, LEAKY),
        ("S_1", ("beta", "E_3"), width, LEAKY),
        ("S_2", ("S_1",), width, LEAKY),
        ("S_3", ("beta", "E_3", "S_2"), width, LEAKY),
        ("S_4", ("S_3",), width, LEAKY),
        ("S_5", ("alpha", "x", "S_4"), last, LEAKY),
        ("S_6", ("S_5",), 1, LINEAR),
    ]  # fmt: skip
    found = []
    for name, inputs, outputs, activation in table:
        found.append(Target(name, inputs, tuple(sizes[i] for i in inputs), outputs, activation))
        sizes[name] = outputs
    return found


def count(config: Config, names: tuple[str, ...]) -> int:
    """Parameters of some of the layers, e.g. 128,259 of F_A."""
    return sum(t.parameters for t in targets(config) if t.name in names)

"""Who is seen with which expression: the items of a dataset, their subjects, and the codes of the subjects.

Letters: I items, S subjects, E expressions, D numbers of a code.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from g3d.data.columns import OBJECT_SPLITS
from g3d.data.dataset import Dataset, Item
from g3d.errors import G3dError
from g3d.methods.infamous_nerf.config import Config
from g3d.methods.infamous_nerf.field import Codes
from g3d.methods.infamous_nerf.networks import FaceModel, code_sizes


@dataclass(frozen=True)
class Cast:
    """I items with the row of their subject among the S subjects, and their expression."""

    items: Sequence[Item]
    subjects: Tensor  # [I], rows
    expressions: Tensor  # [I], rows of the table
    count: int  # S
    names: Sequence[str] = ()  # of the expressions, by number


def items(dataset: Dataset, split: str) -> list[Item]:
    """The objects of a split (train, test, pairs, all): a subject with an expression each."""
    splits = OBJECT_SPLITS if split == "all" else (split,)
    return [Item(dataset.object_names[i], i) for i, o in enumerate(dataset.info["objects"]) if o["split"] in splits]


def cast(config: Config, dataset: Dataset) -> Cast:
    """The training items; refuses data that says of no view who it shows, or with which expression."""
    chosen = items(dataset, "train")
    if "expression" not in dataset.labels:
        raise G3dError(
            f"'{dataset.path}' does not say which expression a picture shows, and infamous-nerf learns a code of each; prepare "
            "faces or portraits with labels"
        )
    views = [dataset.views(item.object) for item in chosen]
    if not chosen or not all(len(own) for own in views):
        raise G3dError(f"'{dataset.path}' has no training objects with views; prepare it with fewer held-out ones")
    first = torch.stack([own[0] for own in views])
    expressions = dataset.labels["expression"][first].long()
    if not 0 <= int(expressions.min()) <= int(expressions.max()) < config.expressions:
        raise G3dError(
            f"infamous-nerf setting 'expressions' is {config.expressions}, but '{dataset.path}' has expressions up to number "
            f"{int(expressions.max())}; set it to at least {int(expressions.max()) + 1}"
        )
    names = dataset.labels["subject"][first].long() if "subject" in dataset.labels else first
    unique, rows = names.unique(return_inverse=True)
    called = [str(name) for name in dataset.info.get("names", {}).get("expression", [])]
    return Cast(chosen, rows, expressions, len(unique), called)


class SubjectCodes(nn.Module):
    """theta, alpha and beta of each subject; and, in the naive arm, its own table of epsilon [S, E, D]."""

    def __init__(self, config: Config, count: int, generator: torch.Generator):
        super().__init__()
        sizes = code_sizes(config)

        def drawn(*shape: int, std: float = config.code_std) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * std)

        self.identity = drawn(count, sizes["identity"])
        self.appearance = drawn(count, sizes["appearance"])
        self.shape = drawn(count, sizes["shape"])
        self.expression: nn.Parameter | None = None
        if config.expression_table == "naive":
            self.expression = drawn(count, config.expressions, sizes["expression"], std=config.expression_std)

    def of(self, model: FaceModel, subjects: Tensor, expressions: Tensor) -> Codes:
        """The codes [B, D] of some subjects with some expressions."""
        own = self.expression
        if own is not None:
            epsilon = own[subjects, expressions]
        else:
            assert model.expression is not None
            epsilon = model.expression[expressions]
        theta = self.identity[subjects]
        return Codes(theta, theta, self.appearance[subjects], self.shape[subjects], epsilon)

    @torch.no_grad()
    def start_at(self, model: FaceModel) -> None:
        """From the means of another model's subjects, where its weights are taken over."""
        for name, own in (("identity", self.identity), ("appearance", self.appearance), ("shape", self.shape)):
            own.add_(model.mean(name))
        if self.expression is not None:
            self.expression.add_(model.mean("expression"))


@torch.no_grad()
def remember_means(model: FaceModel, codes: SubjectCodes, known: Cast) -> None:
    """Put the means of all codes of the fit into the model, where encoding starts."""
    found = codes.of(model, known.subjects.to(codes.identity.device), known.expressions.to(codes.identity.device))
    for name, value in (("appearance", found.appearance), ("shape", found.shape), ("expression", found.expression)):
        model.mean(name).copy_(value.mean(dim=0))
    model.mean("identity").copy_(found.identity_shape.mean(dim=0))

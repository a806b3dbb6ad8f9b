"""The Inception score of a set of pictures, from the classes that a network sees in them (Salimans et al. 2016, section 4).

    IS = exp( mean over x of KL( p(y | x) || p(y) ) )

with p(y) the mean of p(y | x): 1 where all pictures get the same answer, K where each is sure and the K classes are equally
frequent. Mean and standard deviation are over ten parts of the set, drawn by seed: pictures in the order of their names may lie
class by class, and parts of one class each would score 1.

Letters: N pictures, D feature dimensions, K classes.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from g3d.seeds import rng

SPLITS = 10
_ROWS = 4096


def inception_score(
    features: NDArray[np.float32], logits: Callable[[Tensor], Tensor], seed: int, splits: int = SPLITS
) -> tuple[float, float, int]:
    """Mean, standard deviation and number of parts (no more than pictures) of features [N, D]; `logits`: [B, D] => [B, K]."""
    count = len(features)
    splits = min(splits, count)
    order = torch.randperm(count, generator=rng(seed, 0, "inception-score")).numpy()
    scores = []
    for part in range(splits):
        chosen = order[part * count // splits : (part + 1) * count // splits]
        scores.append(_score(features[chosen], logits))
    return float(np.mean(scores)), float(np.std(scores)), splits


def _score(features: NDArray[np.float32], logits: Callable[[Tensor], Tensor]) -> float:
    """Of one part. KL = Σ_y p log p - Σ_y p log p(y); the mean over x of the second is the negative entropy of p(y)."""
    own, mean = 0.0, torch.zeros(())
    for start in range(0, len(features), _ROWS):
        with torch.inference_mode():
            log_p = logits(torch.from_numpy(features[start : start + _ROWS])).double().log_softmax(1).cpu()  # [B, K]
        p = log_p.exp()
        own += float((p * log_p).sum())
        mean = mean + p.sum(0)
    mean = mean / len(features)
    return float(np.exp(own / len(features) - float(torch.special.xlogy(mean, mean).sum())))

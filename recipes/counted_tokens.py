"""Tokens drawn by counting alone, the floor under an autoregressive prior: `counted_tokens.py TOKENS OUT --num 300`.

Every place is drawn by itself: `position` from the tokens that the file's training latents have at that place, `unigram` from all
of theirs. OUT is a file of latents that `g3d decode` reads.
"""

import argparse
from pathlib import Path

import torch
from g3d import latents
from g3d.latents import TEST, TOKENS, Latents

words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
words.add_argument("tokens", type=Path, help="what g3d encode wrote")
words.add_argument("out", type=Path)
words.add_argument("--kind", choices=("position", "unigram"), default="position")
words.add_argument("--num", type=int, default=300)
words.add_argument("--seed", type=int, default=0)
how = words.parse_args()

head = latents.check(how.tokens)
found = latents.read(head)
tokens = found.tensors[TOKENS]  # [N, T]
if found.split is not None:
    tokens = tokens[found.split != TEST]
if how.kind == "unigram":
    tokens = tokens.flatten().unsqueeze(1).expand(-1, tokens.shape[1])
generator = torch.Generator().manual_seed(how.seed)
rows = torch.randint(len(tokens), (how.num, tokens.shape[1]), generator=generator)
names = [f"{number:06d}" for number in range(how.num)]
drawn = Latents(found.space, {TOKENS: tokens.gather(0, rows)}, names, about=found.about)
latents.write(how.out, drawn, seed=how.seed, parents={"latents": head.digest})

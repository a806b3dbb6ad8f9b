"""Fitting the transformer: the loop.

Letters: B latents a step, T tokens of each.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from g3d import distributed
from g3d.latents import CLASS_NAMES, Latents
from g3d.priors import described
from g3d.priors.autoregressive.config import Config
from g3d.priors.autoregressive.held_out import divided, judge
from g3d.priors.autoregressive.network import build, dropout_keys, summed_loss
from g3d.seeds import rng
from g3d.training import checkpoint, schedules
from g3d.training.compile import compiled
from g3d.training.log import Figure
from g3d.training.optimisers import adamw
from g3d.training.prefetch import sent
from g3d.training.run import Run

BETAS = (0.9, 0.96)  # of VIM


def fit(settings: Config, latents: Latents, run: Run) -> None:
    """Fit the transformer to tokens [N, T], by class where the latents have one."""
    data = divided(latents, settings, run.seed)
    size = data.fitted.tokens.shape[1]
    network = build(size, data.vocabulary, data.classes, settings, run.seed).to(run.device)
    optimiser = adamw([network], settings.lr, BETAS, settings.weight_decay)
    state = checkpoint.State({"network": network}, {"optimiser": optimiser})
    run.restore(state)
    judged = judge(data, settings, run.device)
    seen: Mapping[str, float] = {}  # the last figures of what is held out, for the log
    if judged.counted:
        counts = "  ".join(f"{name} {bits:.3f}" for name, bits in judged.counted._asdict().items())
        run.progress.log(
            f"{len(judged.held.tokens)} latents are held out; bits a token of theirs by counting: {counts}"
        )
    predict: Callable[..., Tensor] = compiled(network, settings.compile, run.device)
    low_precision = torch.autocast(run.device.type, torch.bfloat16, enabled=settings.precision == "bf16")
    floor = settings.lr_end / settings.lr if settings.lr else 0.0
    total, tokens_a_step = settings.steps, settings.batch * size

    def publish() -> None:
        if run.writes:  # the others wait for it at their next step
            tensors = {**checkpoint.pack("network", network.state_dict()), "class_counts": data.class_counts}
            names = {key: latents.about[key] for key in (CLASS_NAMES,) if data.classes and key in latents.about}
            about = {**described("autoregressive", latents, settings), **names, "figures": dict(judged(network))}
            run.write("prior.safetensors", "prior", tensors, about)

    for step in run.steps(total, "fit-prior autoregressive", state.pack, publish):
        schedules.set_lr(optimiser, schedules.cosine(step, total, settings.warmup, floor))
        rows = torch.randint(len(data.fitted.tokens), (settings.batch,), generator=rng(run.seed, step, "rows"))
        mine = distributed.share(rows)  # drawn with replacement, so any N fits any batch
        keys = dropout_keys(settings.batch, settings, run.seed, step)[mine]
        optimiser.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=run.device)
        for part in distributed.micro_batches(mine, settings.micro_batch):
            first, tokens = data.fitted.batch(rows[mine][part], run.device)
            with low_precision:
                logits = predict(first, tokens, sent(keys[part], run.device) if settings.dropout else None)
            share = summed_loss(logits, tokens) / tokens_a_step
            share.backward()
            loss += share.detach()
        distributed.sum_gradients(network.parameters())
        norm = nn.utils.clip_grad_norm_(network.parameters(), settings.clip or math.inf)
        optimiser.step()
        if run.writes and (step + 1) % settings.evaluate_every == 0:
            seen = judged(network)
        loss, lr = distributed.sum_value(loss), optimiser.param_groups[0]["lr"]
        figures: dict[str, Figure] = {"bits_per_token": loss / math.log(2), **seen}
        run.log(step, total, loss, settings.batch, clip=settings.clip, gradient_norm=norm, lr=lr, **figures)

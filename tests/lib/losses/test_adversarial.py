"""The adversarial losses by their formulas; R1's second derivative against finite differences, also through augmentation."""

import pytest
import torch
from g3d.losses import adversarial
from g3d.nets import augment as a
from g3d.nets.discriminator import Discriminator
from torch import Tensor


def test_losses_are_those_of_the_paper() -> None:
    logits = torch.tensor([-3.0, 0.0, 2.0], dtype=torch.float64)
    chance = torch.sigmoid(logits)
    torch.testing.assert_close(adversarial.generator_loss(logits), -torch.log(chance))
    torch.testing.assert_close(adversarial.real_loss(logits), -torch.log(chance))
    torch.testing.assert_close(adversarial.fake_loss(logits), -torch.log(1 - chance))
    assert adversarial.fake_loss(torch.tensor([200.0])).item() == 200  # no overflow


def test_r1_of_a_quadratic_is_known() -> None:
    x = torch.randn(4, 3, 2, 2, requires_grad=True)
    logits = 3 * x.square().flatten(1).sum(dim=1)  # gradient 6 x
    torch.testing.assert_close(adversarial.r1(logits, x), 18 * x.square().flatten(1).sum(dim=1))


def network() -> Discriminator:
    net = Discriminator(8, channel_base=32, channel_max=4, generator=torch.Generator().manual_seed(1))
    return net.double()


def penalty(net: Discriminator, images: Tensor, kinds: tuple[a.Kind, ...], noise: Tensor) -> Tensor:
    leaf = images.clone().requires_grad_()
    seen = a.augment(leaf, 1.0, kinds, noise) if kinds else leaf
    return adversarial.r1(net(seen), leaf).mean()


@pytest.mark.parametrize("augmented", ["", "flip_crop", "bgc"])
def test_the_gradient_of_r1_is_that_of_finite_differences(augmented: str) -> None:
    """With respect to every fifth weight of each layer of a small discriminator, in double precision."""
    net = network()
    g = torch.Generator().manual_seed(2)
    images = torch.rand(4, 3, 8, 8, generator=g, dtype=torch.float64) * 2 - 1
    kinds = a.SETS[augmented] if augmented else ()
    noise = a.noise([torch.Generator().manual_seed(i) for i in range(4)])
    penalty(net, images, kinds, noise).backward()
    checked, step = 0, 1e-6
    for name, p in net.named_parameters():
        if p.grad is None:
            continue  # the bias of the logit does not change its gradient
        flat, slope = p.data.view(-1), p.grad.view(-1)
        for i in range(0, len(flat), max(1, len(flat) // 5)):
            middle = float(flat[i])
            values = []
            for offset in (step, -step):
                flat[i] = middle + offset
                values.append(float(penalty(net, images, kinds, noise).detach()))
            flat[i] = middle
            found = (values[0] - values[1]) / (2 * step)
            assert found == pytest.approx(float(slope[i]), rel=1e-4, abs=1e-7), name
            checked += 1
    assert checked > 50

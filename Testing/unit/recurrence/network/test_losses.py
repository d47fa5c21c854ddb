"""Losses against the equations of Tran 2025, and the optimiser against a computation by hand."""

import math
from copy import deepcopy

import numpy as np
import pytest
from gliosuite.recurrence.network.losses import loss_of, pcc, tversky
from gliosuite.recurrence.network.ranger import EVERY, SHARE, ranger
from gliosuite.recurrence.settings import LOSSES, LOSSES_LOCAL
from gliosuite.statistics import coverage_coefficient

torch = pytest.importorskip("torch")


@pytest.fixture
def masks():
    rng = np.random.default_rng(3)
    brain = rng.random((9, 8, 7)) < 0.8
    target, found = ((rng.random(brain.shape) < share) & brain for share in (0.1, 0.2))
    return found, target, brain


def tensors(*arrays):
    return [torch.from_numpy(np.asarray(a, float))[None] for a in arrays]


def test_of_whole_voxels_it_is_equations_1_and_2(masks):
    found, target, brain = masks
    share = target.sum() / brain.sum()
    value = float(1 - pcc(*tensors(found, target, brain), share))
    tp, fp, fn = (found & target).sum(), (found & ~target).sum(), (target & ~found).sum()
    for beta in (1 / (share + 1), 1 - target.sum() / (brain.sum() + target.sum())):
        assert value == pytest.approx(tp / (tp + (1 - beta) * fp + beta * fn), abs=1e-6)
    assert value == pytest.approx(coverage_coefficient(tp, fp, fn, int(brain.sum())), abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_differences(masks, name):
    _, target, brain = tensors(*masks)
    logits = torch.randn(target.shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
    value = lambda x: loss_of(name, x, target.float(), brain.float(), 0.1)
    value(logits).backward()
    direction = torch.randn(target.shape, generator=torch.Generator().manual_seed(2)) * (logits.grad.abs() > 0)
    step = 1e-2
    with torch.no_grad():
        slope = float(value(logits + step * direction) - value(logits - step * direction)) / (2 * step)
    assert slope == pytest.approx(float((logits.grad * direction).sum()), rel=2e-2, abs=1e-5)
    assert (logits.grad[brain == 0] == 0).all()


def test_dice_and_tversky_are_themselves(masks):
    found, target, brain = tensors(*masks)
    dice = 2 * float((found * target).sum() / (found.sum() + target.sum()))
    assert float(1 - tversky(found, target, brain, 0.5, 0.5)) == pytest.approx(dice, abs=1e-6)
    all_of_it = float(1 - tversky(brain, target, brain, 0.02, 0.98))
    n, t = float(brain.sum()), float(target.sum())
    assert all_of_it == pytest.approx(t / (t + 0.02 * (n - t)), abs=1e-6)
    everywhere = torch.full_like(brain, 30.0)
    for beta in (0.5, 0.9):
        found = 1 - float(loss_of("tversky", everywhere, target, brain, 0.0, beta))
        assert found == pytest.approx(t / (t + (1 - beta) * (n - t)), abs=1e-5)


def test_ranger_is_radam_drawn_back_by_hand():
    """The two recursions written out, for a parabola."""
    rate, b1, b2, eps = 0.1, 0.9, 0.999, 1e-8
    x = torch.nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    optimizer = ranger([x], rate)
    fast = slow = 3.0
    m = v = 0.0
    for t in range(1, 3 * EVERY + 2):
        optimizer.zero_grad()
        (x**2).sum().backward()
        optimizer.step()
        g = 2 * fast
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        most = 2 / (1 - b2) - 1
        rho = most - 2 * t * b2**t / (1 - b2**t)
        step = m / (1 - b1**t)
        if rho > 5:
            r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
            step *= r * math.sqrt(1 - b2**t) / (math.sqrt(v) + eps)
        fast -= rate * step
        if t % EVERY == 0:
            slow += SHARE * (fast - slow)
            fast = slow
        assert x.item() == pytest.approx(fast, rel=1e-9), t


def test_ranger_goes_on_where_it_was():
    def steps(x, optimizer, n):
        for _ in range(n):
            optimizer.zero_grad()
            (x**4).sum().backward()
            optimizer.step()

    x = torch.nn.Parameter(torch.tensor([1.5, -0.5]))
    optimizer = ranger([x], 0.05)
    steps(x, optimizer, EVERY + 2)
    y = torch.nn.Parameter(x.detach().clone())
    other = ranger([y], 0.05)
    other.load_state_dict(deepcopy(optimizer.state_dict()))
    steps(x, optimizer, 2 * EVERY)
    steps(y, other, 2 * EVERY)
    assert torch.equal(x, y)


@pytest.mark.parametrize("name", LOSSES)
def test_only_cross_entropy_learns_where_there_is_no_target(masks, name):
    _, target, brain = (t.float() for t in tensors(*masks))
    logits = torch.zeros_like(target).requires_grad_()
    loss_of(name, logits, torch.zeros_like(target), brain, 0.0).backward()
    assert bool((logits.grad[brain > 0] > 0).all()) is (name in LOSSES_LOCAL)
    nothing = loss_of(name, logits, torch.zeros_like(target), torch.zeros_like(brain), 0.0)
    assert torch.isfinite(nothing), "a thin region may be gone where the head was turned"

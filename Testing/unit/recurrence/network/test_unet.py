"""The network itself against what Tran 2025 describes, written out by hand."""

import numpy as np
import pytest
from gliosuite.recurrence.network.unet import padded, unet

torch = pytest.importorskip("torch")
BASE, CHANNELS = 4, 5


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return unet(BASE, CHANNELS).eval()


def by_hand(network, x):
    """The same with torch's functions alone."""
    f, w = torch.nn.functional, dict(network.named_parameters())

    def twice(x, name):
        for conv, norm in ((0, 1), (3, 4)):
            x = f.conv3d(x, w[f"{name}.{conv}.weight"], padding=1)
            x = f.relu(f.group_norm(x, 4, w[f"{name}.{norm}.weight"], w[f"{name}.{norm}.bias"]))
        return x

    one = twice(x, "down.0")
    two = twice(f.max_pool3d(one, 2), "down.1")
    three = twice(f.max_pool3d(two, 2), "down.2")
    x = twice(f.max_pool3d(three, 2), "down.3")
    for i, same in enumerate((three, two, one)):
        x = f.conv_transpose3d(x, w[f"larger.{i}.weight"], w[f"larger.{i}.bias"], stride=2)
        x = twice(torch.cat([same, x], 1), f"up.{i}")
    return f.conv3d(x, w["last.weight"], w["last.bias"])[:, 0]


def test_it_computes_what_is_written_out_by_hand(network):
    x = torch.randn(2, CHANNELS, 16, 24, 8)
    with torch.no_grad():
        found = network(x)
        assert torch.allclose(found, by_hand(network, x), atol=1e-5)
    assert found.shape == (2, 16, 24, 8)


def test_it_has_as_many_weights_as_four_stages_of_two_convolutions_have(network):
    widths = [BASE, 2 * BASE, 4 * BASE, 8 * BASE]
    twice = lambda i, o: 27 * (i * o + o * o) + 4 * o
    down = sum(twice(i, o) for i, o in zip([CHANNELS, *widths], widths))
    up = sum(2 * n * n * 8 + n + twice(2 * n, n) for n in widths[:3])
    assert sum(p.numel() for p in network.parameters()) == down + up + BASE + 1


def test_it_looks_as_far_as_its_convolutions_reach():
    """Without normalisation, which looks at all of it: two of radius 1 at 1, 2, 4 and 8 voxels down, and at 4, 2 and 1 up."""
    network = unet(BASE, 1).double()
    for module in network.modules():
        if isinstance(module, torch.nn.ModuleList) and isinstance(module[0], torch.nn.Sequential):
            for stage in module:
                for i, layer in enumerate(stage):
                    if not isinstance(layer, torch.nn.Conv3d):
                        stage[i] = torch.nn.Identity()
    network.down[0][0].weight.data.abs_()
    x = torch.zeros(1, 1, 96, 16, 16, dtype=torch.float64, requires_grad=True)
    network(x)[0, 48, 8, 8].backward()
    seen = np.flatnonzero(np.abs(x.grad[0, 0].numpy()).max((1, 2)) > 0)
    reach, halved = 2 * (1 + 2 + 4) + 2 * 8 + 2 * (4 + 2 + 1), 1 + 2 + 4
    for side in (48 - seen.min(), seen.max() - 48):
        assert reach - halved <= side <= reach + halved


def test_a_box_is_padded_to_what_can_be_halved_three_times():
    values = np.ones((2, 9, 16, 7))
    assert padded(values).shape == (2, 16, 16, 8)
    assert padded(values).sum() == values.sum()

"""A small head of simple shapes for the tests of simulated scans."""

from dataclasses import dataclass, replace

import numpy as np
import pytest


@dataclass(frozen=True)
class Block:
    """Tissues on a grid of 3 mm: `label` names each voxel's; `scan` takes a scan of it whose grid is the same."""

    grid: object
    label: np.ndarray
    fields: dict
    physiology: object

    def packed(self, **fields):
        from gliosuite.simulate.acquisition import CLASSES
        from gliosuite.simulate.scans.scanning import Packed

        fractions = {n: (self.label == n).astype(np.float32) for n in CLASSES}
        return Packed.of(self.grid, fractions, self.fields | fields)

    def scan(self, run, protocol, effects, blood=None, **fields):
        from gliosuite.simulate.blood import Blood

        protocol = replace(protocol, spacing_mm=self.grid.spacing) if hasattr(protocol, "spacing_mm") else protocol
        rng = np.random.default_rng(2)
        packed = self.packed(**fields)
        return run(packed, self.grid, self.physiology, blood or Blood(), protocol, None, effects, rng)


@pytest.fixture(scope="session")
def block():
    """Grey and white matter with oedema around an enhancing rim around necrosis; an artery and a vein upwards, fluid beside them."""
    from gliosuite.images import Grid
    from gliosuite.simulate.properties import draw_physiology

    grid = Grid((20, 20, 20), (3.0, 3.0, 3.0), (-28.5, -10.5, -30.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    z, y, x = np.indices(grid.shape)
    r = np.sqrt((x - 9.5) ** 2 + (y - 9.5) ** 2 + (z - 9.5) ** 2)
    label = np.where(x < 10, "gm", "wm").astype("<U8")
    label[r < 7], label[r < 5], label[r < 2] = "oedema", "cel", "necrosis"
    label[:, 0, 0], label[:, -1, -1], label[:, 0, 1:3] = "artery", "vein", "csf"
    rng = np.random.default_rng(0)
    fields = {n: rng.normal(size=grid.shape).astype(np.float32) for n in ("vascular", "leaky", "cellular")}
    fields["density"] = np.clip(1 - r / 8, 0, 1).astype(np.float32)
    fields["b1"] = np.broadcast_to(np.linspace(0.8, 1.2, 20, dtype=np.float32), grid.shape).copy()
    return Block(grid, label, fields, draw_physiology(np.random.default_rng(5)))

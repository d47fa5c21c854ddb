"""Invented tables in which a few features tell who has the outcome."""

import csv

import numpy as np
import pytest

PLANTED = 6


def drawn(n=80, p=60, effect=1.6, seed=1, share=0.6):
    """Features (n, p), the first of which differ between the classes by `effect` SD, and the classes."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) < share * n)
    x = rng.standard_normal((n, p))
    x[:, :PLANTED] += effect * y[:, None]
    return x, y


def names(p=60):
    return tuple(f"{'CE' if i % 2 else 'NE'}_wavelet_LLH_f{i}" for i in range(p))


@pytest.fixture(autouse=True)
def packages():
    for name in ("sklearn", "imblearn", "torch", "captum"):
        pytest.importorskip(name)


@pytest.fixture
def table(tmp_path):
    """A table of 80 patients who recurred, and 10 who did not."""
    x, y = drawn()
    path = tmp_path / "features.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "recurrence_local", "recurrence_distant", *names()])
        for i, (row, one) in enumerate(zip(x, y)):
            out.writerow([f"P{i:02d}", int(one), int(not one), *(f"{v:.5f}" for v in row)])
        for i in range(10):
            out.writerow([f"Q{i}", 0, 0, *(f"{v:.5f}" for v in np.random.default_rng(i).standard_normal(60))])
    return path

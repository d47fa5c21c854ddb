"""Tables of invented patients whose risk is known, and R's answers."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def r():
    """What fixtures.R wrote."""
    return json.loads((Path(__file__).parent / "fixtures.json").read_text())


def rows_of(n: int = 120, seed: int = 1) -> list[dict[str, str]]:
    """Patients whose hazard grows with age and x1, and is lower where MGMT is methylated."""
    rng = np.random.default_rng(seed)
    age, sex, mgmt = rng.normal(60, 10, n).round(1), rng.choice(["F", "M"], n), rng.random(n) < 0.5
    x = rng.standard_normal((n, 6)).round(3)
    death = rng.exponential(20 * np.exp(-(0.04 * (age - 60) + 0.9 * x[:, 0] - 1.0 * mgmt)))
    end = rng.uniform(5, 60, n)
    return [
        {
            "patient_id": f"P{i:03d}",
            "os_months": f"{max(min(death[i], end[i]), 0.1):.1f}",
            "status": "dead" if death[i] <= end[i] else "alive",
            "age": f"{age[i]}",
            "sex": str(sex[i]),
            "mgmt": "methylated" if mgmt[i] else "unmethylated",
            **{f"x{k + 1}": f"{x[i, k]}" for k in range(6)},
        }
        for i in range(n)
    ]


def write_table(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path / "patients.csv", rows_of())

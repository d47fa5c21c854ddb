"""The training loop: a run that was stopped ends as one that never was, and the table says how it went."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from gliosuite.training import LoopSettings, train
from gliosuite.training.loop import CHECKPOINT, HISTORY, draw_history

torch = pytest.importorskip("torch")

X = torch.from_numpy(np.random.default_rng(0).normal(size=(512, 3)).astype(np.float32))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]])


def network():
    torch.manual_seed(3)
    return torch.nn.Linear(3, 1)


def loss(model, i):
    rows = torch.from_numpy(np.random.default_rng([7, i]).integers(0, 400, 64))
    return ((model(X[rows]) - Y[rows]) ** 2).mean()


def held_out(model):
    return float(((model(X[400:]) - Y[400:]) ** 2).mean())


def settings(steps):
    return LoopSettings(steps, rate=0.05, warm_up=5, every=20)


def test_it_learns_and_says_so(tmp_path):
    said = []
    rows = train(network(), loss, held_out, settings(200), tmp_path, lambda f, m: said.append((f, m)), "line")
    assert rows[-1][0] == 200
    assert rows[-1][2] < 0.01 * rows[0][2]
    assert said[-1][0] == 1.0
    assert said[-1][1].startswith("line: held-out loss")
    with (tmp_path / HISTORY).open(newline="") as stream:
        assert [float(r["step"]) for r in csv.DictReader(stream)] == [float(r[0]) for r in rows]
    draw_history({"line": rows}, tmp_path / "learning.png")
    assert (tmp_path / "learning.png").stat().st_size > 5000


def test_a_run_that_was_stopped_goes_on_as_if_it_never_was(tmp_path):
    whole, stopped = network(), network()
    expected = train(whole, loss, held_out, settings(100), tmp_path / "whole")

    class Stop(Exception):
        pass

    def until(model, i):
        if i == 50:
            raise Stop
        return loss(model, i)

    with pytest.raises(Stop):
        train(stopped, until, held_out, settings(100), tmp_path / "stopped")
    assert (tmp_path / "stopped" / CHECKPOINT).exists()
    again = network()
    history = train(again, loss, held_out, settings(100), tmp_path / "stopped")
    torch.testing.assert_close(again.weight, whole.weight, rtol=0, atol=0)
    assert history[-1][2] == expected[-1][2]


def test_it_ends_when_nothing_gets_better_with_what_was_best(tmp_path):
    told = iter([3.0, 1.0, 2.0, 1.0, 0.0])
    kept = []

    def outside(model):
        kept.append(model.weight.detach().clone())
        return next(told)

    model, loop = network(), replace(settings(100), patience=2)
    rows = train(model, loss, outside, loop, tmp_path)
    assert [r[2] for r in rows] == [3.0, 1.0, 2.0, 1.0]
    assert torch.equal(model.weight, kept[1])
    again = network()
    assert train(again, loss, outside, loop, tmp_path) == rows, "a run that has ended stays so"
    assert torch.equal(again.weight, kept[1])

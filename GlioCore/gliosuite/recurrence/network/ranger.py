"""The optimiser Ranger: RAdam (Liu 2020) with Lookahead (Zhang 2019)."""

from collections.abc import Iterable
from typing import Any

EVERY, SHARE = 6, 0.5  # steps between looks, and how far slow weights then go; of Ranger's author (Wright 2019)


def ranger(parameters: Iterable[Any], rate: float, decay: float = 0.0) -> Any:
    """RAdam whose weights are drawn back, each `EVERY` steps, to `SHARE` of the way from where they last were drawn to."""
    import torch

    class Ranger(torch.optim.RAdam):
        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            every = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
            # RAdam makes its own state where there is none: the slow weights come after it.
            fresh = {p: p.clone() for p in every if not self.state[p]}
            value = super().step(closure)
            for p in every:
                state = self.state[p]
                slow = state.setdefault("slow", fresh.get(p))
                if int(state["step"]) % EVERY == 0:
                    slow += SHARE * (p - slow)
                    p.copy_(slow)
            return value

    return Ranger(parameters, lr=rate, weight_decay=decay, decoupled_weight_decay=True)

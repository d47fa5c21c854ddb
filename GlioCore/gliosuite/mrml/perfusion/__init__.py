"""GlioPerfusion's work on nodes: a request, the arterial input as it is picked, maps."""

from ..process import abandon
from .maps import PerfusionResult, arguments, compute, finish, load, show, start
from .request import AIFS, PerfusionRequest, parse_number, parse_times

__all__ = [
    "AIFS",
    "PerfusionRequest",
    "PerfusionResult",
    "abandon",
    "arguments",
    "compute",
    "finish",
    "load",
    "parse_number",
    "parse_times",
    "show",
    "start",
]

"""Compiled forms of a density: a function of tensors as one graph of fused loops, in place of one call an operation.

A function is run once on stand-ins for its arguments, its tensor operations are written down (`make_fx`) and compiled
for their shapes (`torch._inductor`, with a C++ compiler on a CPU). Each graph is compared with the function itself
before it is believed. Nothing is imported or compiled before the first evaluation that asks for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from targets.base import Target
from targets.counting import plain
from targets.sampling_warning import warn
from targets.user_function import no_validation

Compile = bool | Literal["auto"]
Density = Callable[[Tensor], tuple[Tensor, Tensor]]
Function = Callable[..., tuple[Tensor, ...]]

PAYS = 30_000  # evaluations of a whole batch, from which "auto" compiles: some 0.3 ms saved in each against 10 s
ROWS, MANY_ROWS = 64, 1024  # in a graph; of fewer points the last are repeated, more points are several calls
LANES = 64  # bytes, of the widest vectors: with so many rows no row is treated apart at the end of a loop
OPTIONS = {"size_asserts": False}  # the shapes are the key of the graph
TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}  # of rounding in another order

_GRAPHS: WeakKeyDictionary[Target, Graphs] = WeakKeyDictionary()
_RUN: ContextVar[tuple[int, int]] = ContextVar("run", default=(0, 0))  # chains and evaluations


class Graphs:
    """The graphs that were compiled for one target, each once; after a failure none is tried again.

    name: of the target, for the warning.
    """

    def __init__(self, name: str) -> None:
        self.name, self.failed = name, False
        self._made: dict[Hashable, Callable[..., Any]] = {}

    def call(self, key: Hashable, function: Function, *arguments: Tensor) -> tuple[Tensor, ...]:
        """function(*arguments), by the graph of this key and of the shapes, dtypes and devices of the arguments.

        The function may depend on nothing else that changes. Where it cannot be compiled, or the graph's results are
        not the function's, there is one warning (SamplingWarning), and it is called as it is.
        """
        if self.failed:
            return function(*arguments)
        whole = (key, *[(one.shape, one.dtype, one.device) for one in arguments])
        graph = self._made.get(whole)
        if graph is None:
            return self._first(whole, function, arguments)
        found: tuple[Tensor, ...] = tuple(graph(*arguments))
        return found

    def _first(self, whole: Hashable, function: Function, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Compile, and compare; an error of the function itself is raised as it is."""
        expected = function(*arguments)
        try:
            graph = compiled(function, arguments)
            found: tuple[Tensor, ...] = tuple(graph(*arguments))
            apart = _apart(expected, found)
        except Exception as error:  # of the compiler, which has many kinds
            apart = (str(error).strip().splitlines() or [""])[0] or type(error).__name__
        if apart is None:
            self._made[whole] = graph
            return found
        self.failed = True
        warn(f"{self.name}: is not compiled, and runs as without compile=, because {apart}")
        return expected

    def value_and_score(self, density: Density, flat: Tensor) -> tuple[Tensor, Tensor]:
        """Log-density and score at (n, dim), in blocks of a few fixed sizes: which one depends on n and the run."""
        flat = flat.detach()
        n, rows = len(flat), self.rows(flat)
        short = -n % rows
        if short:
            flat = torch.cat([flat, flat[-1:].expand(short, -1)])
        blocks = [self.call("density", density, part) for part in flat.split(rows)]
        if len(blocks) == 1:
            value, score = blocks[0]
        else:
            value, score = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        return (value[:n], score[:n]) if short else (value, score)

    @staticmethod
    def rows(flat: Tensor) -> int:
        """How many points one call takes: in a run as many as there are chains."""
        n, least, chains = len(flat), lanes(flat), _RUN.get()[0]
        if chains:
            return min(chains + -chains % least, MANY_ROWS)
        return least if n <= least else ROWS if n <= MANY_ROWS else MANY_ROWS


def lanes(x: Tensor) -> int:
    """A number of rows with which each is treated alike, whatever the vectors of the processor: 8 or 16."""
    return LANES // x.element_size()


def compiled(function: Function, arguments: tuple[Tensor, ...]) -> Callable[..., Any]:
    """The graph of a function for the shapes of its arguments; any error of tracing or compiling is raised."""
    from torch.fx.experimental.proxy_tensor import make_fx

    with warnings.catch_warnings(), torch.no_grad(), no_validation():
        warnings.simplefilter("ignore")  # of libraries about one another
        # at other points than those at which it is compared: a number that was taken out of torch stays what it was
        graph = make_fx(lambda *given: function(*given))(*map(_elsewhere, arguments))
        import torch._inductor as inductor  # only for a function that could be written down: it takes seconds

        made: Callable[..., Any] = inductor.compile(graph, list(arguments), options=OPTIONS)
        made(*arguments)
    return getattr(made, "_torchdynamo_orig_callable", made)


def _elsewhere(x: Tensor) -> Tensor:
    return 0.5 * x.flip(tuple(range(x.ndim))) + 0.01 if x.is_floating_point() else x.clone()


def _apart(expected: tuple[Tensor, ...], found: tuple[Tensor, ...]) -> str | None:
    """By how much results differ, in words; None where it is rounding, at the size of the largest number."""
    for one, other in zip(expected, found, strict=True):
        finite = one.isfinite()
        if not bool((finite == other.isfinite()).all()):
            return "the compiled function is not finite where the function is, or the other way round"
        one, other = one[finite].double(), other[finite].double()
        if one.numel():
            error, size = float((one - other).abs().max()), float(one.abs().max())
            if error > TOLERANCE.get(expected[0].dtype, 1e-3) * max(1.0, size):
                return f"the compiled function gives other numbers: they are up to {error:.3g} apart"
    return None


def check_compile(compile: Any) -> Compile:
    """ValueError for what is neither True, False nor "auto"."""
    if compile is True or compile is False or compile == "auto":
        checked: Compile = compile
        return checked
    raise ValueError(f'compile: got {compile!r}, expected True, False or "auto"')


def graphs_of(target: Any) -> Graphs | None:
    """The graphs of a target that is to be compiled, counted ones included; None where it is not, or cannot be."""
    target = plain(target)
    wanted = getattr(target, "compile", False)
    if wanted is False or (wanted == "auto" and _RUN.get()[1] < PAYS):
        return None
    found = _GRAPHS.get(target)
    if found is None:
        found = _GRAPHS[target] = Graphs(target.name)
    return None if found.failed else found


def by_graph(target: Target, x: Tensor) -> Density | None:
    """The density and score of a target as graphs, where it is to be compiled and x may go through one."""
    graphs = graphs_of(target) if usable(x) else None
    return None if graphs is None else lambda flat: graphs.value_and_score(density_of(target), flat)


def density_of(target: Target) -> Density:
    """(n, dim) -> (n,), (n, dim): the density of a target with graphs as torch runs it, failures of it raised."""
    inner: Any = plain(target)
    made: Density = inner.compilable()
    return made


def usable(x: Tensor) -> bool:
    """Whether a graph may be called with x: not a stand-in for a tensor, and nothing watches the operations."""
    plainly = type(x) is Tensor and x.device.type != "meta" and x.numel() > 0
    return plainly and not torch._C._len_torch_dispatch_stack() and not torch._C._are_functorch_transforms_active()


@contextmanager
def asked(chains: int, evaluations: int) -> Iterator[None]:
    """A run of so many chains, which asks for so many evaluations of all of them, as far as is told beforehand.

    In it all evaluations of a compiled target are of as many rows as there are chains, or of several times as many, and
    a target with compile="auto" is compiled or not. The count is of what was asked for, never of time: the same call
    gives the same bits on a fast machine and on a slow one, whatever was evaluated before.
    """
    token = _RUN.set((chains, evaluations))
    try:
        yield
    finally:
        _RUN.reset(token)

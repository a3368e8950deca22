"""A deployed archive as a Python model: the engine that LAMMPS runs, on a whole graph at once.

Torch is imported only for graphs of tensors: on numpy arrays an archive runs without it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from tdn import schema
from tdn.conventions import check_kind, free_energies
from tdn.deployment.archive import read_label
from tdn.deployment.array_results import array_results, total_energies
from tdn.errors import TDNError, quoted
from tdn.forks import compute_serially_after_fork, engine_threads
from tdn.torch_libraries import SCRIPT_ENGINE, find, offer_script_engine, provide, torch_version

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from tdn.data.arrays import GraphArrays
    from tdn.data.graph import Graph
    from tdn.model.prediction import Prediction

#: Models of at most this many elements get the radial tables of all pairs at once.
FEW_ELEMENTS = 4


class DeployedModel:
    """Callable like :class:`tdn.model.TDN`, from any thread; cannot be trained.

    Threads that share a model evaluate one after the other; to compute at the same time, each needs its own model.
    Copies share the engine. The contents of the archive are kept in memory and in pickles, so that a model does not
    change and can be sent to other processes, whatever happens to the file.
    """

    def __init__(self, path: str | Path, device: str | torch.device = "cpu", engine: str = "auto") -> None:
        """Open an archive.

        Args:
            path: the archive.
            device: torch device.
            engine: ``auto``, ``fused`` or ``script``, as in the keyword of the pair style.
        """
        self.label: dict[str, Any] = read_label(path)
        self.path, self.engine = Path(path), engine
        self._contents = self.path.read_bytes()
        self._device = str(device)
        self._species: set[int] = set(range(len(self.elements))) if len(self.elements) <= FEW_ELEMENTS else set()
        self._opening = Lock()
        compute_serially_after_fork()
        self.evaluator = self._open(self._species)

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols; the position is the species index."""
        return tuple(self.label[schema.ELEMENTS])

    @property
    def cutoff(self) -> float:
        """Cutoff in angstrom."""
        return float(self.label[schema.CUTOFF])

    @property
    def precision(self) -> str:
        """``float32`` or ``float64``: precision of edge vectors and forces."""
        return str(self.label[schema.DTYPE])

    @property
    def dtype(self) -> torch.dtype:
        """The precision as a torch dtype."""
        import torch

        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        import torch

        return torch.device(self._device)

    @property
    def force_kinds(self) -> tuple[str, ...]:
        """Kinds of forces the model has, the default first."""
        return tuple(self.label[schema.FORCE_KINDS])

    @property
    def energy_convention(self) -> str:
        """``extensive`` or ``per_atom``."""
        return str(self.label[schema.ENERGY_CONVENTION])

    @property
    def free_energies(self) -> tuple[float, ...]:
        """Reference energies (eV) of a model with an energy per atom; empty if there are none."""
        return free_energies(self.label["training"], self.elements, self.energy_convention)

    @cached_property
    def module(self) -> torch.jit.ScriptModule:
        """The segments as TorchScript (see tdn.schema), on the CPU."""
        import torch

        from tdn.ops import load_library

        load_library()
        try:
            return torch.jit.load(io.BytesIO(self._contents), map_location="cpu").eval()
        except RuntimeError as problem:
            reason = quoted(str(problem).partition("\n")[0], limit=200)
            raise TDNError(f"the module of '{self.path}' cannot be loaded ({reason}); deploy the model again") from None

    def to(self, device: torch.device | str) -> DeployedModel:
        """Move to a device; returns itself."""
        with self._opening:
            if str(device) != self._device:
                self._device = str(device)
                self.evaluator = self._open(self._species)
        return self

    def eval(self) -> DeployedModel:
        """Itself: an archive has no dropout."""
        return self

    def in_dtype(self, dtype: torch.dtype | str) -> DeployedModel:
        """Itself; the precision of an archive is fixed when it is deployed, so another one is refused."""
        if (name := str(dtype).removeprefix("torch.")) != self.precision:
            raise TDNError(f"this archive is {self.precision} and {name} was requested; deploy it in that precision")
        return self

    @property
    def fused(self) -> bool:
        """Whether the fused engine runs the model, with tables as radial networks."""
        return bool(self.evaluator.engine.startswith("fused"))

    def _open(self, species: set[int]) -> Any:
        return open_evaluator(self._contents, *self._how(species))

    def _how(self, species: set[int]) -> tuple[str, str, str, tuple[int, ...]]:
        return str(self.path), self._device.split(":")[0], self.engine, tuple(sorted(species)) or (0,)

    def _evaluator_for(self, species: Any) -> Any:
        """The evaluator for a structure; radial tables exist for the elements seen so far, and new ones need more.

        The returned evaluator does not change, whereas another thread may replace ``self.evaluator``.
        """
        seen = set(np.unique(species).tolist())
        with self._opening:
            if not seen <= self._species:
                self.evaluator, self._species = self._open_with(seen)
            return self.evaluator

    def _open_with(self, seen: set[int]) -> tuple[Any, set[int]]:
        """Open for the previous and the new elements, or only for the new ones if all would be too many."""
        try:
            return self._open(self._species | seen), self._species | seen
        except TDNError:
            return self._open(seen), seen

    def __copy__(self) -> DeployedModel:
        copy = object.__new__(type(self))
        vars(copy).update(vars(self), _opening=Lock())
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> DeployedModel:
        return self.__copy__()  # copies share only what never changes

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("evaluator", "module", "_opening")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _opening=Lock())
        compute_serially_after_fork()
        self.evaluator = reopen_evaluator(self._contents, *self._how(self._species))

    def results(self, graphs: Sequence[GraphArrays], forces: str | None = None) -> list[dict[str, Any]]:
        """Results under ASE's names, without torch; see :func:`tdn.deployment.array_results.array_results`.

        Raises:
            TDNError: the model has no forces of this kind (``gradient`` or ``direct``).
        """
        kind = forces or self.force_kinds[0]
        check_kind(kind, self.force_kinds)
        return [self._results_of(graph, direct=kind == "direct") for graph in graphs]

    def _results_of(self, graph: GraphArrays, direct: bool) -> dict[str, Any]:
        edges = graph.species, graph.center, graph.neighbor, graph.vectors.astype(self.precision)
        evaluator = self._evaluator_for(graph.species)
        energies, gradient, forces = evaluator.evaluate(*edges, direct=direct, n_threads=engine_threads())
        if self.energy_convention == "per_atom":
            energies = total_energies(graph, energies, self.free_energies)
        return array_results(graph, energies, gradient, forces)

    def __call__(self, graph: Graph, stress: bool = False, forces: str | None = None) -> Prediction:
        """Evaluate a graph; arguments and result as in :meth:`tdn.model.TDN.forward`."""
        from tdn.model.prediction import check_request, predict_from_gradient

        kind = forces or self.force_kinds[0]
        check_request(kind, self.force_kinds, graph, self.dtype)
        evaluator = self._evaluator_for(graph.species.cpu().numpy())
        energies = gradient = direct = None
        if kind != "gradient":
            energies, _, direct = evaluate(evaluator, graph, direct=True)
        if kind != "direct" or stress:
            energies, gradient, _ = evaluate(evaluator, graph)
        assert energies is not None
        return predict_from_gradient(graph, energies, gradient, direct, kind, stress)


def evaluate(evaluator: Any, graph: Graph, **options: Any) -> tuple[Tensor | None, ...]:
    """``tdn._core.Evaluator.evaluate`` with tensors instead of arrays, on the graph's device."""
    import torch

    edges = (graph.species, graph.center, graph.neighbor, graph.vectors)
    arrays = (tensor.detach().cpu().numpy() for tensor in edges)
    found = evaluator.evaluate(*arrays, n_threads=engine_threads(), **options)
    return tuple(None if array is None else torch.from_numpy(array).to(graph.species.device) for array in found)


def open_evaluator(contents: bytes, path: str, device: str, engine: str, species: tuple[int, ...]) -> Any:
    """The evaluator of an archive's contents; its path is used only in messages.

    If the script engine is needed and does not exist for the installed torch yet, it is compiled now.
    """
    from tdn import _core

    def opened() -> Any:
        offer_script_engine()
        return _core.Evaluator(path, device, engine=engine, species=list(species), contents=contents)

    try:
        return opened()
    except TDNError as problem:
        if SCRIPT_ENGINE not in str(problem) or torch_version() is None or find() is not None:
            raise
    provide()
    return opened()


#: Models from pickles: a worker process gets the same model with every task.
reopen_evaluator = lru_cache(maxsize=4)(open_evaluator)

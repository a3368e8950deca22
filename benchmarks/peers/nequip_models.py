"""What the adapters of nequip and of allegro share: the graph, and the modes of nequip's framework.

Modes: ``eager``; ``aotinductor``, what ``nequip-compile --mode aotinductor`` writes for energies and forces on the CPU;
``torchscript``, what its older mode says. Training with torch.compile is for batches of several structures.
"""

from __future__ import annotations

import torch
from adapter import CUTOFF, NEIGHBORS, REFERENCES, SEED, Built, Request, Step
from nequip.data import AtomicDataDict, from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from nequip.nn.compile import DictInputOutputWrapper
from nequip.scripts import compile as nequip_compile
from nequip.scripts._compile_utils import PAIR_NEQUIP_TARGET
from nequip.utils.aot import aot_export_model
from nequip.utils.global_state import set_global_state
from torch.export import Dim

#: Options that both packages' models take alike.
COMMON = {
    "seed": SEED,
    "model_dtype": "float32",
    "type_names": list(REFERENCES),
    "r_max": CUTOFF,
    "avg_num_neighbors": NEIGHBORS,
    "per_type_energy_scales": 1.0,
    "per_type_energy_shifts": REFERENCES,
}
INPUTS = PAIR_NEQUIP_TARGET["input"]
OUTPUTS = [AtomicDataDict.PER_ATOM_ENERGY_KEY, AtomicDataDict.FORCE_KEY]
Data = dict[str, torch.Tensor]


def make_data(request: Request) -> Data:
    """The graph of one structure."""
    data = ChemicalSpeciesToAtomTypeMapper(list(REFERENCES))(from_ase(request.atoms))
    data = NeighborListTransform(CUTOFF)(data)
    return {key: data[key] for key in INPUTS}


def make_step(model: torch.nn.Module, data: Data) -> Step:
    def step() -> tuple[torch.Tensor, torch.Tensor]:
        out = model(dict(data))
        return out[OUTPUTS[0]].detach(), out[OUTPUTS[1]]

    return step


def ahead_of_time(model: torch.nn.Module, data: Data, request: Request, package: str) -> torch.nn.Module:
    """The call that nequip-compile makes, with the options it sets for one structure."""
    file = request.compiled(package, ".nequip.pt2")
    if not file.is_file():
        shapes = {"graph": Dim.STATIC, "node": Dim("num_nodes", min=2), "edge": Dim("num_edges", min=2)}
        copies = {key: value.clone() for key, value in data.items()}
        aot_export_model(model, "cpu", INPUTS, OUTPUTS, copies, shapes, str(file))
    return DictInputOutputWrapper(torch._inductor.aoti_load_package(str(file)), INPUTS, OUTPUTS)


def build_with(make_model, request: Request, package: str) -> Built:
    """A model in one of the modes; ``make_model`` takes the options of the request."""
    set_global_state(allow_tf32=False)
    model = make_model(**request.options, **COMMON).eval().requires_grad_(False)
    data = make_data(request)
    n_edges = data[AtomicDataDict.EDGE_INDEX_KEY].size(1)
    if request.mode == "eager":
        step = make_step(model, data)
        return Built(step, n_edges, counted=step)
    if request.mode == "aotinductor":
        return Built(make_step(ahead_of_time(model, data, request, package), data), n_edges)
    if request.mode == "torchscript":
        nequip_compile.main(["any.ckpt", "any.nequip.pth", "--mode", "torchscript", "--device", "cpu"])
    raise request.no_such_mode()

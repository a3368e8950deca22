"""sevenn: options layers, parity (True, the default of its inputs, keeps both parities; SevenNet-0 has False).

Modes: ``eager``; ``torchscript``, the model that ``sevenn get_model`` writes for LAMMPS; ``plain
torch.compile``, which its documentation does not offer. Its accelerators are for GPUs.
"""

from __future__ import annotations

import e3nn.util.jit
import sevenn._keys as KEY
import torch
from adapter import CHANNELS, CUTOFF, L_MAX, NEIGHBORS, REFERENCES, SEED, Built, Request, Step, run
from sevenn.atom_graph_data import AtomGraphData
from sevenn.model_build import build_E3_equivariant_model
from sevenn.parse_input import init_model_config
from sevenn.train.dataload import unlabeled_atoms_to_graph

Graph = dict[str, torch.Tensor]


def make_model(layers: int, parity: bool) -> torch.nn.Module:
    torch.manual_seed(SEED)
    options = {
        KEY.CHEMICAL_SPECIES: list(REFERENCES),
        KEY.CUTOFF: CUTOFF,
        KEY.NODE_FEATURE_MULTIPLICITY: CHANNELS,
        KEY.LMAX: L_MAX,
        KEY.IS_PARITY: parity,
        KEY.NUM_CONVOLUTION: layers,
        KEY.CONV_DENOMINATOR: NEIGHBORS,
    }
    config = init_model_config(options) | {KEY.SHIFT: list(REFERENCES.values()), KEY.SCALE: 1.0}
    model = build_E3_equivariant_model(config)
    model.set_is_batch_data(False)
    return model.eval().requires_grad_(False)


def make_graph(request: Request) -> Graph:
    data = AtomGraphData.from_numpy_dict(unlabeled_atoms_to_graph(request.atoms, CUTOFF)).to_dict()
    return {key: value for key, value in data.items() if isinstance(value, torch.Tensor)}


def eager(model: torch.nn.Module, graph: Graph) -> Step:
    def step() -> tuple[torch.Tensor, torch.Tensor]:
        out = model(dict(graph))
        return out[KEY.PRED_TOTAL_ENERGY].detach(), out[KEY.PRED_FORCE]

    return step


def torchscript(model: torch.nn.Module, graph: Graph) -> Step:
    """As in its deployment, the gradient on edges is taken outside and summed into forces."""
    model.delete_module_by_key("force_output")
    model.eval_type_map = False
    scripted = torch.jit.freeze(e3nn.util.jit.script(model))
    n_atoms = len(graph[KEY.ATOMIC_NUMBERS])
    types = model.z_to_onehot_tensor.index_select(0, graph[KEY.ATOMIC_NUMBERS])
    constant = {KEY.NODE_FEATURE: types, KEY.EDGE_IDX: graph[KEY.EDGE_IDX], KEY.NUM_ATOMS: torch.tensor([n_atoms])}
    constant["nlocal"] = constant[KEY.NUM_ATOMS]

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        vectors = graph[KEY.EDGE_VEC].detach().requires_grad_(True)
        energy = scripted(constant | {KEY.EDGE_VEC: vectors})[KEY.PRED_TOTAL_ENERGY].sum()
        (gradient,) = torch.autograd.grad([energy], [vectors])
        forces = gradient.new_zeros(n_atoms, 3).index_add_(0, graph[KEY.EDGE_IDX][0], gradient)
        return energy.detach(), forces.index_add_(0, graph[KEY.EDGE_IDX][1], gradient, alpha=-1)

    return step


def build(request: Request) -> Built:
    model, graph = make_model(**request.options), make_graph(request)
    n_edges = graph[KEY.EDGE_IDX].size(1)
    if request.mode == "eager":
        step = eager(model, graph)
        return Built(step, n_edges, counted=step)
    if request.mode == "torchscript":
        return Built(torchscript(model, graph), n_edges)
    if request.mode == "plain torch.compile":
        return Built(eager(torch.compile(model), graph), n_edges)
    raise request.no_such_mode()


if __name__ == "__main__":
    run("sevenn", build)

"""torchmd-net: options model (equivariant-transformer or tensornet), layers.

Modes: ``eager``; ``torchscript``; ``compile``, as TMDNETCalculator does with compile=True (one static graph); for the
transformer, which cannot be traced as one, ``plain torch.compile`` too. The forward pass searches neighbors itself:
0.004 ms per atom at 192 atoms, included in the times. TensorNet runs operators of warp-lang, as installed by the
package; their arithmetic is not counted.
"""

from __future__ import annotations

import torch
from adapter import CHANNELS, CUTOFF, SEED, Built, Request, Step, run
from torchmdnet.models.model import create_model

#: Defaults of torchmd-train where the benchmark fixes nothing; both networks read what they know.
DEFAULTS = {
    "num_rbf": 64,
    "rbf_type": "expnorm",
    "trainable_rbf": False,
    "activation": "silu",
    "attn_activation": "silu",
    "num_heads": 8,
    "distance_influence": "both",
    "neighbor_embedding": False,
    "equivariance_invariance_group": "O(3)",
    "cutoff_lower": 0.0,
    "max_z": 100,
    "max_num_neighbors": 64,  # its default of 32 is fewer than water has
    "output_model": "Scalar",
    "reduce_op": "add",
    "prior_model": None,
    "atom_filter": -1,
    "precision": 32,
}


def make_model(model: str, layers: int, mode: str) -> torch.nn.Module:
    torch.manual_seed(SEED)
    made = create_model(
        DEFAULTS
        | {
            "model": model,
            "num_layers": layers,
            "embedding_dimension": CHANNELS,
            "cutoff_upper": CUTOFF,
            "vector_cutoff": True,  # continuous energy, as all others have
            "static_shapes": mode == "compile",
            "derivative": "compile" not in mode,
        }
    )
    return made.eval().requires_grad_(False)


def make_step(model: torch.nn.Module, request: Request, inside: bool) -> Step:
    """Forces come from the model itself or, ``inside`` false, from a backward pass that the caller makes."""
    numbers = torch.tensor(request.atoms.numbers)
    start = torch.tensor(request.atoms.positions, dtype=torch.float32)
    box = torch.tensor(request.atoms.cell.array, dtype=torch.float32)
    batch = torch.zeros_like(numbers)

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        positions = start.clone().requires_grad_(True)
        energy, forces = model(numbers, positions, batch, box)
        if inside:
            return energy.detach(), forces.detach()
        energy.backward()
        assert positions.grad is not None
        return energy.detach(), -positions.grad

    return step


def count_edges(model: torch.nn.Module, request: Request) -> int:
    """Pairs without the loops that the networks add."""
    positions = torch.tensor(request.atoms.positions, dtype=torch.float32)
    box = torch.tensor(request.atoms.cell.array, dtype=torch.float32)
    index = model.representation_model.distance(positions, None, box)[0]
    return int(((index[0] != index[1]) & (index[0] >= 0)).sum())


def build(request: Request) -> Built:
    model = make_model(mode=request.mode, **request.options)
    n_edges = count_edges(model, request)
    if request.mode == "eager":
        step = make_step(model, request, inside=True)
        return Built(step, n_edges, counted=step)
    if request.mode == "torchscript":
        return Built(make_step(torch.jit.script(model), request, inside=True), n_edges)
    make_step(model, request, inside=False)()  # sets sizes that cannot be traced, as the calculator does
    if request.mode == "compile":
        static = torch.compile(model, backend="inductor", dynamic=False, fullgraph=True, mode="reduce-overhead")
        return Built(make_step(static, request, inside=False), n_edges)
    if request.mode == "plain torch.compile":
        return Built(make_step(torch.compile(model), request, inside=False), n_edges)
    raise request.no_such_mode()


if __name__ == "__main__":
    run("torchmd-net", build)

"""The optimizers, clipping of gradients, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tdn.config.training import TrainingConfig
from tdn.model.potential import Potential

Tensors = tuple[Tensor, ...] | list[Tensor]
#: Matrices with a smaller side are left to AdamW by ``optimizer: muon``.
SMALLEST_MAP = 16
#: Weight of the newest step in the running average of the gradient's norm.
NEWEST = 0.02
#: Parameters that are tables of elements, not maps: weight decay would pull rare elements to zero.
TABLES = ("embedding.elements", "embedding.sources", "pair_embedding.table")


def build_optimizers(model: Potential, options: TrainingConfig) -> list[torch.optim.Optimizer]:
    """Adam or AdamW for all parameters, or Muon for the matrices of linear maps and AdamW for the others.

    Muon (Jordan et al. 2024; Liu et al., arXiv 2502.16982) steps along the orthogonalized momentum of a matrix; steps
    have the usual size of AdamW's, so that both share one learning rate. Weight decay acts only on matrices of linear
    maps. A group's ``scale`` is a factor of its learning rate (see :func:`rate_of`), applied by the loop.
    """
    groups: dict[tuple[bool, float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        muon = options.optimizer == "muon" and is_large_map(name, parameter)
        key = (muon, rate_of(name, model), options.weight_decay if decays(name, parameter) else 0.0)
        groups.setdefault(key, []).append(parameter)

    def groups_of(muon: bool) -> list[dict[str, Any]]:
        return [
            {"params": parameters, "lr": options.learning_rate * scale, "weight_decay": decay, "scale": scale}
            for (kind, scale, decay), parameters in groups.items()
            if kind == muon
        ]

    others = torch.optim.Adam if options.optimizer == "adam" else torch.optim.AdamW
    made: list[torch.optim.Optimizer] = [others(groups_of(False), lr=options.learning_rate)]
    if matrices := groups_of(True):
        made.append(torch.optim.Muon(matrices, lr=options.learning_rate, adjust_lr_fn="match_rms_adamw"))
    return made


def is_large_map(name: str, parameter: Tensor) -> bool:
    """Whether Muon trains a parameter: the matrix of a linear map that is more than a few vectors."""
    return decays(name, parameter) and parameter.dim() == 2 and min(parameter.shape) >= SMALLEST_MAP


def rate_of(name: str, model: Potential) -> float:
    """Factor of a parameter's learning rate: 1, except for one parameter of the paper setting.

    The published source vector of the degree embedding is the sum over the C columns of a matrix and a bias. All C + 1
    have the same gradient, so Adam moves their sum C + 1 times as fast as it moves our one vector.
    """
    if model.energy_convention == "per_atom" and name.endswith("embedding.sources"):
        return dict(model.named_parameters())[name].size(-1) + 1.0
    return 1.0


def decays(name: str, parameter: Tensor) -> bool:
    """Whether a parameter decays: biases, norms, element tables and radial basis functions do not."""
    return parameter.dim() >= 2 and "norm" not in name and not name.endswith(TABLES)


def reduce_gradients(parameters: Iterable[nn.Parameter], loss: Tensor, total: Callable[[Tensor], Tensor]) -> Tensor:
    """Sum gradients and loss over processes, in one message; returns the loss of all.

    Every process has divided by the number of labels in the whole batch, so the sums are the gradients of one process.
    """
    given = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in given:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in given if parameter.grad is not None]
    flat = total(torch.cat([*(gradient.flatten() for gradient in gradients), loss.detach().to(gradients[0]).view(1)]))
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, summed in zip(gradients, flat[:-1].split(sizes), strict=True):
        gradient.copy_(summed.view_as(gradient))
    return flat[-1]


def clip_gradients(parameters: Iterable[nn.Parameter], average: Tensor, first: bool, options: TrainingConfig) -> None:
    """Clip a gradient whose norm is much larger than its running average, or larger than ``max_norm``.

    Args:
        parameters: parameters with gradients.
        average: () float64, running average of the norm, updated in place.
        first: whether this is the first step, at which the average starts from the norm of this gradient.
        options: ``clip`` and ``max_norm``.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not (options.clip or options.max_norm):
        return
    norm = nn.utils.get_total_norm(gradients).double()
    limit = norm
    if options.clip:
        limit = norm if first else torch.minimum(norm, options.clip * average)
        average.copy_(limit if first else torch.lerp(average, limit, NEWEST))
    if options.max_norm:
        limit = limit.clamp(max=options.max_norm)
    factor = (limit / norm.clamp(min=1e-12)).clamp(max=1.0)
    torch._foreach_mul_(gradients, factor.to(gradients[0].dtype))


def average_of(model: nn.Module, decay: float) -> AveragedModel | None:
    """Exponential moving average of the weights, without gradients and without dropout."""
    if not decay:
        return None
    average = AveragedModel(model, multi_avg_fn=moving_average(decay))
    return average.requires_grad_(False).eval()


def moving_average(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """Keeps ``decay`` of the average in step n, but at most (1 + n) / (10 + n), to forget the initial weights soon."""

    @torch.no_grad()
    def update(averages: Tensors, weights: Tensors, n_averaged: Tensor | int) -> None:
        torch._foreach_lerp_(averages, weights, max(1.0 - decay, 9.0 / (10.0 + float(n_averaged))))

    return update

"""A whole training step as one compiled function: energy, forces, loss and the gradient with respect to the weights.

Forces are a derivative, so training differentiates twice, and eager PyTorch spends most of its time between
operations. Here the step, including both derivatives, is traced once for each shape of a batch and compiled; small
batches then take half the time (benchmarks/results/training_speed.md). Compiling takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from tdn.data.graph import Graph
from tdn.training.padding import Shape, Shapes, fill_up

#: Prediction and batch -> loss (), and the sums that the caller collects, as one tensor of any shape.
LossAndSums = Callable[[Any, Graph], tuple[Tensor, Tensor]]
#: Weights and tensors of a batch -> loss, sums, gradients.
Step = Callable[[list[Tensor], list[Tensor]], list[Tensor]]


class CompiledStep:
    """Callable like the eager step; its loss can be differentiated with respect to the model's weights as usual.

    Args:
        model: called as ``model(graph, training=True, **request)``.
        loss: see ``LossAndSums``; must not index by masks, whose result has no fixed shape.
        request: further arguments of the model.
        cutoff: cutoff of the model, angstrom.
        backend: backend of ``torch.compile``.
    """

    def __init__(
        self, model: nn.Module, loss: LossAndSums, request: dict[str, Any], cutoff: float, backend: str = "inductor"
    ) -> None:
        self.model = model
        self.loss = loss
        self.request = request
        self.cutoff = cutoff
        self.backend = backend
        self.shapes = Shapes()
        self.steps: dict[Shape, Step] = {}

    def __call__(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Loss (), differentiable, and the caller's sums of a batch."""
        shape = self.shapes.fit(graph)
        filled = fill_up(graph, shape, self.cutoff)
        if shape not in self.steps:
            self.steps[shape] = self.compile(filled)
        weights = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        loss, sums = GivenGradient.apply(self.steps[shape], tensors_of(filled), *weights)
        return loss, sums

    def compile(self, example: Graph) -> Step:
        """Trace and compile the step for batches of the example's shape."""
        names = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        frozen = {name: value for name, value in self.model.named_parameters() if not value.requires_grad}
        constants = {**dict(self.model.named_buffers()), **frozen}

        def step(weights: list[Tensor], tensors: list[Tensor]) -> list[Tensor]:
            graph = with_tensors(example, tensors)
            with torch.enable_grad():
                leaves = [weight.detach().requires_grad_() for weight in weights]
                state = {**constants, **dict(zip(names, leaves, strict=True))}
                output = functional_call(self.model, state, (graph,), {"training": True, **self.request})
                loss, sums = self.loss(output, graph)
                gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
            filled = [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, gradients, strict=True)]
            return [value.detach() for value in (loss, sums, *filled)]

        weights = [parameter.detach() for parameter in self.model.parameters() if parameter.requires_grad]
        traced = make_fx(step)(weights, tensors_of(example))
        traced.graph.eliminate_dead_code()  # the trace contains code that only the first derivative needed
        traced.recompile()
        return torch.compile(traced, backend=self.backend, dynamic=False)


class GivenGradient(torch.autograd.Function):
    """A loss whose gradient is already known, so that hooks on gradients (such as DDP's) work as usual."""

    @staticmethod
    def forward(ctx: Any, step: Step, tensors: list[Tensor], *weights: Tensor) -> tuple[Tensor, Tensor]:
        """Run the step; keep its gradients."""
        with torch.no_grad():
            loss, sums, *gradients = step([weight.detach() for weight in weights], tensors)
        ctx.save_for_backward(*gradients)
        ctx.mark_non_differentiable(sums)
        return loss, sums

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        """The stored gradients times the gradient of what follows the loss."""
        return (None, None, *(outer[0] * gradient for gradient in ctx.saved_tensors))


def tensors_of(graph: Graph) -> list[Tensor]:
    """Tensors of a graph in the order of its fields."""
    values = (getattr(graph, field.name) for field in fields(graph))
    return [value for value in values if isinstance(value, Tensor)]


def with_tensors(graph: Graph, tensors: list[Tensor]) -> Graph:
    """The graph with other tensors, in the order of :func:`tensors_of`."""
    names = [field.name for field in fields(graph) if isinstance(getattr(graph, field.name), Tensor)]
    changes: dict[str, Any] = dict(zip(names, tensors, strict=True))
    return replace(graph, **changes)

"""What a step computes: the prediction, the loss of a share of a batch, and its sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from tdn.config.training import TrainingConfig
from tdn.data.graph import Graph
from tdn.evaluation.metrics import differences
from tdn.model.potential import Potential
from tdn.training.loss import Term, loss_terms
from tdn.training.optimizer import average_of
from tdn.training.precision import products_in
from tdn.training.tally import rows_of

if TYPE_CHECKING:
    from tdn.training.compiled import CompiledStep


@dataclass(frozen=True)
class Share(Graph):
    """A process's share of a batch, with the loss factors of the whole batch; as a tensor, traces do not fix them."""

    factors: Tensor | None = None  #: (n_properties,) float64: weight of each property / labels of the whole batch


@dataclass
class Answer:
    """A prediction with every value zero: the counts of the loss do not depend on values."""

    energy: Tensor
    forces: Tensor
    stress: Tensor | None
    direct_forces: Tensor | None
    kind: str


class TrainingModule(nn.Module):
    """A model, the moving average of its weights, and the loss that it is trained on.

    All heads of the model are trained: gradient forces and, if there is one, the direct head.
    """

    gradient_norm: Tensor  #: () float64, running average of the gradient's norm

    def __init__(self, model: Potential, options: TrainingConfig, stress: bool) -> None:
        """Args: ``model`` predicts energies above the references; ``stress``: the data have stress labels."""
        super().__init__()
        self.model = model
        self.options = options
        self.convention = model.energy_convention
        both = model.force_kinds[0] == "gradient" and len(model.force_kinds) > 1
        # the gradient of an energy per atom is not a stress
        stress = stress and self.convention == "extensive"
        self.request: dict[str, Any] = {"stress": stress, "forces": "both" if both else None}
        extra = [name for name, there in (("direct_force", both), ("stress", stress)) if there]
        self.properties = ("energy", "force", *extra)
        self.average = average_of(model, options.ema_decay)
        self.register_buffer("gradient_norm", torch.tensor(0.0, dtype=torch.float64))
        self.compiled: CompiledStep | None = None

    @property
    def best_model(self) -> Potential:
        """The weights to validate and to save: the moving average if there is one."""
        return self.model if self.average is None else cast(Potential, self.average.module)

    def compile_steps(self) -> None:
        """From now on training steps are traced and compiled."""
        from tdn.training.compiled import CompiledStep

        self.compiled = CompiledStep(self.model, self.loss_and_rows, self.request, self.model.cutoff)

    def training_step(self, share: Share) -> tuple[Tensor, Tensor]:
        """Loss of a share of a batch with its gradient, and the sums of the share (see ``tally.rows_of``)."""
        with products_in(self.options.dtype):
            if self.compiled is not None:
                return self.compiled(share)
            output = self.model(share, training=True, **self.request)
        return self.loss_and_rows(output, share)

    def validation_step(self, share: Share) -> Tensor:
        """Sums of a share of a batch; forces are derivatives, so gradients are on."""
        with torch.enable_grad(), products_in(self.options.dtype):
            output = self.best_model(share, training=False, **self.request)
        with torch.no_grad():
            return self.loss_and_rows(output, share)[1]

    def loss_and_rows(self, output: Any, share: Graph) -> tuple[Tensor, Tensor]:
        """Loss () float64 and sums of a share; a pure function of tensors, which can be traced."""
        assert isinstance(share, Share) and share.factors is not None
        errors = differences(output, share, self.convention)
        terms = loss_terms(errors, share, self.options)
        totals = torch.stack([terms[name].total.double() for name in self.properties])
        return (share.factors * totals).sum(), rows_of(errors, terms, share)

    def counts(self, graph: Graph) -> Tensor:
        """Number of labels of each property, as counted by the loss, (n_properties,) float64."""
        with torch.no_grad():
            terms: dict[str, Term] = loss_terms(
                differences(self.nothing(graph), graph, self.convention), graph, self.options
            )
        return torch.stack([terms[name].number.double() for name in self.properties])

    def share(self, graph: Graph, weights: Mapping[str, float], counts: Tensor | None = None) -> Share:
        """The graph with the factors of its properties' sums: weight / number of labels; zero without labels.

        Args:
            graph: a batch, or a process's share of one.
            weights: weight of each property's mean in the loss.
            counts: number of labels of the whole batch, as in :meth:`counts`, if the graph is a share of it.
        """
        counts = self.counts(graph) if counts is None else counts
        factors = torch.tensor([weights[name] for name in self.properties], dtype=torch.float64)
        return share_of(graph, factors.to(counts.device) / counts.clamp(min=1.0))

    def nothing(self, graph: Graph) -> Answer:
        """Zeros in place of the prediction."""
        forces = graph.vectors.new_zeros(len(graph.species), 3)
        return Answer(
            energy=forces.new_zeros(graph.n_graphs),
            forces=forces,
            stress=forces.new_zeros(graph.n_graphs, 3, 3) if self.request["stress"] else None,
            direct_forces=forces if "direct_force" in self.properties else None,
            kind="gradient" if "direct_force" in self.properties else self.model.force_kinds[0],
        )


def share_of(graph: Graph, factors: Tensor) -> Share:
    """The graph with the factors of the properties' totals."""
    return Share(**vars(graph), factors=factors)

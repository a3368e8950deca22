"""Least-squares fit of a CP decomposition in float64: T_abc ~ sum_r F0_ar F1_br F2_cr (paper, Eq. 3).

Levenberg-Marquardt on all factors at once, with the normal matrix built blockwise (its blocks are products of small
matrices; the Jacobian is never formed). Every other start is first improved by alternating least squares (ALS): that
helps at l_max 1, but at l_max 2 it leads into poor minima more often than a plain random start, so both are tried.

The coupling tensor has symmetries, and factors may share them: they are then read from one matrix of parameters P,
``F_n = P[:, columns[n]]``. O(3) couplings do not change under any permutation of their indices, SO(3) couplings under
cyclic ones only (the odd paths change sign under a swap). Ties cut the unknowns by three and, more important, most
random starts then reach an exact decomposition.

This file knows nothing of angular momentum; the ranks and the cache are in ``cp_decomposition``.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: A fit is exact below this relative Frobenius error.
TOLERANCE = 1e-13
#: Levenberg-Marquardt gives up when this many iterations gain less than 2 %.
PATIENCE = 50


def tied_columns(rank: int, tie: str, n_cubes: int = 0) -> Tensor:
    """Columns of the parameter matrix from which each of the three factors is read.

    Args:
        rank: number of terms R.
        tie: ``free`` (3 R columns), ``symmetric`` (R columns, terms p (x) p (x) p) or ``cyclic`` (R columns:
            ``n_cubes`` terms p (x) p (x) p and triples p q r + q r p + r p q).
        n_cubes: cyclic only; ``rank - n_cubes`` must be a multiple of three.

    Returns:
        (3, R) int64.
    """
    columns = torch.arange(rank)
    if tie == "free":
        return torch.arange(3 * rank).view(3, rank)
    if tie == "symmetric":
        return columns.repeat(3, 1)
    cubes, triples = columns[:n_cubes], columns[n_cubes:].view(3, -1)
    return torch.stack([torch.cat([cubes, triples.roll(-shift, 0).flatten()]) for shift in range(3)])


def fit(target: Tensor, columns: Tensor, seed: int, max_iterations: int = 300) -> tuple[Tensor, float]:
    """Fit from one random start.

    Args:
        target: (d, d, d) float64; must have the symmetry that ``columns`` imposes.
        columns: (3, R) from :func:`tied_columns`.
        seed: seed of the random start; the same seed gives the same fit.
        max_iterations: limit for Levenberg-Marquardt.

    Returns:
        Factors (3, d, R), balanced (the three columns of a term have equal norms), and the relative Frobenius error.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (target.size(0), int(columns.max()) + 1)
    parameters = 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    untied = columns.unique().numel() == columns.numel()  # only then is one factor a linear problem given the others
    if untied and seed % 2 == 0:
        parameters = alternating_least_squares(target, parameters)
    factors = balance(levenberg_marquardt(target, parameters, columns, max_iterations)[:, columns].transpose(0, 1))
    return factors, relative_error(target, factors)


def compose(factors: Tensor) -> Tensor:
    """(3, d, R) -> (d, d, d): sum_r F0_ar F1_br F2_cr."""
    return torch.einsum("ar,br,cr->abc", factors[0], factors[1], factors[2])


def relative_error(target: Tensor, factors: Tensor) -> float:
    """Frobenius norm of the residual over that of the target."""
    return float(torch.linalg.vector_norm(target - compose(factors)) / torch.linalg.vector_norm(target))


def balance(factors: Tensor) -> Tensor:
    """Scale the three columns of every term to equal norms; their product stays."""
    norms = torch.linalg.vector_norm(factors, dim=1, keepdim=True)  # (3, 1, R)
    return factors * (norms.prod(0, keepdim=True) ** (1 / 3) / norms.clamp_min(torch.finfo(norms.dtype).tiny))


def alternating_least_squares(target: Tensor, parameters: Tensor, sweeps: int = 20, ridge: float = 1e-3) -> Tensor:
    """Solve for one factor at a time; the ridge keeps terms from growing against each other. (d, 3R) -> (d, 3R)."""
    factors = list(parameters.chunk(3, dim=1))
    for _ in range(sweeps):
        for mode in range(3):
            a, b = (factors[n] for n in range(3) if n != mode)
            normal = (a.t() @ a) * (b.t() @ b)
            normal.diagonal().add_(ridge)
            factors[mode] = torch.linalg.solve(normal, project(target, mode, a, b).t()).t()
    return torch.cat(factors, dim=1)


def project(tensor: Tensor, mode: int, a: Tensor, b: Tensor) -> Tensor:
    """Contract the two other indices of ``tensor`` with the columns of ``a`` and ``b``: (d, R)."""
    khatri_rao = (a.unsqueeze(1) * b.unsqueeze(0)).reshape(-1, a.size(1))
    return tensor.movedim(mode, 0).reshape(tensor.size(mode), -1) @ khatri_rao


def levenberg_marquardt(target: Tensor, parameters: Tensor, columns: Tensor, max_iterations: int) -> Tensor:
    """Damped Gauss-Newton; damping follows the ratio of actual to predicted gain (Nielsen 1999). (d, P) -> (d, P)."""
    residual = target - compose(parameters[:, columns].transpose(0, 1))
    losses = [float(residual.square().sum())]
    enough = TOLERANCE**2 * float(target.square().sum())
    damping = 1.0
    while len(losses) <= max_iterations and losses[-1] > enough and not stalled(losses):
        normal, gradient = normal_equations(residual, parameters, columns)
        growth = 2.0
        while True:
            step = solve_damped(normal, gradient, damping)
            gain_ratio = -1.0
            if step is not None:
                trial = parameters + step
                trial_residual = target - compose(trial[:, columns].transpose(0, 1))
                trial_loss = float(trial_residual.square().sum())
                predicted = float((step * (damping * step + gradient)).sum())
                gain_ratio = (losses[-1] - trial_loss) / max(predicted, 1e-300)
            if gain_ratio > 0:
                break
            if damping > 1e12:  # rounding dominates the loss: nothing more to gain
                return parameters
            damping, growth = damping * growth, 2 * growth
        parameters, residual = trial, trial_residual
        losses.append(trial_loss)
        damping = max(damping * max(1 / 3, 1 - (2 * gain_ratio - 1) ** 3), 1e-16)
    return parameters


def stalled(losses: list[float]) -> bool:
    """Less than 2 % gained in the last ``PATIENCE`` iterations."""
    return len(losses) > PATIENCE and losses[-1] > 0.98**2 * losses[-1 - PATIENCE]


def normal_equations(residual: Tensor, parameters: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """J^T J (d, P, d, P) and J^T residual (d, P), with J the Jacobian of the composed tensor.

    Block of factors n, m and rows i, j, terms r, s: delta_ij G_a,rs G_b,rs for n = m (a, b the other two factors,
    G = F^T F), and F_n,is F_m,jr G_o,rs for n != m (o the third).
    """
    dim, n_columns = parameters.shape
    factors = [parameters[:, columns[n]] for n in range(3)]
    grams = [f.t() @ f for f in factors]
    identity = torch.eye(dim, dtype=parameters.dtype)
    normal = parameters.new_zeros(dim, n_columns, dim, n_columns)
    gradient = torch.zeros_like(parameters)
    for n in range(3):
        a, b = (m for m in range(3) if m != n)
        gradient[:, columns[n]] += project(residual, n, factors[a], factors[b])
        for m in range(3):
            if m == n:
                block = torch.einsum("rs,ij->rsij", grams[a] * grams[b], identity)
            else:
                block = torch.einsum("is,jr,rs->rsij", factors[n], factors[m], grams[3 - n - m])
            normal[:, columns[n].unsqueeze(1), :, columns[m].unsqueeze(0)] += block
    return normal, gradient


def solve_damped(normal: Tensor, gradient: Tensor, damping: float) -> Tensor | None:
    """(J^T J + damping I)^-1 J^T residual, or None where rounding makes the matrix indefinite."""
    matrix = normal.reshape(gradient.numel(), gradient.numel()).clone()
    matrix.diagonal().add_(damping)
    lower, info = torch.linalg.cholesky_ex(matrix)
    if int(info) != 0:
        return None
    return torch.cholesky_solve(gradient.reshape(-1, 1), lower).view_as(gradient)

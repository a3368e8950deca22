"""Rotation matrices of the feature components, from e3nn's spherical harmonics.

(e3nn's own ``wigner_D`` deviates from its harmonics by 1e-7, too much for these tests.)
"""

import torch
from e3nn import o3
from torch import Tensor


def unit_vectors(n: int, seed: int = 0) -> Tensor:
    """Random directions, float64, (n, 3)."""
    vectors = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return vectors / vectors.norm(dim=1, keepdim=True)


def random_rotation(seed: int) -> Tensor:
    """Proper rotation, float64, (3, 3)."""
    orthogonal = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    return orthogonal.Q * torch.linalg.det(orthogonal.Q)


def component_rotation(rotation: Tensor, l_max: int) -> Tensor:
    """D with Y(R v) = D Y(v), block diagonal, float64, (d, d)."""
    points = unit_vectors(60, seed=99)
    blocks = []
    for degree in range(l_max + 1):
        at_points, at_images = (
            o3.spherical_harmonics(degree, v, normalize=False, normalization="component")
            for v in (points, points @ rotation.t())
        )
        blocks.append(torch.linalg.lstsq(at_points, at_images).solution.t())
    return torch.block_diag(*blocks)

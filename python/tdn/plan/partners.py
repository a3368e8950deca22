"""How far a block of atoms reaches if only atoms in the neighbor list of an owned atom count.

An atom outside of a block, at distance d < s, is in the neighbor list of an owned atom if there is an owned atom in the
part of the ball of radius s around it that overlaps the block. In a random arrangement of density rho the probability
is 1 - exp(-rho V), where V is the volume of that part. So the outermost atoms of a shell have no partner: in water 0.6
angstrom are lost along a face, 1.2 along an edge and 1.8 at a corner.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product

from tdn.plan.geometry import Triple, ball_in_box

#: Points along the distance and along each angle; midpoint rule.
_RADII, _ANGLES = 24, 6


@lru_cache(maxsize=64)
def effective_reaches(density: float, reach: float) -> Triple:
    """Reach (angstrom) from faces, edges and corners that gives the expected number of atoms with a partner.

    Args:
        density: atoms per angstrom^3.
        reach: s, cutoff of the neighbor list, angstrom.
    """
    return (
        _effective(density, reach, [(1.0,)]),
        _effective(density, reach, _directions_of_an_edge()),
        _effective(density, reach, _directions_of_a_corner()),
    )


def _effective(density: float, reach: float, directions: list[tuple[float, ...]]) -> float:
    """Radius r_m of the part of an m-dimensional ball that holds as many atoms as have a partner within ``reach``.

    r_m^m = m * integral of r^(m-1) P(r) dr from 0 to ``reach``, P averaged over directions.
    """
    m = len(directions[0])
    total = 0.0
    for k in range(_RADII):
        r = reach * (k + 0.5) / _RADII
        missed = [math.exp(-density * dipped_volume([r * x for x in n], reach)) for n in directions]
        total += r ** (m - 1) * (1 - sum(missed) / len(missed))
    return (m * total * reach / _RADII) ** (1 / m)


def dipped_volume(distances: list[float], radius: float) -> float:
    """Part of a ball that lies beyond a face (one distance of its center), an edge (two) or a corner (three)."""
    free = 3 - len(distances)
    total = 0.0
    for chosen in product((False, True), repeat=len(distances)):
        sides = [d if cut else radius for d, cut in zip(distances, chosen, strict=True)]
        total += (-1) ** sum(chosen) * ball_in_box(sides + [radius] * free, radius)
    return max(0.0, 2**free * total)


def _directions_of_an_edge() -> list[tuple[float, ...]]:
    angles = [math.pi / 4 * (k + 0.5) / _ANGLES for k in range(_ANGLES)]  # the other half is its mirror image
    return [(math.cos(angle), math.sin(angle)) for angle in angles]


def _directions_of_a_corner() -> list[tuple[float, ...]]:
    """Unit vectors spread uniformly over an octant: cosine of the polar angle and azimuth on a grid."""
    heights = [(k + 0.5) / _ANGLES for k in range(_ANGLES)]
    return [
        (math.sqrt(1 - z * z) * x, math.sqrt(1 - z * z) * y, z) for z in heights for x, y in _directions_of_an_edge()
    ]

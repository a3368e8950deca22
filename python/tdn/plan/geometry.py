"""Volumes around the orthogonal subdomain of a rank in a periodic box. Lengths in angstrom, volumes in angstrom^3.

A rank owns the block [0, a] x [0, b] x [0, c] of a box that px x py x pz such blocks fill. Atoms of another rank, k
blocks away along an axis, are at distances d = (dx, dy, dz) from this block: along an axis with k = 0 the distance is
zero over the whole length of the block, along an axis with k != 0 it ranges from (k - 1) a to k a. Along a periodic
axis the shorter way counts, so every point of the box has one distance, that of its nearest image.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

Triple = tuple[float, float, float]
Grid = tuple[int, int, int]

#: Nodes of the midpoint rule for the only integral without a closed form; errors stay below 1e-4 of the volume.
_NODES = 50


class Span(NamedTuple):
    """Points of other ranks along one axis, by their distance from the block."""

    low: float  #: distance of the nearest point, angstrom
    high: float  #: distance of the farthest point, angstrom; equal to ``low`` if the distance does not vary
    factor: float  #: length of points per length of distance, or the whole length (angstrom) if the distance is zero


def choose_grid(n_ranks: int, box: Triple) -> Grid:
    """Grid of ranks with the smallest surface of a block, the first among equals, as LAMMPS chooses it."""
    best: tuple[float, Grid] | None = None
    for px in _divisors(n_ranks):
        for py in _divisors(n_ranks // px):
            grid = (px, py, n_ranks // px // py)
            a, b, c = (length / n for length, n in zip(box, grid, strict=True))
            surface = a * b + a * c + b * c
            if best is None or surface < best[0] * (1 - 1e-12):
                best = (surface, grid)
    assert best is not None
    return best[1]


def _divisors(n: int) -> list[int]:
    small = [k for k in range(1, math.isqrt(n) + 1) if n % k == 0]
    return small + [n // k for k in reversed(small) if k * k != n]


def shell_volume(block: Triple, reach: float) -> float:
    """Volume of LAMMPS's ghost shell: the block grown by ``reach`` on each side, without the block.

    Corners are not rounded, and images count as often as they appear.
    """
    return math.prod(length + 2 * reach for length in block) - math.prod(block)


def remote_volumes(block: Triple, grid: Grid, reaches: Triple) -> list[float]:
    """Volume near the block that each other rank owns, for the ranks where it is not zero.

    With a single reach s, the sum is Steiner's formula, 2 (ab + bc + ca) s + pi (a + b + c) s^2 + 4/3 pi s^3, if the
    box is larger than the block by at least 2 s in every direction; in a smaller box every point still counts once.

    Args:
        block: sides of the block, angstrom.
        grid: ranks along each axis.
        reaches: how far the block reaches from its faces, edges and corners, angstrom.
    """
    axes = [_spans(length, n, max(reaches)) for length, n in zip(block, grid, strict=True)]
    volumes = []
    for spans in product(*axes):
        n_distances = sum(not _is_own(span) for span in spans)
        if n_distances == 0:
            continue
        volume = _volume(spans, reaches[n_distances - 1])
        if volume > 0:
            volumes.append(volume)
    return volumes


def _spans(length: float, n: int, reach: float) -> list[Span]:
    """Blocks along one axis: this one, then those on both sides as far as ``reach``."""
    spans = [Span(0.0, 0.0, length)]
    for k in range(1, n // 2 + 1):
        low = (k - 1) * length
        if low >= reach:
            break
        if 2 * k == n:  # the opposite block is reached from both sides, each half of it the shorter way
            spans.append(Span(low, low + length / 2, 2.0))
        else:
            spans += [Span(low, low + length, 1.0)] * 2
    return spans


def _is_own(span: Span) -> bool:
    return span.high == 0.0


def _volume(spans: tuple[Span, ...], reach: float) -> float:
    """Volume of the points at a distance below ``reach``, by inclusion and exclusion of boxes that start at zero."""
    factor = math.prod(span.factor for span in spans)
    limits = [((span.high, 1), (span.low, -1)) for span in spans if not _is_own(span)]
    total = 0.0
    for corner in product(*limits):
        sign = math.prod(part[1] for part in corner)
        total += sign * ball_in_box([part[0] for part in corner], reach)
    return max(0.0, factor * total)


def ball_in_box(sides: list[float], radius: float) -> float:
    """Length, area or volume of the points 0 <= x_k <= sides[k] with |x| <= radius."""
    if min(sides) <= 0 or radius <= 0:
        return 0.0
    if len(sides) == 1:
        return min(sides[0], radius)
    if len(sides) == 2:
        return _disk_in_rectangle(sides[0], sides[1], radius)
    depth = min(sides[2], radius)
    if math.hypot(*sides) <= radius:
        return math.prod(sides)
    # z = depth * (1 - (1 - t)^2) is dense where the circle of the ball shrinks to a point.
    nodes = [(k + 0.5) / _NODES for k in range(_NODES)]
    cuts = [
        _disk_in_rectangle(sides[0], sides[1], math.sqrt(max(0.0, radius**2 - (depth * (1 - (1 - t) ** 2)) ** 2)))
        * (1 - t)
        for t in nodes
    ]
    return 2 * depth * sum(cuts) / _NODES


def _disk_in_rectangle(a: float, b: float, radius: float) -> float:
    """Area of the points 0 <= x <= a, 0 <= y <= b with x^2 + y^2 <= radius^2."""
    if math.hypot(a, b) <= radius:
        return a * b
    end = min(a, radius)
    flat = math.sqrt(max(0.0, radius**2 - b**2)) if b < radius else 0.0  # up to here the rectangle's side is lower
    return flat * min(b, radius) + _under_circle(end, radius) - _under_circle(flat, radius)


def _under_circle(x: float, radius: float) -> float:
    """Integral of sqrt(radius^2 - x^2) from 0 to x."""
    x = min(x, radius)
    return 0.5 * (x * math.sqrt(radius**2 - x**2) + radius**2 * math.asin(x / radius)) if radius > 0 else 0.0

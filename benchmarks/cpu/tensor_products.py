"""Time of equivariant tensor products alone against l_max, for one and for many channels in the second operand.

Question: the paper's Figure 3 says that its CP form of rank 7 l_max^2 is 4 to 84 times faster than e3nn's fully
connected product (l_max 1 to 6, on a GPU). What of that is due to the decomposition, what to weights that paths share?

Predicted: with one channel in the second operand (an edge's spherical harmonics, the only case in a TDN) the exact edge
matrix K costs d^2 multiplications per row and channel, d = (l_max + 1)^2, the CP form 2 d R + R with R = 7 l_max^2: 4
to 11 times more. With many channels in both, the exact tensor has 16 to 11896 entries other than zero, each two
multiplications per row and channel, the CP form 3 d R: 84 to 37044; but the CP form is made of dense matrix products.

Forms are compared with their definition before they are timed. Each is timed at the number of rows that suits it best
(one evaluation takes 1 to 100 ms), in its own layout, in alternation with the others; CPU time of one thread, float32.
Multiplications are counted as torch executes them. The equivariance error is |T(D x, D y) - D T(x, y)| / |T(x, y)| over
random rotations and operands. Above l_max 3 no CP factors of rank 7 l_max^2 are known: random ones serve for the time.

Usage: python benchmarks/cpu/tensor_products.py [--repeats N] [--channels C] [--l-max L] [--output FILE]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from arithmetic import Multiplications
from product_report import Measured, conclusions, draw, table
from report import machine, parser, publish
from torch import Tensor

from tdn.algebra.spherical_harmonics import spherical_harmonics
from tdn.deployment.verify import random_rotation
from tdn.malloc import keep_freed_pages

try:
    from product_forms import FITTED, Form, many_channels, one_channel
except ModuleNotFoundError as problem:
    if problem.name != "e3nn":
        raise
    sys.exit("this benchmark compares with e3nn, which is not installed; run 'pip install e3nn'")

ROWS = (1, 4, 16, 64, 256, 1024, 4096)
SHORTEST, LONGEST = 1e-3, 0.1  # seconds of one evaluation
#: Relative difference to the definition that rounding in float32 explains.
AGREEMENT = 2e-5


def operands(n_rows: int, l_max: int, n_channels: int, n_second: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Random first (n, d, C), second (n, d, C2) and weight (n, C)."""
    generator, dim = torch.Generator().manual_seed(seed), (l_max + 1) ** 2
    shapes = (n_rows, dim, n_channels), (n_rows, dim, n_second), (n_rows, n_channels)
    first, second, weight = (torch.randn(shape, generator=generator) for shape in shapes)
    return first, second, weight


def component_rotation(rotation: Tensor, l_max: int) -> Tensor:
    """D (d, d) float64 with Y(R v) = D Y(v), from the spherical harmonics of many directions."""
    generator = torch.Generator().manual_seed(99)
    points = torch.randn(8 * (l_max + 1) ** 2, 3, generator=generator, dtype=torch.float64)
    points = points / points.norm(dim=1, keepdim=True)
    before, after = (spherical_harmonics(v, l_max) for v in (points, points @ rotation.t()))
    return torch.linalg.lstsq(before, after).solution.t()


def multiply(form: Form, first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """(n, d, C) float64, computed in float32."""
    return form.result(form.run(*form.arguments(first, second, weight))).double()


def check(form: Form, l_max: int, n_channels: int, n_second: int) -> None:
    """Refuse to time something that computes something else."""
    inputs = operands(2, l_max, n_channels, n_second)
    expected = form.expected(*inputs)
    error = float((multiply(form, *inputs) - expected).norm() / expected.norm())
    if not error < AGREEMENT:
        sys.exit(f"'{form.name}' at l_max {l_max} differs by {error:.1e} (relative) from its definition; no timing")


def equivariance_error(form: Form, l_max: int, n_channels: int, n_second: int) -> float:
    """Root mean square over four rotations and four rows each, relative."""
    difference, size = 0.0, 0.0
    for seed in range(4):
        rotation = component_rotation(random_rotation(seed), l_max)
        first, second, weight = operands(4, l_max, n_channels, n_second, seed)
        turned = [(rotation @ x.double()).float() for x in (first, second)]
        out = rotation @ multiply(form, first, second, weight)
        difference += float((multiply(form, *turned, weight) - out).square().sum())
        size += float(out.square().sum())
    return (difference / size) ** 0.5


def seconds(form: Form, inputs: tuple[Tensor, ...], n_times: int = 3) -> float:
    """Median CPU time of an evaluation."""
    times = []
    for _ in range(n_times):
        begin = time.process_time()
        form.run(*inputs)
        times.append(time.process_time() - begin)
    return statistics.median(times)


def best_rows(form: Form, l_max: int, n_channels: int, n_second: int) -> int:
    """Number of rows with the shortest time per row among those whose evaluation takes 1 to 100 ms."""
    found = {}
    for n_rows in ROWS:
        inputs = form.arguments(*operands(n_rows, l_max, n_channels, n_second))
        seconds(form, inputs)  # TorchScript compiles in its first calls
        spent = seconds(form, inputs)
        if spent > LONGEST and found:
            break
        if spent >= SHORTEST or n_rows == ROWS[-1]:
            found[n_rows] = spent / n_rows
        if spent > LONGEST:
            break
    return min(found, key=lambda n_rows: found[n_rows])


def measure(
    make: Callable[[int, int], list[Form]], l_max: int, n_channels: int, n_second: int, repeats: int
) -> dict[str, Measured]:
    """All forms of one kind at one l_max."""
    result, inputs, forms = {}, {}, make(l_max, n_channels)
    times: dict[str, list[float]] = {form.name: [] for form in forms}
    for form in forms:
        check(form, l_max, n_channels, n_second)
        n_rows = best_rows(form, l_max, n_channels, n_second)
        inputs[form.name] = form.arguments(*operands(n_rows, l_max, n_channels, n_second))
        with Multiplications() as count:
            form.run(*inputs[form.name])
        random_factors = form.name.startswith("CP") and l_max > FITTED
        error = None if random_factors else equivariance_error(form, l_max, n_channels, n_second)
        result[form.name] = Measured(n_rows, 0.0, (count.matrix + count.elementwise) / n_rows, error)
    for _ in range(repeats):
        for form in forms:
            times[form.name].append(seconds(form, inputs[form.name]))
    for name, found in result.items():
        found.seconds = statistics.median(times[name]) / found.n_rows
        print(f"l_max {l_max}, {n_second} channels, {name}: {found}", file=sys.stderr, flush=True)
    return result


def main() -> None:
    """Check, measure in alternation, print tables and what follows from them."""
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--channels", type=int, default=64)
    arguments.add_argument("--l-max", type=int, default=6, help="highest degree")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    keep_freed_pages()  # page faults of large temporaries would decide otherwise
    n_channels, degrees = options.channels, range(1, options.l_max + 1)
    one = {l_max: measure(one_channel, l_max, n_channels, 1, options.repeats) for l_max in degrees}
    many = {l_max: measure(many_channels, l_max, n_channels, n_channels, options.repeats) for l_max in degrees}
    lines = [
        "# Tensor products alone",
        "",
        f"{machine()}, 1 thread. Made by `benchmarks/cpu/tensor_products.py`, medians of {options.repeats}.",
        f"{n_channels} channels, float32, all SO(3) paths, forward only. CP rank 7 l_max^2; above l_max {FITTED} with",
        "random factors, since none are known. Multiplications as torch executes them.",
        "",
        "## One channel in the second operand (spherical harmonics)",
        "",
        *table(one),
        "",
        "## Many channels in both operands",
        "",
        *table(many),
        "",
        "## What follows",
        "",
        *conclusions(one, many),
    ]
    publish(lines, options.output, draw(one, many))


if __name__ == "__main__":
    main()

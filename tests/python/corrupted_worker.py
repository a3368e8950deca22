"""Corrupts an archive many times and opens what comes out by both doors; a crash ends this process.

    corrupted_worker.py ARCHIVE N_ARCHIVES SEED FOLDER

Prints one JSON line: how many were refused, how many gave the same numbers, and what went wrong.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

import tdn
from tdn import _core
from tdn.deployment import DeployedModel, read_label
from tdn.deployment.verify import random_graph
from tdn.errors import TDNError

#: Every so many archives that open, the script engine runs too, which takes long to load.
SCRIPTED = 8


def corrupted(contents: bytes, rng: np.random.Generator) -> bytes:
    """The archive with one kind of damage somewhere."""
    data = bytearray(contents)
    at, size = int(rng.integers(len(data))), int(2 ** rng.uniform(0, 13))
    kind = rng.choice(["flip", "zero", "noise", "insert", "remove", "cut", "swap"])
    if kind == "flip":
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == "zero":
        data[at : at + size] = bytes(len(data[at : at + size]))
    elif kind == "noise":
        data[at : at + size] = rng.bytes(len(data[at : at + size]))
    elif kind == "insert":
        data[at:at] = rng.bytes(size)
    elif kind == "remove":
        del data[at : at + size]
    elif kind == "cut":
        del data[at:]
    else:
        other = int(rng.integers(len(data) - size))
        start = min(at, len(data) - size)
        data[start : start + size], data[other : other + size] = (
            data[other : other + size],
            data[start : start + size],
        )
    return bytes(data)


def flaw(sentence: str) -> str | None:
    """What is wrong with a sentence, if anything."""
    if not sentence.isascii() or not sentence.isprintable():
        return f"raw text: {sentence!a}"
    return f"long: {sentence}" if len(sentence) > 500 else None


class Doors:
    """Opens archives and compares their results with those of the whole one."""

    def __init__(self, archive: Path, folder: Path) -> None:
        whole = DeployedModel(archive)
        self.graph = random_graph(whole, 8, seed=0).to(dtype=whole.dtype)
        self.file = folder / "corrupted.tdn.pt"
        self.expected = {engine: self.results(archive, engine) for engine in ("fused", "script")}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def results(self, path: Path, engine: str) -> list[torch.Tensor]:
        model = DeployedModel(path, engine=engine)
        found = model(self.graph, forces="both", stress=True)
        return [t for t in (found.atom_energies, found.gradient_forces, found.direct_forces) if t is not None]

    def attempt(self, name: str, opened: Any, number: int) -> bool:
        """Whether ``opened`` returns; notes what is not one clean sentence."""
        try:
            opened()
        except TDNError as refusal:
            self.counts[f"{name} refused"] += 1
            if problem := flaw(str(refusal)):
                self.wrong.append(f"{number} {name}: {problem}")
            return False
        except BaseException as problem:
            self.wrong.append(f"{number} {name}: {type(problem).__name__} {problem!a}")
            return False
        self.counts[f"{name} opened"] += 1
        return True

    def same(self, engine: str, number: int) -> None:
        def compare() -> None:
            found = self.results(self.file, engine)
            if not all(torch.equal(a, b) for a, b in zip(found, self.expected[engine], strict=True)):
                raise AssertionError("other numbers")

        self.attempt(engine, compare, number)

    def try_all(self, contents: bytes, number: int) -> None:
        self.file.write_bytes(contents)
        in_cpp = self.attempt("core", lambda: _core.Evaluator(str(self.file), engine="fused"), number)
        in_python = self.attempt("label", lambda: read_label(self.file), number)
        if not (in_cpp and in_python):
            self.attempt("load", lambda: tdn.load(self.file), number)
            return
        self.same("fused", number)
        if self.counts["fused opened"] % SCRIPTED == 1:
            self.same("script", number)


def main(archive: str, n_archives: str, seed: str, folder: str) -> None:
    torch.set_num_threads(1)
    rng, contents = np.random.default_rng(int(seed)), Path(archive).read_bytes()
    doors = Doors(Path(archive), Path(folder))
    for number in range(int(n_archives)):
        doors.try_all(corrupted(contents, rng), number)
    print(json.dumps({"counts": doors.counts, "wrong": doors.wrong[:20]}))


if __name__ == "__main__":
    main(*sys.argv[1:])

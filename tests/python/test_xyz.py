"""Extended XYZ: what is read, and the sentence for whatever cannot be."""

from __future__ import annotations

import random
import re
import string

import ase.io
import numpy as np
import pytest
from molecules import assert_same, crystal, molecule

from tdn.cli import main
from tdn.data.formats.ase_source import FramesSource
from tdn.data.formats.xyz_source import XyzSource
from tdn.data.source import open_source
from tdn.errors import TDNError

HEADER = (
    'Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5 '
    'stress="1 2 3 2 4 5 3 5 6" pbc="T T T"'
)
ATOMS = ("Si 0.5 0.25 0 1 2 3", "O 2 2 2 -1 -2 -3")
FRAME = "\n".join(("2", HEADER, *ATOMS, ""))


def opened(tmp_path, text):
    """Source of a file with this text."""
    path = tmp_path / "a.xyz"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_source(path)


def complaint(tmp_path, text):
    """What reading everything of a file says."""
    with pytest.raises(TDNError) as caught:
        list(opened(tmp_path, text))
    return str(caught.value)


class TestRead:
    def test_everything(self, tmp_path):
        (structure,) = opened(tmp_path, FRAME)
        assert structure.numbers.tolist() == [14, 8]
        assert structure.positions.tolist() == [[0.5, 0.25, 0.0], [2.0, 2.0, 2.0]]
        assert structure.cell.tolist() == (4 * np.eye(3)).tolist()
        assert structure.pbc.all()
        assert structure.energy == -1.5
        assert structure.forces.tolist() == [[1, 2, 3], [-1, -2, -3]]
        assert structure.stress.tolist() == [[1, 2, 3], [2, 4, 5], [3, 5, 6]]

    def test_rows_of_the_lattice_are_cell_vectors(self, tmp_path):
        (structure,) = opened(tmp_path, FRAME.replace("4 0 0 0 4 0 0 0 4", "1 2 3 0 5 6 0 0 9"))
        assert structure.cell.tolist() == [[1, 2, 3], [0, 5, 6], [0, 0, 9]]

    @pytest.mark.parametrize("ending", ["\n", "\r\n"])
    @pytest.mark.parametrize("blank", ["", "\n", "  \n\t\n"])
    def test_blank_lines_between_frames(self, tmp_path, blank, ending):
        text = blank + FRAME + blank + FRAME + blank + FRAME.rstrip("\n")
        source = opened(tmp_path, text.replace("\n", ending))
        assert [structure.energy for structure in source] == 3 * [-1.5]

    def test_comment_line_may_be_blank(self, tmp_path):
        source = opened(tmp_path, 2 * "1\n\nCu 0 0 0\n\n")
        assert [structure.numbers.tolist() for structure in source] == 2 * [[29]]

    @pytest.mark.parametrize(
        "entries",
        [
            "energy=-1.5",
            "energy = -1.5",
            'energy="-1.5"',
            "energy={-1.5}",
            'note="energy=7" energy=-1.5',
            "it's energy=-1.5",
            r'note="say \"energy=3\"" energy=-1.5',
            'energy=-1.5 open="',
            'energy="_JSON -1.5"',
            "energy=-1.5 energy=-1.5",
        ],
    )
    def test_ways_to_write_an_entry(self, tmp_path, entries):
        (structure,) = opened(tmp_path, f"1\n{entries}\nCu 0 0 0\n")
        assert structure.energy == -1.5

    @pytest.mark.parametrize(
        ("properties", "row"),
        [
            ("Z:I:1:pos:R:3", "29 1 2 3"),
            ("pos:R:3:species:S:1", "1 2 3 CU"),
            ("symbols:S:1:tags:I:1:positions:R:3", "cu 4 1 2 3"),
            ("species:S:1:Z:I:1:pos:R:3", "dummy 29 1 2 3"),
        ],
    )
    def test_columns(self, tmp_path, properties, row):
        (structure,) = opened(tmp_path, f"1\nProperties={properties}\n{row}\n")
        assert structure.numbers.tolist() == [29]
        assert structure.positions.tolist() == [[1, 2, 3]]
        assert (structure.tags is None) == ("tags" not in properties)

    @pytest.mark.parametrize(("mask", "fixed"), [("L:1", ["F", "T", "0"]), ("L:3", ["F F F", "F T F", "F F F"])])
    def test_fixed_atoms(self, tmp_path, mask, fixed):
        rows = "\n".join(f"Cu {x} 0 0 {words}" for x, words in enumerate(fixed))
        (structure,) = opened(tmp_path, f"3\nProperties=species:S:1:pos:R:3:move_mask:{mask}\n{rows}\n")
        assert structure.fixed.tolist() == [True, False, True]

    def test_periods(self, tmp_path):
        source = opened(tmp_path, FRAME.replace(' pbc="T T T"', "") + FRAME.replace("T T T", "T F T"))
        assert [structure.pbc.tolist() for structure in source] == [[True] * 3, [True, False, True]]
        assert source[1].stress is None

    def test_written_by_ase(self, tmp_path):
        structures = [molecule(0), crystal(1), molecule(2, (6,))]
        ase.io.write(tmp_path / "a.xyz", [one.to_atoms() for one in structures], format="extxyz")
        for one, other in zip(structures, open_source(tmp_path / "a.xyz"), strict=True):
            assert_same(one, other, atol=2e-8)

    @pytest.mark.parametrize("name", ["silicon/Si_test.xyz", "mixed/mptrj_10.xyz", "acac/acac_isolated_atoms.xyz"])
    def test_as_ase_reads_it(self, shared_data, name):
        path = shared_data / name
        lazy, whole = XyzSource(path), FramesSource(path)
        assert len(lazy) == len(whole)
        for one, other in zip(whole, lazy, strict=True):
            assert_same(one, other)


#: What is replaced in the second of three frames, by what, the line (of the file) and the beginning of the sentence.
GARBAGE = [
    ("energy=-1.5", 'energy="3.2 eV"', 6, "energy is '3.2 eV', which is not a number; write numbers without a unit"),
    ("energy=-1.5", "energy=****", 6, r"energy is '\*\*\*\*', which is not a number"),
    ("energy=-1.5", "energy=-1.5D+01", 6, r"energy is '-1.5D\+01', which is not a number"),
    ("energy=-1.5", "energy=1_5", 6, "energy is '1_5', which is not a number"),
    ("energy=-1.5", "energy", 6, "energy is 'T', which is not a number"),
    ("energy=-1.5", "energy=", 6, "energy is 'stress=.*', which is not a number"),
    ("energy=-1.5", "energy=nan", 6, "its energy hold a value that is not a finite number"),
    ("energy=-1.5", "energy=-inf", 6, "its energy hold a value that is not a finite number"),
    ("energy=-1.5", 'energy="1 2"', 6, r"energy is \[1.0, 2.0\], 2 values where one is expected"),
    ("energy=-1.5", 'energy="_JSON {}"', 6, "energy is {}, which is not a number"),
    ("energy=-1.5", 'energy="_JSON [[1],2]"', 6, r"energy is \[\[1\], 2\], which is not a number"),
    (
        "energy=-1.5",
        'energy="_JSON ' + 5000 * "[" + '"',
        6,
        r"energy is '_JSON \[\[\[\[.*\.\.\.', which is not a number",
    ),
    ("energy=-1.5", "energy=-1.5 energy=2", 6, "energy is given twice, as '-1.5' and as '2'; keep one"),
    ("energy=-1.5", "energy=\x1b[31m", 6, r"energy is '\\x1b\[31m', which is not a number"),
    ("energy=-1.5", b"energy=\xff\xfe", 6, "energy is '\ufffd\ufffd', which is not a number"),
    ("0 4 0 0 0 4", "0 4 0 0 0", 6, "Lattice is '4 0 0 0 4 0 0 0', not 9 numbers; give three vectors"),
    ("0 4 0 0 0 4", "0 4 0 0 0 x", 6, "Lattice is '4 0 0 0 4 0 0 0 x', not 9 numbers"),
    ("0 4 0 0 0 4", "0 4 0 0 0 nan", 6, "Lattice is '4 0 0 0 4 0 0 0 nan', which is not finite"),
    ("0 4 0 0 0 4", "0 4 0 0 0 0", 6, "it is periodic in 3 directions but its cell .* is not"),
    ("0 4 0 0 0 4", "0 4 0 0 0 1e300", 6, r"it has a coordinate of 1e\+300 angstrom, beyond 1e\+07"),
    ('0 0 0 4" P', "0 0 0 4 P", 6, "Lattice is "),
    ("Lattice=", "lattice=", 6, "'lattice' is not read; write it as Lattice"),
    ("pbc=", "PBC=", 6, "'PBC' is not read; write it as pbc"),
    ('"T T T"', '"T T"', 6, "pbc is 'T T'; write three of T and F"),
    ('"T T T"', '"yes no no"', 6, "pbc is 'yes no no'; write three of T and F"),
    ("1 2 3 2 4 5 3 5 6", "1 2 3 4 5 6", 6, r"stress is '1 2 3 4 5 6', 6 values; write all 9 components"),
    ("1 2 3 2 4 5 3 5 6", "1 2 3", 6, r"stress is \[1.0, 2.0, 3.0\], 3 values where 9"),
    ("1 2 3 2 4 5 3 5 6", "1 2 3 2 4 5 3 5 GPa", 6, "stress is '1 2 3 2 4 5 3 5 GPa', which is not a number"),
    ("1 2 3 2 4 5 3 5 6", "1 2 3 2 4 5 3 5 nan", 6, "its stress hold a value that is not a finite number"),
    ("species:S:1", "species:S", 6, "Properties "),
    ("species:S:1", "species:X:1", 6, "Properties has 'species:X:1'; write name:type:count"),
    ("species:S:1", "species:S:0", 6, "Properties has 'species:S:0'; write name:type:count"),
    ("species:S:1", "species:S:-1", 6, "Properties has 'species:S:-1'; write name:type:count"),
    ("species:S:1", "species:S:99999999999", 6, "Properties has 'species:S:99999999999'; write"),
    ("species:S:1", "element:S:1", 6, r"Properties is '.*'; it must have species:S:1 \(or Z:I:1\) and pos:R:3"),
    ("pos:R:3", "position:R:3", 6, "Properties is '.*'; it must have species"),
    ("pos:R:3:forces:R:3", "pos:R:3:pos:R:3", 6, "Properties names 'pos' twice; keep one"),
    ("forces:R:3", "forces:R:2:x:R:1", 6, "Properties has forces:R:2; forces are R:3"),
    ("forces:R:3", "forces:R:4", 7, "'Si 0.5 0.25 0 1 2 3' has 7 columns but Properties name 8; correct the line"),
    ("forces:R:3", "forces:S:3", 6, "Properties has forces:S:3; forces are R:3"),
    (":forces:R:3", "", 7, "'Si 0.5 0.25 0 1 2 3' has 7 columns but Properties name 4"),
    ("O 2 2 2", "O 2 2", 8, "'O 2 2 -1 -2 -3' has 6 columns but Properties name 7"),
    ("O 2 2 2 -1 -2 -3", "", 8, "'' has 0 columns but Properties name 7"),
    ("O 2 2 2", "O1 2 2 2", 8, "'O1' is not an element; write chemical symbols such as C or Si"),
    ("O 2 2 2", "O_h 2 2 2", 8, "'O_h' is not an element"),
    ("O 2 2 2", "8 2 2 2", 8, "'8' is not an element"),
    ("O 2 2 2", "\x1b[2J 2 2 2", 8, r"'\\x1b\[2J' is not an element"),
    ("O 2 2 2", "X 2 2 2", 8, "'X' is not an element"),
    ("O 2 2 2", "O 2 ******** 2", 8, r"pos has '\*\*\*\*\*\*\*\*', which is not a number; Fortran writes stars"),
    ("O 2 2 2", "O 2 1.0D+03 2", 8, r"pos has '1.0D\+03', which is not a number; Fortran's exponents D are not read"),
    ("O 2 2 2", "O 2 1_0 2", 8, "pos has '1_0', which is not a number; correct it"),
    ("O 2 2 2", "O 2 nan 2", 8, "pos has 'nan', which is not a finite number"),
    ("O 2 2 2", "O 2 2,5 2", 8, "pos has '2,5', which is not a number"),
    ("O 2 2 2", "O 2 1e300 2", 6, r"it has a coordinate of 1e\+300 angstrom"),
    ("-1 -2 -3", "-1 -inf -3", 8, "forces has '-inf', which is not a finite number"),
    ("-1 -2 -3", "-1 T -3", 8, "forces has 'T', which is not a number"),
    ("-1 -2 -3", "-1 0x1A -3", 8, "forces has '0x1A', which is not a number"),
]


@pytest.mark.parametrize(("old", "new", "line", "message"), GARBAGE)
def test_garbage_in_a_field(tmp_path, old, new, line, message):
    """The sentence has the frame, the line and the text, in one printable line."""
    broken = FRAME.encode().replace(old.encode(), new if isinstance(new, bytes) else new.encode(), 1)
    assert broken != FRAME.encode()
    found = complaint(tmp_path, b"\n1\n\nH 0 0 0\n" + broken + FRAME.encode())
    assert re.match(rf"structure 1 of a\.xyz, line {line}: {message}", found), found
    assert found.isprintable()
    assert len(found) < 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "data file '.*a.xyz' holds no structures; give a file with at least one"),
        ("\n \n", "data file '.*a.xyz' holds no structures"),
        (
            "no number here\n",
            "structure 0 of a.xyz, line 1: 'no number here' is where the number of atoms should be",
        ),
        ("-1\n\n", "structure 0 of a.xyz, line 1: '-1' is where the number of atoms"),
        ("2.0\n\n", "structure 0 of a.xyz, line 1: '2.0' is where the number of atoms"),
        ("1_0\n\n", "structure 0 of a.xyz, line 1: '1_0' is where the number of atoms"),
        (b"\xef\xbb\xbf1\n\nCu 0 0 0\n", r"structure 0 of a.xyz, line 1: '\\ufeff1' is where"),
        (b"\x00\x01\x02", r"structure 0 of a.xyz, line 1: '\\x00\\x01\\x02' is where"),
        ("0\n\n", "structure 0 of a.xyz, line 2: it has no atoms; repair or remove the structure"),
        (
            "2\ncomment\nCu 0 0 0\n",
            "structure 0 of a.xyz, line 1: the file ends after 1 of 2 atoms; complete or remove",
        ),
        ("2\n", "structure 0 of a.xyz, line 1: the file ends after 0 of 2 atoms"),
        (
            "999999999999999999\n\nCu 0 0 0\n",
            "structure 0 of a.xyz, line 1: the file ends after 1 of 999999999999999999",
        ),
        (
            f"\n{FRAME}{FRAME.replace('2', '1', 1)}",
            "structure 2 of a.xyz, line 9: 'O 2 2 2 -1 -2 -3' is where the number of atoms should be; correct "
            "this line, or the number of atoms in line 6, '1'",
        ),
        (
            "1\n\nCu 0 0 0\nVEC1 1 0\n",
            "structure 0 of a.xyz, line 4: 'VEC1 1 0' is not a cell vector; write VEC1 x y z",
        ),
        ("1\n\nCu 0 0 0\nVEC4 1 0 0\n", "structure 0 of a.xyz, line 4: 'VEC4 1 0 0' is not a cell vector"),
        (
            "1\n\nCu 0 0\n",
            "structure 0 of a.xyz, line 3: 'Cu 0 0' has 3 columns but an atom without Properties needs 4",
        ),
        (
            "1\nProperties=Z:I:1:pos:R:3\n1.5 0 0 0\n",
            "structure 0 of a.xyz, line 3: Z has '1.5', which is not a whole number",
        ),
        (
            "1\nProperties=Z:I:1:pos:R:3\n1e30 0 0 0\n",
            "structure 0 of a.xyz, line 3: Z has '1e30', which is not a whole",
        ),
        ("1\nProperties=Z:I:1:pos:R:3\n119 0 0 0\n", "structure 0 of a.xyz, line 3: '119' is not an element"),
        (
            "2\nProperties=species:S:1:pos:R:3:Z:I:1\nCu 0 0 0 29\ncu 0 0 2 30\n",
            "structure 0 of a.xyz, line 4: species is 'cu' but Z is '30'; correct one of them",
        ),
        (
            "1\nProperties=species:S:1:pos:R:3:move_mask:L:1\nH 0 0 0 maybe\n",
            "structure 0 of a.xyz, line 3: move_mask has 'maybe'",
        ),
        ("1\npbc=T\nH 0 0 0\n", "structure 0 of a.xyz, line 2: it is periodic in 3 directions but its cell"),
    ],
)
def test_broken_files(tmp_path, text, message):
    found = complaint(tmp_path, text)
    assert re.match(message, found), found
    assert found.isprintable()


def test_file_that_changes(tmp_path):
    source = opened(tmp_path, FRAME)
    (tmp_path / "a.xyz").write_text("x" * 300)
    with pytest.raises(TDNError, match=r"^structure 0 of a.xyz: '.*' has changed since it was opened; start again"):
        source[0]


@pytest.mark.parametrize("seed", range(4))
def test_any_change_of_the_text_is_read_or_told_in_a_sentence(tmp_path, seed):
    generator = random.Random(seed)
    valid = (FRAME + "\n" + "1\nenergy=1\nCu 0 0 0\nVEC1 3 0 0\n" + FRAME).encode()
    words = [
        b"nan",
        b"1e999",
        b"-",
        b"=",
        b'"',
        b"\n",
        b"\r",
        b"\t",
        b"\x00",
        b"\xff",
        b"{",
        b"}",
        b"_",
        b"9" * 25,
        b"\xe2\x80\xae",
    ]
    letters = [bytes([code]) for code in string.printable.encode()]
    for _ in range(150):
        text = bytearray(valid)
        for _ in range(generator.randint(1, 3)):
            start = generator.randrange(len(text))
            end = min(len(text), start + generator.choice((0, 1, 1, 2, 8, 60)))
            text[start:end] = generator.choice(
                (b"", generator.choice(letters), generator.choice(words), bytes(text[:start][-20:]))
            )
        try:
            structures = list(opened(tmp_path, bytes(text)))
        except TDNError as problem:
            assert str(problem).isprintable()
            assert len(str(problem)) < 500
        else:
            assert all(structure.problem() is None for structure in structures)


class TestCommands:
    def test_shared_faults(self, shared_data, capsys):
        """The little files that showed these faults."""
        faults = shared_data.parent / "faults"
        if not faults.is_dir():
            pytest.skip("the little faulty files are not beside this checkout (../shared/faults)")
        for name in ("blank_between", "blank_lead"):
            assert main(["data", str(faults / "blank_line" / f"{name}.xyz")]) == 0
            assert "structures  12" in capsys.readouterr().out
        for name, message in {
            "traceback_energy/energy_unit": "structure 0 of energy_unit.xyz, line 2: energy is '-42.4585618739 eV'",
            "frame_number/stars": "which is not a number; Fortran writes stars",
            "frame_number/fortran": "which is not a number; Fortran's exponents D are not read",
            "frame_number/label_species": "structure 0 of label_species.xyz, line 3: 'Si1' is not an element",
        }.items():
            assert main(["data", str(faults / f"{name}.xyz")]) == 1
            error = capsys.readouterr().err
            assert message in error
            assert "of " + name.split("/")[1] + ".xyz, line" in error

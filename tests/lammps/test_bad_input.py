"""Input that cannot be used ends LAMMPS with one sentence and a non-zero exit."""

from pathlib import Path

import pytest
import torch
from lammps_runner import run, setup
from make_archives import make_archive
from water_molecule import ATOMS, MODEL, fill

from tdn import schema
from tdn.checkpoints import save_model
from tdn.config.model import ModelConfig
from tdn.deployment.write import save_records
from tdn.model.tdn import TDN


@pytest.fixture
def folder(tmp_path: Path, archives) -> Path:
    return fill(tmp_path, archives)


def fails(
    folder: Path,
    sentence: str,
    coeff: str = f"* * {MODEL} H O",
    keywords: str = "device cpu",
    before: str = "",
    after: str = "",
    units: str = "metal",
    n_ranks: int = 2,
) -> None:
    text = f"{setup(ATOMS, units, before)}pair_style tdn {keywords}\npair_coeff {coeff}\n{after}\nrun 0\n"
    done = run(text, n_ranks, folder)
    assert done.returncode != 0
    assert done.error == f"ERROR: Pair style tdn: {sentence}", done.output
    assert done.output.count("Pair style tdn: " + sentence) == 1


def test_missing_file(folder: Path):
    sentence = "model file 'none.tdn.pt' cannot be read or is empty: check its name and permissions"
    fails(folder, sentence, "* * none.tdn.pt H O")


def test_not_an_archive(folder: Path):
    (folder / "text.tdn.pt").write_text("hello")
    sentence = "is not a model archive: write one with `tdn deploy` or `tdn import-airs`"
    fails(folder, f"model file 'text.tdn.pt' {sentence}", "* * text.tdn.pt H O")


def test_truncated_archive(folder: Path):
    (folder / "cut.tdn.pt").write_bytes((folder / MODEL).read_bytes()[:5000])
    cause = "the end of the directory is not where it should be; it has 5000 bytes"
    sentence = f"is truncated or damaged ({cause}): copy it again or deploy the model again"
    fails(folder, f"model file 'cut.tdn.pt' {sentence}", "* * cut.tdn.pt H O")


def test_torchscript_without_label(folder: Path):
    with pytest.warns(DeprecationWarning):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(folder / "plain.pt"))
    sentence = (
        "model file 'plain.pt' has no TDN label (metadata.json), it is another program's model: write an archive with "
        "`tdn deploy` or `tdn import-airs`"
    )
    fails(folder, sentence, "* * plain.pt H O")
    torch.save({"state_dict": {"weight": torch.ones(3)}}, folder / "weights.pt")
    fails(folder, sentence.replace("plain", "weights"), "* * weights.pt H O")


@pytest.mark.parametrize(("name", "stem"), [("runs/v1.2/best.ckpt", "runs/v1.2/best"), ("runs/v1.2/best", None)])
def test_checkpoint(folder: Path, name: str, stem: str | None):
    path = folder / name
    path.parent.mkdir(parents=True)
    save_model(TDN(ModelConfig(elements=("H", "O"), n_channels=4, n_layers=1)), path, {})
    sentence = (
        f"model file '{name}' is a training checkpoint: run `tdn deploy {name} -o {stem or name}.tdn.pt` and name "
        "that archive instead"
    )
    fails(folder, sentence, f"* * {name} H O")


LABELS = {
    "newer_format": (
        {"format_version": 3},
        "has archive format 3 but this version reads up to 2: update the package tdn or deploy the model again with "
        "this version",
    ),
    "missing_field": (
        {"cutoff": None},
        "has a label without the field 'cutoff': write the file again with `tdn deploy`",
    ),
    "unknown_dtype": (
        {"dtype": "float16"},
        "has the dtype 'float16', which this version cannot read (it knows float32 float64): write the file again "
        "with `tdn deploy`",
    ),
    "unknown_unit": (
        {"length_unit": "bohr"},
        "has the length_unit 'bohr', which this version cannot read (it knows angstrom): write the file again with "
        "`tdn deploy`",
    ),
    "widths_do_not_fit": (
        {"layer_widths": [70]},
        "has a label with an unusable 'layer_widths', one width for each of the n_layers is needed: write the file "
        "again with `tdn deploy`",
    ),
}


@pytest.mark.parametrize("case", LABELS)
def test_label(folder: Path, case: str):
    changes, sentence = LABELS[case]
    path = make_archive("message", "float64", folder, changes)
    path.rename(folder / "odd.tdn.pt")
    fails(folder, f"model file 'odd.tdn.pt' {sentence}", "* * odd.tdn.pt H O")


def test_label_with_a_hexadecimal_number(folder: Path):
    """No number of JSON; nor does the locale of the process decide what is one."""
    files = {schema.METADATA_RECORD: ""}
    module = torch.jit.load(str(folder / MODEL), _extra_files=files)
    text = files[schema.METADATA_RECORD].decode().replace('"cutoff": 3.0', '"cutoff": 0x3')
    save_records(module, {schema.METADATA_RECORD: text.encode()}, folder / "hex.tdn.pt")
    sentence = (
        f"has a label that is not valid JSON at byte {text.index('0x3') + 1} (unexpected character): write the file "
        "again with `tdn deploy`"
    )
    fails(folder, f"model file 'hex.tdn.pt' {sentence}", "* * hex.tdn.pt H O")


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_label_with_a_number_that_is_none(folder: Path, value: str):
    path = make_archive("message", "float64", folder, {"min_distance": float(value)})
    path.rename(folder / "odd.tdn.pt")
    done = run(f"{setup(ATOMS)}pair_style tdn\npair_coeff * * odd.tdn.pt H O\n", 1, folder)
    assert "has a label that is not valid JSON at byte" in done.error
    assert "(expected a value): write the file again with `tdn deploy`" in done.error


def test_missing_elements(folder: Path):
    sentence = (
        "pair_coeff lacks the model file or its elements: write pair_coeff * * file.tdn.pt element ... with one "
        "element per atom type"
    )
    fails(folder, sentence, f"* * {MODEL}")


def test_null_without_hybrid(folder: Path):
    sentence = (
        "pair_coeff leaves atom types without an element by NULL but there is no other pair style: name one element "
        "of H O per type or use pair_style hybrid"
    )
    fails(folder, sentence, f"* * {MODEL} NULL O")


def test_null_for_every_type(folder: Path):
    text = f"{setup(ATOMS)}pair_style hybrid tdn device cpu zero 3\npair_coeff * * tdn {MODEL} NULL NULL\n"
    done = run(text, 2, folder)
    sentence = "pair_coeff names NULL for every atom type: name an element of H O for at least one"
    assert done.error == f"ERROR: Pair style tdn: {sentence}", done.output


def test_element_not_in_the_model(folder: Path):
    sentence = "was trained for H O but pair_coeff asks for element Si: use a model that knows it"
    fails(folder, f"model file '{MODEL}' {sentence}", f"* * {MODEL} H Si")


def test_wrong_number_of_elements(folder: Path):
    sentence = (
        "pair_coeff names 1 elements but the simulation has 2 atom types: name one element of H O (or NULL) per type"
    )
    fails(folder, sentence, f"* * {MODEL} H")


def test_newton_off(folder: Path):
    sentence = (
        "newton pair is off but forces on ghost atoms must be sent back: write newton on before the box is created"
    )
    fails(folder, sentence, before="newton off")


def test_lj_units(folder: Path):
    sentence = (
        "units lj have no length and energy in angstrom and eV: use units metal, real, si, electron, micro, nano or cgs"
    )
    fails(folder, sentence, units="lj")


def test_cutoff_larger_than_the_ghost_shell(folder: Path):
    sentence = "comm_modify cutoff 2 is below the model's cutoff 3: write comm_modify cutoff 5 or leave it out"
    fails(folder, sentence, after="comm_modify cutoff 2.0")


def test_skin_that_LAMMPS_chooses_in_large_units(folder: Path):
    """A millimeter in units si: every atom would be a neighbor of all, many times over."""
    sentence = (
        "the neighbor skin 0.001 is more than ten times the model's cutoff 3e-10, so every atom would be a neighbor of "
        "all: write neighbor 2e-10 bin"
    )
    fails(folder, sentence, units="si", before="comm_modify cutoff 1e-9")


def test_unknown_keyword(folder: Path):
    sentence = (
        "unknown keyword 'devise' of pair_style tdn: use device precision forces memory wire net_force ensemble engine"
    )
    fails(folder, sentence, keywords="devise cpu")


def test_unknown_value(folder: Path):
    fails(folder, "keyword precision has the value 'half': use model float32 float64", keywords="precision half")


def test_missing_value(folder: Path):
    fails(folder, "keyword device has the value '': use auto cpu cuda", keywords="device")


def test_direct_forces_without_a_head(folder: Path):
    make_archive("pair", "float64", folder)
    sentence = "model file 'pair-float64.tdn.pt' has no direct forces: use forces gradient"
    fails(folder, sentence, "* * pair-float64.tdn.pt H O", "device cpu forces direct")

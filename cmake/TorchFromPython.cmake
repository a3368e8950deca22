# Defines the target tdn::torch from the torch package of the Python interpreter, or from -DTDN_TORCH_DIR=..., and sets
# TDN_WITH_TORCH. Without torch, which only the operators and the script engine need, TDN_BUILD_TORCH decides whether the
# build goes on.
# Libraries are linked by path: torch's own CMake package asks for the CUDA toolkit when torch is a CUDA build,
# which neither a user of a wheel nor a plugin without CUDA sources has. Sets TDN_TORCH_LIB_DIR, TDN_TORCH_VERSION.

set(TDN_WITH_TORCH OFF)
if(TDN_BUILD_TORCH STREQUAL "OFF")
  message(STATUS "torch: not asked for, so there are no torch operators and no script engine")
  return()
endif()

set(torch_dir ${TDN_TORCH_DIR})
if(NOT torch_dir AND Python_EXECUTABLE)
  execute_process(
    COMMAND ${Python_EXECUTABLE} -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    OUTPUT_VARIABLE torch_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
set(TDN_TORCH_LIB_DIR ${torch_dir}/lib)
if(NOT EXISTS ${TDN_TORCH_LIB_DIR}/libtorch_cpu.so)
  if(TDN_BUILD_TORCH STREQUAL "AUTO" AND NOT TDN_TORCH_DIR)
    message(STATUS "torch: none found, so there are no torch operators and no script engine")
    return()
  endif()
  message(FATAL_ERROR "'${torch_dir}' holds no lib/libtorch_cpu.so: pass -DTDN_TORCH_DIR=... with the folder of libtorch, "
                      "-DPython_EXECUTABLE=... of an interpreter that has torch, or -DTDN_BUILD_TORCH=OFF")
endif()
set(TDN_WITH_TORCH ON)
foreach(header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
  if(NOT TDN_TORCH_VERSION AND EXISTS ${torch_dir}/include/${header})
    file(STRINGS ${torch_dir}/include/${header} numbers REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
    string(REGEX MATCHALL "[0-9]+" numbers "${numbers}")
    list(JOIN numbers . TDN_TORCH_VERSION)
  endif()
endforeach()

# torch stores in its library, not in its headers, which ABI of std::string it was built with.
file(STRINGS ${TDN_TORCH_LIB_DIR}/libc10.so new_abi LIMIT_COUNT 1 REGEX "_ZNSt7__cxx1112basic_string")
if(new_abi)
  set(torch_abi 1)
else()
  set(torch_abi 0)
endif()

# Registration of devices happens in static constructors: a linker must not drop a library without referenced symbols.
set(CMAKE_CXX_LINK_LIBRARY_USING_tdn_always "LINKER:--push-state,--no-as-needed" "<LINK_ITEM>" "LINKER:--pop-state")
set(CMAKE_CXX_LINK_LIBRARY_USING_tdn_always_SUPPORTED TRUE)
set(always ${TDN_TORCH_LIB_DIR}/libtorch.so)
foreach(name torch_cuda c10_cuda)
  if(EXISTS ${TDN_TORCH_LIB_DIR}/lib${name}.so)
    list(APPEND always ${TDN_TORCH_LIB_DIR}/lib${name}.so)
  endif()
endforeach()

add_library(tdn::torch INTERFACE IMPORTED)
target_include_directories(tdn::torch INTERFACE ${torch_dir}/include ${torch_dir}/include/torch/csrc/api/include)
target_compile_definitions(tdn::torch INTERFACE _GLIBCXX_USE_CXX11_ABI=${torch_abi} TDN_TORCH_VERSION="${TDN_TORCH_VERSION}")
target_link_libraries(tdn::torch INTERFACE
  ${TDN_TORCH_LIB_DIR}/libtorch_cpu.so ${TDN_TORCH_LIB_DIR}/libc10.so "$<LINK_LIBRARY:tdn_always,${always}>")
message(STATUS "torch ${TDN_TORCH_VERSION}: ${torch_dir}")

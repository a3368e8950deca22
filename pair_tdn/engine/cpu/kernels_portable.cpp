// The kernels for any processor: vectors of 16 bytes, which all supported compilers have.

#define TDN_ISA portable
#define TDN_VECTOR_BYTES 16
#include "kernel_table.h"

namespace tdn::fused {

const Kernels<float> portable_float = tdn::portable::table<float>("portable");
const Kernels<double> portable_double = tdn::portable::table<double>("portable");

}    // namespace tdn::fused

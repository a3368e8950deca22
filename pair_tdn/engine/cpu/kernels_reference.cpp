// The kernels with one number at a time, in standard C++: for compilers without vectors.

#define TDN_ISA reference
#define TDN_VECTOR_BYTES 0
#include "kernel_table.h"

namespace tdn::fused {

const Kernels<float> reference_float = tdn::reference::table<float>("reference");
const Kernels<double> reference_double = tdn::reference::table<double>("reference");

}    // namespace tdn::fused

// The kernels for x86-64-v3 processors; compiled for these and called only there.

#define TDN_ISA avx2
#define TDN_VECTOR_BYTES 32
#include "kernel_table.h"

namespace tdn::fused {

const Kernels<float> avx2_float = tdn::avx2::table<float>("avx2");
const Kernels<double> avx2_double = tdn::avx2::table<double>("avx2");

}    // namespace tdn::fused

// The kernels for x86-64-v4 processors; compiled for these and called only there.

#define TDN_ISA avx512
#define TDN_VECTOR_BYTES 64
#include "kernel_table.h"

namespace tdn::fused {

const Kernels<float> avx512_float = tdn::avx512::table<float>("avx512");
const Kernels<double> avx512_double = tdn::avx512::table<double>("avx512");

}    // namespace tdn::fused

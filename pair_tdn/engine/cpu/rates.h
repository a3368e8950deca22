// Measures the rate of multiply-adds: in registers, and in the matrix products of a block.
#pragma once

#include "gemm.h"

namespace tdn::TDN_ISA {

/// Twice as many independent sums as the latency of a multiply-add needs.
template <typename T> double register_loop(int64_t n)
{
  constexpr int N = TDN_VECTOR_BYTES == 64 ? 24 : 12;
  Vec<T> sum[N];
  for (auto &s : sum) s = all(T(1));
  Vec<T> factor = all(T(0.999)), term = all(T(1e-3));
  for (int64_t k = 0; k < n; ++k) {
    TDN_UNROLL
    for (auto &s : sum) s = s * factor + term;
    asm volatile("" : "+x"(factor), "+x"(term));    // one round after the other
  }
  T total = 0;
  for (const auto &s : sum) total += sum_of<T>(s);
  volatile T seen = total;    // keeps the compiler from removing the loop
  (void) seen;
  return 2.0 * N * LANES<T> * static_cast<double>(n);
}

/// `scratch` holds 3 * 128 * 128 numbers.
template <typename T> double product_loop(int64_t n, T *scratch)
{
  constexpr int WIDTH = 128, ROWS = 48;
  T *a = scratch, *b = a + WIDTH * WIDTH, *c = b + WIDTH * WIDTH;
  for (int k = 0; k < 2 * WIDTH * WIDTH; ++k) a[k] = T(1) / T(1 + k % 7);
  for (int64_t k = 0; k < n; ++k) gemm<T>(a, WIDTH, b, WIDTH, WIDTH, c, WIDTH, ROWS);
  return 2.0 * ROWS * WIDTH * WIDTH * static_cast<double>(n);
}

}    // namespace tdn::TDN_ISA

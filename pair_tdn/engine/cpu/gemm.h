// Matrix products with weights that are packed once: C = A B (+ bias or C), A with m rows of k
// numbers. B is stored in panels of up to PANEL columns, each panel row by row, so that the
// inner loop reads it in order; A is read in place. A panel of 128 rows fits in the L1 cache.
#pragma once

#include "simd.h"

namespace tdn::TDN_ISA {

/// Vectors side by side in a panel, and rows of A processed at once: as many accumulators as fit
/// into registers beside one row of the panel.
#if TDN_VECTOR_BYTES == 64
inline constexpr int PANEL_VECTORS = 4;
template <int NV> inline constexpr int TILE_ROWS = NV == 4 ? 6 : NV == 3 ? 8 : 12;
#else
inline constexpr int PANEL_VECTORS = 2;
template <int NV> inline constexpr int TILE_ROWS = 6;
#endif

template <typename T, int MR, int NV>
TDN_INLINE void tile(const T *a, std::ptrdiff_t lda, const T *b, int k, T *c, std::ptrdiff_t ldc,
                     const T *bias, bool add)
{
  using V = Vec<T>;
  constexpr int L = LANES<T>;
  V sum[MR][NV];
  TDN_UNROLL
  for (int r = 0; r < MR; ++r) {
    TDN_UNROLL
    for (int v = 0; v < NV; ++v)
      sum[r][v] = add ? load(c + r * ldc + v * L) : bias ? load(bias + v * L) : V{};
  }
  for (int p = 0; p < k; ++p, b += NV * L) {
    V row[NV];
    TDN_UNROLL
    for (int v = 0; v < NV; ++v) row[v] = load(b + v * L);
    TDN_UNROLL
    for (int r = 0; r < MR; ++r) {
      const V left = all(a[r * lda + p]);
      TDN_UNROLL
      for (int v = 0; v < NV; ++v) sum[r][v] += left * row[v];
    }
  }
  TDN_UNROLL
  for (int r = 0; r < MR; ++r) {
    TDN_UNROLL
    for (int v = 0; v < NV; ++v) store(c + r * ldc + v * L, sum[r][v]);
  }
}

template <typename T, int NV>
void panel(const T *a, std::ptrdiff_t lda, const T *b, int k, T *c, std::ptrdiff_t ldc, int m,
           const T *bias, bool add)
{
  constexpr int MR = TILE_ROWS<NV>;
  int r = 0;
  for (; r + MR <= m; r += MR) tile<T, MR, NV>(a + r * lda, lda, b, k, c + r * ldc, ldc, bias, add);
  if constexpr (MR % 4 == 0)
    for (; r + 4 <= m; r += 4) tile<T, 4, NV>(a + r * lda, lda, b, k, c + r * ldc, ldc, bias, add);
  for (; r + 2 <= m; r += 2) tile<T, 2, NV>(a + r * lda, lda, b, k, c + r * ldc, ldc, bias, add);
  for (; r < m; ++r) tile<T, 1, NV>(a + r * lda, lda, b, k, c + r * ldc, ldc, bias, add);
}

/// `n` is a multiple of LANES; `bias` (n) is null for none, `add` adds to C instead.
template <typename T>
void gemm(const T *a, std::ptrdiff_t lda, const T *packed, int k, int n, T *c, std::ptrdiff_t ldc,
          int m, const T *bias = nullptr, bool add = false)
{
  constexpr int L = LANES<T>;
  const T *b = packed;
  for (int left = n / L, column = 0; left > 0;) {
    const int nv = left < PANEL_VECTORS ? left : PANEL_VECTORS;
    const T *start = bias ? bias + column : nullptr;
    switch (nv) {
#if TDN_VECTOR_BYTES == 64
      case 4:
        panel<T, 4>(a, lda, b, k, c + column, ldc, m, start, add);
        break;
      case 3:
        panel<T, 3>(a, lda, b, k, c + column, ldc, m, start, add);
        break;
#endif
      case 2:
        panel<T, 2>(a, lda, b, k, c + column, ldc, m, start, add);
        break;
      default:
        panel<T, 1>(a, lda, b, k, c + column, ldc, m, start, add);
    }
    b += static_cast<std::ptrdiff_t>(nv) * L * k;
    column += nv * L;
    left -= nv;
  }
}

/// Packs B (k rows of n columns), element (p, q) at from[p * row + q * column].
template <typename T>
void pack(const T *from, std::ptrdiff_t row, std::ptrdiff_t column, int k, int n, T *to)
{
  constexpr int L = LANES<T>;
  for (int begin = 0; begin < n; begin += PANEL_VECTORS * L) {
    const int end = begin + PANEL_VECTORS * L < n ? begin + PANEL_VECTORS * L : n;
    for (int p = 0; p < k; ++p)
      for (int q = begin; q < end; ++q) *to++ = from[p * row + q * column];
  }
}

}    // namespace tdn::TDN_ISA

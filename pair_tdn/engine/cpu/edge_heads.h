// Numbers of attention heads, and the channels that belong to them.
#pragma once

#include "edge_block.h"

namespace tdn::TDN_ISA {

template <typename T> class Heads {
 public:
  using V = Vec<T>;

  Heads(const fused::Model<T> &m, Scratch<T> &scratch)
      : n_heads(m.n_heads), stride(m.stride), width(m.n_channels / m.n_heads), mask(m.head_mask),
        head_of(reinterpret_cast<Integer *>(scratch.take(m.stride)))
  {
    for (int c = 0; c < stride; ++c) head_of[c] = c < m.n_channels ? c / width : LANES<T> - 1;
  }

  /// For the constructor, and for `take`.
  static size_t scratch_size(const fused::Model<T> &m)
  {
    return static_cast<size_t>(m.stride) + 16;
  }
  static size_t scratch_size(const fused::Model<T> &m, int rows)
  {
    return static_cast<size_t>(rows) * m.n_heads + LANES<T> + 16;
  }

  /// Space for rows of one number per head and one vector more: spread() reads past the last head,
  /// and the zeros of padding channels times the numbers there must stay zeros.
  T *take(Scratch<T> &scratch, int rows) const
  {
    const int n = rows * n_heads + LANES<T>;
    T *const begin = scratch.take(n);
    for (int k = 0; k < n; ++k) begin[k] = 0;
    return begin;
  }

  /// The head's number at channels v ..; whole vectors of `of_heads` can be read.
  TDN_INLINE V spread(const T *of_heads, int v) const
  {
    if (width % LANES<T> == 0) return all(of_heads[v / width]);
    if (n_heads <= LANES<T>) return permute<T>(load(of_heads), load_lanes<T>(head_of + v));
    V total{};
    for (int h = v / width; h < n_heads && h * width < v + LANES<T>; ++h)
      total += of_heads[h] * load(mask + h * stride + v);
    return total;
  }

  /// Sums over the channels of each head; values(v) is called once per vector, in order.
  template <typename Values> TDN_INLINE void sum(T *of_heads, Values values) const
  {
    constexpr int N = LANES<T>;
    if (width % N == 0) {
      for (int h = 0, v = 0; h < n_heads; ++h) {
        V total{};
        for (; v < (h + 1) * width; v += N) total += values(v);
        of_heads[h] = sum_of<T>(total);
      }
    } else if (N % width == 0 && (width & (width - 1)) == 0) {
      for (int v = 0, h = 0; v < stride; v += N) {
        const V grouped = sum_groups<T>(values(v), width);
        for (int lane = 0; lane < N && h < n_heads; lane += width)
          of_heads[h++] = lane_of<T>(grouped, lane);
      }
    } else {
      for (int h = 0; h < n_heads; ++h) of_heads[h] = 0;
      for (int v = 0; v < stride; v += N) {
        const V value = values(v);
        for (int h = v / width; h < n_heads && h * width < v + N; ++h)
          of_heads[h] += sum_of<T>(value * load(mask + h * stride + v));
      }
    }
  }

 private:
  using Integer = typename VectorOf<T>::Integer;
  const int n_heads, stride, width;
  const T *const mask;       // [n_heads][stride] 1 for channels of a head
  Integer *const head_of;    // [stride] head of a channel
};

}    // namespace tdn::TDN_ISA

// Products with the matrix K and the radial weights of an edge, and their adjoints, a vector of
// channels at once.
#pragma once

#include "edge_block.h"

namespace tdn::TDN_ISA {

template <typename T, int L, Form FORM> struct EdgeProduct {
  using V = Vec<T>;
  using Block = EdgeBlock<T, L, FORM>;
  using Entries = Coupling<L, FORM>;
  static constexpr bool SEPARATE = Entries::SEPARATE;
  static constexpr int D = Entries::D, W = Entries::N_WEIGHTS;    // radial weights per channel

  /// Row K of the product of an edge's matrix and x, times w if paths have separate weights.
  template <int K>
  TDN_INLINE static V row(const Block &block, int e, const V (&w)[W], const V (&x)[D])
  {
    V sum{};
    unrolled<0, Entries::N_PARTS>([&](auto index) TDN_FLATTEN {
      constexpr Part part = Entries::PARTS[index];
      if constexpr (part.product == degree_of(K)) {
        V of_part = SEPARATE ? V{} : sum;
        unrolled<part.first * part.first, (part.first + 1) * (part.first + 1)>(
            [&](auto j) TDN_FLATTEN {
              if constexpr (!Entries::is_zero(part, K, j))
                of_part += block.matrix[Entries::entry(part, K, j)][e] * x[j];
            });
        sum = SEPARATE ? sum + w[part.weight] * of_part : of_part;
      }
    });
    return sum;
  }

  /// Its adjoint: from g (OUT rows) to the gradients of x and of w; the latter are added to. With a
  /// single weight, the gradient of x lacks this factor.
  template <int OUT>
  TDN_INLINE static void vjp(const Block &block, int e, const V (&w)[W], const V (&x)[D],
                             const V (&g)[OUT], V (&by_x)[D], V (&by_w)[W])
  {
    TDN_UNROLL
    for (int j = 0; j < D; ++j) by_x[j] = V{};
    unrolled<0, Entries::N_PARTS>([&](auto index) TDN_FLATTEN {
      constexpr Part part = Entries::PARTS[index];
      if constexpr (part.product * part.product < OUT)
        unrolled<part.first * part.first, (part.first + 1) * (part.first + 1)>(
            [&](auto j) TDN_FLATTEN {
              V sum = SEPARATE ? V{} : by_x[j];
              unrolled<part.product * part.product, (part.product + 1) * (part.product + 1)>(
                  [&](auto k) TDN_FLATTEN {
                    if constexpr (!Entries::is_zero(part, k, j))
                      sum += block.matrix[Entries::entry(part, k, j)][e] * g[k];
                  });
              if constexpr (SEPARATE) by_w[part.weight] += sum * x[j];
              by_x[j] = SEPARATE ? by_x[j] + w[part.weight] * sum : sum;
            });
    });
    if constexpr (!SEPARATE) {
      TDN_UNROLL
      for (int j = 0; j < D; ++j) by_w[0] += by_x[j] * x[j];
    }
  }

  /// by_matrix += g_k w x_j for the entries that depend on the edge
  template <int OUT>
  TDN_INLINE static void add_by_matrix(const V (&w)[W], const V (&x)[D], const V (&g)[OUT],
                                       V (&by_matrix)[Entries::N_ENTRIES])
  {
    unrolled<0, Entries::N_PARTS>([&](auto index) TDN_FLATTEN {
      constexpr Part part = Entries::PARTS[index];
      if constexpr (part.product * part.product < OUT)
        unrolled<part.first * part.first, (part.first + 1) * (part.first + 1)>(
            [&](auto j) TDN_FLATTEN {
              const V weighted = w[part.weight] * x[j];
              unrolled<part.product * part.product, (part.product + 1) * (part.product + 1)>(
                  [&](auto k) TDN_FLATTEN {
                    if constexpr (!Entries::is_constant(part, k, j))
                      by_matrix[Entries::entry(part, k, j)] += g[k] * weighted;
                  });
            });
    });
  }
};

}    // namespace tdn::TDN_ISA

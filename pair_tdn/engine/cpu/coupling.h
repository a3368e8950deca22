// Which entries an edge's matrix K has, known when the kernels are compiled.
#pragma once

#include "simd.h"

#include <array>
#include <type_traits>

namespace tdn::TDN_ISA {

/// SHARED: all paths of a channel share one radial weight, K is one matrix. FEW: the same for
/// products that keep parity and l_max 1, whose K_kj vanish for different k, j > 0. SEPARATE: each
/// path with an even sum of degrees has its own weight and therefore its own block.
enum class Form { SHARED, FEW, SEPARATE };

/// body(constant) for BEGIN .. END - 1
template <int BEGIN, int END, typename Body> TDN_INLINE void unrolled(Body body)
{
  if constexpr (BEGIN < END) {
    body(std::integral_constant<int, BEGIN>{});
    unrolled<BEGIN + 1, END>(body);
  }
}

/// Degree of component k of an l-major array.
constexpr int degree_of(int k)
{
  int degree = 0;
  while ((degree + 1) * (degree + 1) <= k) ++degree;
  return degree;
}

/// A block of K, from degree `first` of the operand to degree `product`. `second` is the degree of
/// the spherical harmonics in it, -1 for all of them; `entry` is its start; its rows have `stride`
/// numbers.
struct Part {
  int product, first, second, weight, entry, stride;
};

template <int L, Form FORM> struct Coupling {
  static constexpr int D = (L + 1) * (L + 1);
  static constexpr bool SEPARATE = FORM == Form::SEPARATE;

  /// visit(part), by the degree of the product, then that of the operand, then of the harmonics, as
  /// in python/tdn/algebra/clebsch_gordan.py, paths_by_product.
  template <typename Visit> static constexpr void for_parts(Visit visit)
  {
    int weight = 0, entry = 0;
    for (int product = 0; product <= L; ++product)
      for (int first = 0; first <= L; ++first) {
        const int rows = 2 * product + 1, columns = 2 * first + 1;
        if (!SEPARATE) {
          visit(Part{product, first, -1, 0, product * product * D + first * first, D});
          continue;
        }
        for (int second = 0; second <= L; ++second) {
          const bool even = (product + first + second) % 2 == 0;
          if (!even || second > product + first || product > first + second ||
              first > product + second)
            continue;
          visit(Part{product, first, second, weight++, entry, columns});
          entry += rows * columns;
        }
      }
  }

  static constexpr int count_parts()
  {
    int n = 0;
    for_parts([&](const Part &) { ++n; });
    return n;
  }
  static constexpr int N_PARTS = count_parts();

  static constexpr std::array<Part, N_PARTS> list_parts()
  {
    std::array<Part, N_PARTS> parts{};
    int n = 0;
    for_parts([&](const Part &part) { parts[n++] = part; });
    return parts;
  }
  static constexpr std::array<Part, N_PARTS> PARTS = list_parts();

  static constexpr int count_entries()
  {
    const Part last = PARTS[N_PARTS - 1];
    return SEPARATE ? last.entry + (2 * last.product + 1) * last.stride : D * D;
  }
  static constexpr int N_ENTRIES = count_entries();
  static constexpr int N_WEIGHTS = SEPARATE ? N_PARTS : 1;

  /// Index of component k of the product and j of the operand, both within the part.
  static constexpr int entry(const Part &part, int k, int j)
  {
    return part.entry + (k - part.product * part.product) * part.stride + j -
           part.first * part.first;
  }
  /// Harmonics of degree 0 give a constant times the unit matrix.
  static constexpr bool is_zero(const Part &part, int k, int j)
  {
    if (SEPARATE)
      return part.second == 0 && k - part.product * part.product != j - part.first * part.first;
    return FORM == Form::FEW && k > 0 && j > 0 && k != j;
  }
  static constexpr bool is_constant(const Part &part, int k, int j)
  {
    return SEPARATE ? part.second == 0 : FORM == Form::FEW && (k == 0) == (j == 0);
  }

  static constexpr bool is_constant_entry(int n)
  {
    return any_place(n, [](const Part &part, int k, int j) { return is_constant(part, k, j); });
  }
  static constexpr bool is_in_scalar_row(int n)
  {
    return any_place(n, [](const Part &, int k, int) { return k == 0; });
  }
  template <typename Test> static constexpr bool any_place(int n, Test test)
  {
    for (const Part &part : PARTS)
      for (int k = part.product * part.product; k < (part.product + 1) * (part.product + 1); ++k)
        for (int j = part.first * part.first; j < (part.first + 1) * (part.first + 1); ++j)
          if (entry(part, k, j) == n) return test(part, k, j);
    return false;
  }
};

}    // namespace tdn::TDN_ISA

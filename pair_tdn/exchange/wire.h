// Precision of numbers in messages between ranks.
#pragma once

#include "views.h"

#include <bit>
#include <cmath>

namespace tdn {

/// As the model computes them, or rounded to 8 bits of mantissa.
enum class Wire { MODEL, BFLOAT16 };

/// Rounds to nearest, ties to even.
inline uint16_t to_bfloat16(float value)
{
  if (std::isnan(value)) return 0x7fc0;
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

inline float from_bfloat16(uint16_t bits)
{
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

inline void round_rows(const Rows &rows, uint16_t *out)
{
  with_numbers(rows, [&](const auto *numbers) {
    for (int64_t k = 0; k < rows.size(); ++k) out[k] = to_bfloat16(static_cast<float>(numbers[k]));
  });
}

inline void expand_rows(const uint16_t *in, const Rows &rows)
{
  with_numbers(rows, [&]<typename T>(T *numbers) {
    for (int64_t k = 0; k < rows.size(); ++k) numbers[k] = static_cast<T>(from_bfloat16(in[k]));
  });
}

}    // namespace tdn

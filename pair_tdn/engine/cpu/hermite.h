// From the numbers of a table at two neighboring knots to the polynomial between them.
#pragma once

#include <cstdint>

namespace tdn {

/// Quintic Hermite polynomials: f, h f', h^2 f'' of two knots -> coefficients of t^0 .. t^5.
inline constexpr double HERMITE[6][6] = {{1.0, 0.0, 0.0, 0.0, 0.0, 0.0},    //
                                         {0.0, 1.0, 0.0, 0.0, 0.0, 0.0},    //
                                         {0.0, 0.0, 0.5, 0.0, 0.0, 0.0},    //
                                         {-10.0, -6.0, -1.5, 10.0, -4.0, 0.5},
                                         {15.0, 8.0, 1.5, -15.0, 7.0, -1.0},
                                         {-6.0, -3.0, -0.5, 6.0, -3.0, 0.5}};

/// `ends`: six rows of `width` numbers, those of two neighboring knots -> six rows of coefficients.
template <typename T>
void write_polynomials(const double *ends, int64_t width, int64_t n_channels, int64_t stride,
                       T *out)
{
  for (const auto &weights : HERMITE)
    for (int64_t begin = 0; begin < width; begin += n_channels, out += stride)
      for (int64_t c = 0; c < n_channels; ++c) {
        double sum = 0;
        for (int end = 0; end < 6; ++end) sum += weights[end] * ends[end * width + begin + c];
        out[c] = static_cast<T>(sum);
      }
}

}    // namespace tdn

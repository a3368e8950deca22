// Rows of the kernels are padded to whole vectors; those of messages are not.
#pragma once

#include "aligned_buffer.h"
#include "views.h"

#include <algorithm>

namespace tdn {

/// `n` rows of `d` times `n_channels` numbers, each padded to `stride`.
template <typename T> struct RowPadding {
  T *padded;
  int64_t n, d, n_channels, stride;

  /// verb(rows without padding): in place if they have none, else on a copy in `buffer`.
  template <typename Verb> void apply(AlignedBuffer<T> &buffer, Verb verb) const
  {
    const Rows rows{padded, n, d * n_channels, PRECISION_OF<T>};
    if (stride == n_channels) return verb(rows);
    T *plain = buffer.at_least(static_cast<size_t>(std::max<int64_t>(rows.size(), 1)));
    for (int64_t k = 0; k < n * d; ++k)
      std::copy_n(padded + k * stride, n_channels, plain + k * n_channels);
    verb({plain, n, d * n_channels, PRECISION_OF<T>});
    for (int64_t k = 0; k < n * d; ++k) {
      std::copy_n(plain + k * n_channels, n_channels, padded + k * stride);
      std::fill_n(padded + k * stride + n_channels, stride - n_channels, T(0));
    }
  }
};

}    // namespace tdn

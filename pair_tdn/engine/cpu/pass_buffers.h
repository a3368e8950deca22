// Memory of the CPU backend, kept between steps.
#pragma once

#include "aligned_buffer.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tdn {

/// Lists have one buffer for each slot of the plan, or for each thread.
template <typename T> struct PassBuffers {
  using Buffer = AlignedBuffer<T>;

  std::vector<Buffer> x, attended, attention, remote, copies;
  Buffer vectors, rows, unpadded, grad_rows, grad_x, scalars, grad_scalars, values, edge_gradients,
      forces, head_attended, head_attention;
  AlignedBuffer<double> energies;

  static T *room(Buffer &buffer, int64_t n)
  {
    return buffer.at_least(static_cast<size_t>(std::max<int64_t>(n, 1)));
  }

  static T *room(std::vector<Buffer> &list, int k, int64_t n)
  {
    if (list.size() <= static_cast<size_t>(k)) list.resize(k + 1);
    return room(list[k], n);
  }

  double bytes() const
  {
    double sum = energies.bytes();
    for (const auto *list : {&x, &attended, &attention, &remote, &copies})
      for (const auto &buffer : *list) sum += buffer.bytes();
    for (const auto *buffer :
         {&vectors, &rows, &unpadded, &grad_rows, &grad_x, &scalars, &grad_scalars, &values,
          &edge_gradients, &forces, &head_attended, &head_attention})
      sum += buffer->bytes();
    return sum;
  }
};

}    // namespace tdn

// Gather and scatter of rows by index.
#pragma once

#include "views.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace tdn {

/// out[k] = rows[index[k]]
inline void gather_rows(const Rows &rows, const std::vector<int64_t> &index, char *out)
{
  const auto bytes = static_cast<size_t>(rows.row_bytes());
  for (const int64_t k : index) {
    std::memcpy(out, rows.row(k), bytes);
    out += bytes;
  }
}

/// rows[index[k]] += added[k], one after the other
inline void scatter_add_rows(const Rows &rows, const std::vector<int64_t> &index, const char *added)
{
  with_numbers(rows, [&]<typename T>(T *numbers) {
    const T *from = reinterpret_cast<const T *>(added);
    for (const int64_t k : index) {
      T *to = numbers + k * rows.width;
      for (int64_t c = 0; c < rows.width; ++c) to[c] += from[c];
      from += rows.width;
    }
  });
}

inline std::vector<int64_t> sorted_once(std::vector<int64_t> rows)
{
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

}    // namespace tdn

// Divides the centers among threads, which add to rows of atoms independently: the first part adds
// in place, every other part to copies of the rows it touches, which are summed in the order of
// the parts. The same number of threads gives the same bits.
#pragma once

#include "aligned_buffer.h"

#include <cstdint>
#include <vector>

namespace tdn {

class EdgeParts {
 public:
  /// Makes parts with about the same number of edges; `first_edge` (n_owned + 1).
  void divide(const int64_t *first_edge, int64_t n_owned, int n_parts);
  /// Numbers the rows that each part touches; `neighbor` (n_edges), rows below n_rows.
  void number_rows(const int64_t *first_edge, const int32_t *neighbor, int64_t n_rows);

  int size() const { return static_cast<int>(begins_.size()) - 1; }
  int64_t begin(int part) const { return begins_[part]; }
  int64_t end(int part) const { return begins_[part + 1]; }
  /// Row of an edge in its part's copies, or null if there is one part.
  const int32_t *target() const { return size() > 1 ? target_.data() : nullptr; }
  int64_t n_copies(int part) const { return static_cast<int64_t>(rows_[part].size()); }

  /// rows[r] += copies of row r in the order of the parts, for begin <= r < end; `copies[part]` as
  /// numbered, `width` numbers each.
  template <typename T>
  void add_copies(const std::vector<T *> &copies, T *rows, int64_t width, int64_t begin,
                  int64_t end) const
  {
    for (int part = 1; part < size(); ++part)
      for (size_t k = 0; k < rows_[part].size(); ++k) {
        const int64_t row = rows_[part][k];
        if (row < begin || row >= end) continue;
        const T *from = copies[part] + static_cast<int64_t>(k) * width;
        T *to = rows + row * width;
        for (int64_t c = 0; c < width; ++c) to[c] += from[c];
      }
  }

  double bytes() const;

 private:
  std::vector<int64_t> begins_{0, 0};
  std::vector<int32_t> target_;
  std::vector<std::vector<int32_t>> rows_;    // for each part but the first: its copies' rows
  std::vector<int32_t> mark_;                 // copy of a row in the current part
};

}    // namespace tdn

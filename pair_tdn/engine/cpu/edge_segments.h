// Groups the edges of a block by center.
#pragma once

#include "edge_block.h"

namespace tdn::TDN_ISA {

/// Edges of one center in a block.
struct Segment {
  int64_t center;
  int begin, end;
  bool starts, ends;    // holds the first, the last edge of the center
};

/// Divides consecutive blocks of the edges of centers begin .. end - 1.
class Segments {
 public:
  Segments(const int64_t *first_edge, int64_t begin, int64_t end)
      : first_edge_(first_edge), center_(begin), last_center_(end)
  {
  }

  /// Edges from .. from + n - 1, which follow those of the previous call.
  void divide(int64_t from, int n)
  {
    n_ = 0;
    const int64_t to = from + n;
    while (center_ < last_center_ && first_edge_[center_] < to) {
      const int64_t first = first_edge_[center_], last = first_edge_[center_ + 1];
      const int64_t begin = first > from ? first : from, end = last < to ? last : to;
      if (end > begin)
        segments_[n_++] = {center_, static_cast<int>(begin - from), static_cast<int>(end - from),
                           begin == first, end == last};
      if (end < last) break;
      ++center_;
    }
  }

  const Segment *begin() const { return segments_; }
  const Segment *end() const { return segments_ + n_; }

 private:
  const int64_t *const first_edge_;
  int64_t center_;    // of the next edge
  const int64_t last_center_;
  int n_ = 0;
  Segment segments_[EDGES];
};

}    // namespace tdn::TDN_ISA

#include "edge_parts.h"

#include <algorithm>

namespace tdn {

void EdgeParts::divide(const int64_t *first_edge, int64_t n_owned, int n_parts)
{
  // A center without edges has a cost, too.
  const auto work = [&](int64_t i) { return first_edge[i] + i; };
  begins_.assign(1, 0);
  for (int part = 1; part < n_parts; ++part) {
    const int64_t goal = work(n_owned) * part / n_parts;
    int64_t low = begins_.back(), high = n_owned;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (work(middle) < goal) low = middle + 1;
      else high = middle;
    }
    begins_.push_back(low);
  }
  begins_.push_back(n_owned);
  rows_.resize(size());
}

void EdgeParts::number_rows(const int64_t *first_edge, const int32_t *neighbor, int64_t n_rows)
{
  if (size() == 1) return;
  const int64_t n_edges = first_edge[begins_.back()];
  target_.resize(n_edges);
  std::copy_n(neighbor, first_edge[end(0)], target_.begin());
  for (int part = 1; part < size(); ++part) {
    auto &rows = rows_[part];
    rows.clear();
    mark_.assign(n_rows, -1);
    for (int64_t e = first_edge[begin(part)]; e < first_edge[end(part)]; ++e) {
      int32_t &copy = mark_[neighbor[e]];
      if (copy < 0) {
        copy = static_cast<int32_t>(rows.size());
        rows.push_back(neighbor[e]);
      }
      target_[e] = copy;
    }
  }
}

double EdgeParts::bytes() const
{
  size_t numbers = target_.capacity() + mark_.capacity();
  for (const auto &rows : rows_) numbers += rows.capacity();
  return static_cast<double>(numbers * sizeof(int32_t));
}

}    // namespace tdn

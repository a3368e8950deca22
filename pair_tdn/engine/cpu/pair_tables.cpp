#include "pair_tables.h"

#include "hermite.h"

#include <algorithm>
#include <cmath>

namespace tdn {

PairTables::PairTables(const Array &reach, const Array &table)
    : reach_(reach.values), n_intervals_(table.shape.at(1) - 1)
{
  const auto n_slots = static_cast<int64_t>(reach_.size());
  polynomials_.resize(static_cast<size_t>(n_slots * n_intervals_ * N_COEFFICIENTS));
  double *out = polynomials_.data();
  for (int64_t slot = 0; slot < n_slots; ++slot)
    for (int64_t k = 0; k < n_intervals_; ++k, out += N_COEFFICIENTS)
      write_polynomials(table.values.data() + (slot * (n_intervals_ + 1) + k) * 3, 1, 1, 1, out);
}

/// With f = r E the slope is (f' - f / r) / r.
PairTables::Point PairTables::at(int slot, double r) const
{
  const double inverse = static_cast<double>(n_intervals_) / reach_[slot], place = r * inverse;
  const auto k = std::min(static_cast<int64_t>(place), n_intervals_ - 1);
  const double t = place - static_cast<double>(k);
  const double *c = polynomials_.data() + (slot * n_intervals_ + k) * N_COEFFICIENTS;
  double value = 0, by_t = 0;
  for (int power = N_COEFFICIENTS - 1; power >= 0; --power) {
    by_t = by_t * t + value;
    value = value * t + c[power];
  }
  const double energy = value / r;
  return {energy, (by_t * inverse - energy) / r};
}

template <typename T>
void PairTables::add(const fused::Edges<T> &edges, int64_t begin, int64_t end,
                     double *energies) const
{
  constexpr double SHORTEST = 1e-6;    // angstrom, as of all edges
  for (int64_t center = begin; center < end; ++center)
    for (int64_t e = edges.first[center]; e < edges.first[center + 1]; ++e) {
      const T *v = edges.vectors + 3 * e;
      const double x = v[0], y = v[1], z = v[2];
      const int slot = edges.slot_of_pair[edges.pair[e]];
      const double square = x * x + y * y + z * z, reach = reach_[slot];
      if (square >= reach * reach) continue;
      const double r = std::max(std::sqrt(square), SHORTEST);
      const auto point = at(slot, r);
      energies[center] += point.energy;
      if (!edges.gradients) continue;
      T *to = edges.gradients + 3 * e;
      to[0] += static_cast<T>(point.slope * x / r);
      to[1] += static_cast<T>(point.slope * y / r);
      to[2] += static_cast<T>(point.slope * z / r);
    }
}

template void PairTables::add(const fused::Edges<float> &, int64_t, int64_t, double *) const;
template void PairTables::add(const fused::Edges<double> &, int64_t, int64_t, double *) const;

}    // namespace tdn

// Tables of functions of the distance: f, h f', h^2 f'' at uniform knots 0, h, 2 h, ..
// Twin of hermite_table in python/tdn/deployment/tables.py.
#pragma once

#include "jets.h"

namespace tdn {

/// Writes the jets of some knots into rows (n_knots, 3, width) of a table. `factors` multiply the
/// columns and are repeated if they are fewer.
inline void write_rows(const jets::Jets &x, const double *factors, size_t n_factors, double spacing,
                       double *table)
{
  double scale = 1;
  for (size_t order = 0; order < 3; ++order, scale *= spacing)
    for (size_t point = 0; point < x.n; ++point)
      for (size_t c = 0; c < x.width; ++c)
        table[(point * 3 + order) * x.width + c] =
            x.row(order, point)[c] * factors[c % n_factors] * scale;
}

/// The first knot is the Taylor continuation of the second.
inline void write_origin(double *table, size_t width)
{
  const double *second = table + 3 * width;
  for (size_t c = 0; c < width; ++c) {
    const double f = second[c], d = second[width + c], dd = second[2 * width + c];
    table[c] = f - d + 0.5 * dd;
    table[width + c] = d - dd;
    table[2 * width + c] = dd;
  }
}

}    // namespace tdn

// Limits the memory of a run's radial tables.
#pragma once

#include "errors.h"
#include "views.h"

#include <cstdint>
#include <string>

namespace tdn {

/// Throws tdn::Error before the tables of many elements fill the memory. `numbers_per_pair`:
/// numbers in all tables of one ordered pair of elements, three for each knot.
inline void check_size_of_tables(int64_t n_elements, double numbers_per_pair, Precision precision)
{
  constexpr double LIMIT = 2e9;
  const auto n = static_cast<double>(n_elements);
  // six coefficients of each interval for three numbers of each knot
  const double bytes = 2 * n * n * numbers_per_pair * static_cast<double>(bytes_of(precision));
  if (bytes > LIMIT)
    throw Error("the radial tables of " + std::to_string(n_elements) + " elements need " +
                std::to_string(static_cast<int64_t>(bytes / 1e6)) +
                " MB, more than 2000: name fewer elements in a run, or use engine script");
}

}    // namespace tdn

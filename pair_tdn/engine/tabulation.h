// Tables of the functions of the distance, made for the pairs of elements in use when an archive is
// opened. Twin of python/tdn/deployment/jets.py and tables.py, which explain the formulas.
#pragma once

#include "errors.h"

#include "archive/named_arrays.h"

#include <vector>

namespace tdn {

/// Numbers in the tables of one ordered pair of species, for functions that depend on the elements:
/// these tables grow with every pair.
double numbers_per_pair(const NamedArrays &weights);

/// Replaces the radial basis and networks ("basis.*", "radial.*", "*.radial.*",
/// "embedding.sources") in the weights by "embedding.table", "layers.K.table" and
/// "force_head.table": (n_tables, n_knots, 3, W C) with f, h f', h^2 f'' at the knots 0, h, ..
/// cutoff. A table is for the ordered pair (a, b) of `species`, b fastest, or for all pairs if
/// networks ignore the elements. A pair term is replaced in the same way (pair_term.h). Throws
/// tdn::Error if a weight is missing or does not fit its neighbors.
TDN_EXPORT void tabulate(NamedArrays &weights, const std::vector<int> &species, int n_elements);

}    // namespace tdn

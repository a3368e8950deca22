// Tables of the functions of the distance, made when an archive is opened for the pairs of elements
// in use. Twin of python/tdn/deployment/jets.py and tables.py, which explain the formulas.
#pragma once

#include "errors.h"

#include "archive/named_arrays.h"

#include <vector>

namespace tdn {

/// Numbers in the tables of one ordered pair of species, of those functions that see the elements:
/// what grows with every pair.
double numbers_per_pair(const NamedArrays &weights);

/// Takes the radial basis and networks ("basis.*", "radial.*", "*.radial.*", "embedding.sources")
/// out of the weights, and puts "embedding.table", "layers.K.table" and "force_head.table" in their
/// place: (n_tables, n_knots, 3, W C) with f, h f', h^2 f'' at the knots 0, h, .. cutoff. A table
/// stands for the ordered pair (a, b) of `species`, b fastest, or for all pairs where networks are
/// blind to the elements. The same with a pair term (pair_term.h). Throws tdn::Error when one is
/// missing or does not fit its neighbors.
TDN_EXPORT void tabulate(NamedArrays &weights, const std::vector<int> &species, int n_elements);

}    // namespace tdn

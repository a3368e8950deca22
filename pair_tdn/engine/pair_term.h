// Tables of a model's pair term, made for the pairs of elements in use when an archive is opened.
#pragma once

#include "archive/named_arrays.h"

#include <vector>

namespace tdn {

/// Numbers in the table of one ordered pair of species; 0 without a pair term.
double numbers_of_pair_term(const NamedArrays &weights);

/// Replaces the constants of a pair term ("pair_term.*") in the weights, if there is one, by
/// "pair_term.reach" (n_slots), the distance in angstrom at which the term of a pair ends, and
/// "pair_term.table" (n_slots, n_knots, 3, 1): r times the energy of an edge at the knots
/// 0, h, .. reach, with h and h^2 times its derivatives. A slot is the ordered pair (a, b)
/// of `species`, b fastest. Throws tdn::Error if a constant is missing or does not fit the
/// others.
void tabulate_pair_term(NamedArrays &weights, const std::vector<int> &species, int n_elements);

}    // namespace tdn

// Tables of a model's pair term, made when an archive is opened for the pairs of elements in use.
#pragma once

#include "archive/named_arrays.h"

#include <vector>

namespace tdn {

/// Numbers in the table of one ordered pair of species; 0 without a pair term.
double numbers_of_pair_term(const NamedArrays &weights);

/// Takes the constants of a pair term ("pair_term.*") out of the weights, if there is one, and puts
/// in their place "pair_term.reach" (n_slots), where the term of a pair ends in angstrom, and
/// "pair_term.table" (n_slots, n_knots, 3, 1): r times the energy of an edge at the knots
/// 0, h, .. reach, with h and h^2 times its derivatives. A slot stands for the ordered pair (a, b)
/// of `species`, b fastest. Throws tdn::Error when a constant is missing or does not fit the
/// others.
void tabulate_pair_term(NamedArrays &weights, const std::vector<int> &species, int n_elements);

}    // namespace tdn

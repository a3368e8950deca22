// Edges against a loop over all pairs, and what must stop a run.

#include "check.h"
#include "neighbor_fixture.h"

#include <algorithm>
#include <tuple>

namespace {

constexpr double CUTOFF = 3.0;

tdn::NeighborGraph graph_of(const Atoms &atoms, double angstrom = 1.0,
                            tdn::Precision precision = tdn::Precision::FLOAT64)
{
  tdn::NeighborGraph graph(CUTOFF, angstrom, 2, precision);
  graph.build(atoms.view());
  return graph;
}

/// Atoms at both ends, sorted.
using Pairs = std::vector<std::pair<int, int>>;

Pairs pairs_of(const tdn::NeighborGraph &graph)
{
  Pairs pairs;
  for (int64_t e = 0; e < graph.n_edges(); ++e)
    pairs.emplace_back(graph.center_atom(graph.row_of_edge(e)), graph.neighbor_atom(e));
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

Pairs all_pairs(const Atoms &atoms, double cutoff)
{
  Pairs pairs;
  for (const int i : atoms.ilist)
    for (int j = 0; j < atoms.size(); ++j)
      if (i != j && atoms.squared(i, j) < cutoff * cutoff) pairs.emplace_back(i, j);
  return pairs;
}

}    // namespace

CASE(graph_has_the_edges_of_all_pairs)
{
  for (unsigned seed = 1; seed <= 5; ++seed) {
    const Atoms atoms(20, 10, 7.0, 5.0, seed);
    const auto graph = graph_of(atoms);
    EXPECT(graph.n_edges() > 50);
    EXPECT(pairs_of(graph) == all_pairs(atoms, CUTOFF));
  }
}

CASE(graph_view_describes_the_edges)
{
  const Atoms atoms(20, 10, 7.0, 5.0);
  const auto graph = graph_of(atoms);
  const auto seen = graph.view();
  EXPECT_EQUAL(seen.n_owned, 20);
  EXPECT_EQUAL(seen.n_edges, graph.n_edges());
  EXPECT(seen.precision == tdn::Precision::FLOAT64);
  const auto *vectors = static_cast<const double *>(seen.vectors);
  const auto species = [&](int atom) { return atoms.type[atom] - 1; };
  for (int row = 0; row < 20; ++row) EXPECT_EQUAL(seen.species[row], species(row));
  for (int64_t e = 0; e < graph.n_edges(); ++e) {
    const int i = graph.center_atom(graph.row_of_edge(e)), j = graph.neighbor_atom(e);
    EXPECT(seen.first_edge[i] <= e && e < seen.first_edge[i + 1]);
    EXPECT_EQUAL(seen.neighbor[e], j);
    EXPECT_EQUAL(seen.pair[e], 2 * species(i) + species(j));
    for (int k = 0; k < 3; ++k) {
      const double expected = atoms.positions[j][k] - atoms.positions[i][k];
      EXPECT_EQUAL(vectors[3 * e + k], expected);
      EXPECT_EQUAL(graph.vector(e)[k], expected);
    }
  }
}

CASE(graph_centers_follow_ilist)
{
  Atoms atoms(12, 4, 5.0, 5.0);
  atoms.ilist = {7, 2, 9};
  for (auto &row : atoms.row_of_atom) row = tdn::NeighborView::OUTSIDE;
  for (int row = 0; row < 3; ++row) atoms.row_of_atom[atoms.ilist[row]] = row;
  const auto graph = graph_of(atoms);
  EXPECT(graph.n_edges() > 0);
  const auto seen = graph.view();
  for (int64_t e = 0; e < graph.n_edges(); ++e) {
    const auto row = graph.row_of_edge(e);
    EXPECT(seen.first_edge[row] <= e && e < seen.first_edge[row + 1]);
    EXPECT_EQUAL(atoms.ilist[row], graph.center_atom(row));
    EXPECT_EQUAL(atoms.ilist[seen.neighbor[e]], graph.neighbor_atom(e));
  }
}

CASE(graph_masks_high_bits_of_list_entries)
{
  Atoms atoms(20, 10, 7.0, 5.0);
  const auto plain = pairs_of(graph_of(atoms));
  unsigned bits = 0;
  for (auto &list : atoms.lists)
    for (auto &entry : list) entry |= static_cast<int>(++bits % 8 << 29);
  EXPECT(pairs_of(graph_of(atoms)) == plain);
}

CASE(graph_leaves_out_atoms_outside_the_model)
{
  Atoms atoms(20, 10, 7.0, 5.0);
  for (int j = 20; j < 30; j += 2) atoms.row_of_atom[j] = tdn::NeighborView::OUTSIDE;
  auto expected = all_pairs(atoms, CUTOFF);
  std::erase_if(expected, [](const auto &p) { return p.second >= 20 && p.second % 2 == 0; });
  EXPECT(pairs_of(graph_of(atoms)) == expected);
}

CASE(graph_refuses_an_atom_without_a_row_within_the_cutoff)
{
  Atoms atoms(2, 1, 1.0, 5.0);
  atoms.row_of_atom[2] = tdn::NeighborView::OUT_OF_REACH;
  EXPECT_THROWS(tdn::OutOfReachError, "neighbor lists are too old", graph_of(atoms));
  try {
    graph_of(atoms);
  } catch (const tdn::OutOfReachError &caught) {
    EXPECT_EQUAL(caught.atoms[0], 0);
    EXPECT_EQUAL(caught.atoms[1], 2);
  }
  atoms.coordinates[6] = CUTOFF + 1.1;    // in the lists, not within the cutoff
  EXPECT_EQUAL(graph_of(atoms).n_edges(), 2);
}

CASE(graph_refuses_overlapping_atoms)
{
  Atoms atoms(5, 2, 4.0, 9.0);
  std::copy_n(atoms.positions[6], 3, atoms.positions[3]);
  EXPECT_THROWS(tdn::OverlapError, "same point", graph_of(atoms));
  try {
    graph_of(atoms);
  } catch (const tdn::OverlapError &caught) {
    EXPECT_EQUAL(caught.atoms[0], 3);
    EXPECT_EQUAL(caught.atoms[1], 6);
  }
}

CASE(graph_knows_the_closest_atoms_of_each_pair_of_species)
{
  const Atoms atoms(20, 10, 7.0, 5.0);
  const auto view = atoms.view();
  std::vector<double> least(4, 1e300);
  for (const auto &[i, j] : all_pairs(atoms, CUTOFF)) {
    auto &value = least[view.species(i) * 2 + view.species(j)];
    value = std::min(value, atoms.squared(i, j));
  }
  const auto graph = graph_of(atoms);
  for (size_t k = 0; k < least.size(); ++k) {
    const auto &[squared, pair] = graph.closest().at(k);
    EXPECT_EQUAL(squared, least[k]);
    EXPECT_EQUAL(atoms.squared(pair[0], pair[1]), least[k]);
    EXPECT_EQUAL(view.species(pair[0]) * 2 + view.species(pair[1]), static_cast<int>(k));
  }
}

CASE(graph_of_no_atoms_and_of_no_edges)
{
  for (const int n_atoms : {0, 1}) {
    const auto graph = graph_of(Atoms(n_atoms, 0, 1.0, 5.0));
    EXPECT_EQUAL(graph.n_owned(), n_atoms);
    EXPECT_EQUAL(graph.n_edges(), 0);
    EXPECT_EQUAL(graph.view().n_owned, n_atoms);
    EXPECT_EQUAL(graph.view().n_edges, 0);
    EXPECT_EQUAL(graph.view().first_edge[n_atoms], 0);
    for (const auto &pair : graph.closest()) EXPECT(std::isinf(pair.squared));
  }
}

CASE(graph_forgets_the_build_before)
{
  auto graph = graph_of(Atoms(20, 10, 7.0, 5.0));
  EXPECT(graph.memory_usage() > 0);
  const Atoms fewer(4, 0, 3.0, 5.0);
  graph.build(fewer.view());
  EXPECT(pairs_of(graph) == all_pairs(fewer, CUTOFF));
  EXPECT_EQUAL(graph.n_owned(), 4);
}

CASE(graph_in_engine_units_and_single_precision)
{
  constexpr double BOHR = 0.529177210903;
  const Atoms atoms(20, 0, 10.0, 9.0);
  const auto graph = graph_of(atoms, BOHR, tdn::Precision::FLOAT32);
  EXPECT(pairs_of(graph) == all_pairs(atoms, CUTOFF / BOHR));
  EXPECT(graph.view().precision == tdn::Precision::FLOAT32);
  const auto *vectors = static_cast<const float *>(graph.view().vectors);
  for (int64_t e = 0; e < graph.n_edges(); ++e) {
    const int i = graph.center_atom(graph.row_of_edge(e)), j = graph.neighbor_atom(e);
    const double expected = (atoms.positions[j][0] - atoms.positions[i][0]) * BOHR;
    EXPECT_EQUAL(vectors[3 * e], static_cast<float>(expected));
    EXPECT_EQUAL(graph.vector(e)[0], static_cast<double>(static_cast<float>(expected)));
  }
}

// Random atoms with full neighbor lists, as an MD program holds them.
#pragma once

#include "graph/neighbor_graph.h"

#include <random>
#include <vector>

/// Lists name every other atom within `list_cutoff`; types are 1 (species 0) and 2 (species 1).
struct Atoms {
  static constexpr int MASK = 0x1FFFFFFF;

  std::vector<double> coordinates;
  std::vector<double *> positions;
  std::vector<int> ilist, numneigh, row_of_atom, type, species_of_type{-1, 0, 1};
  std::vector<std::vector<int>> lists;
  std::vector<int *> firstneigh;

  /// `n_owned` atoms and then `n_ghosts` in a cube, engine length units.
  Atoms(int n_owned, int n_ghosts, double side, double list_cutoff, unsigned seed = 1)
      : coordinates(3 * (n_owned + n_ghosts))
  {
    std::mt19937 random(seed);
    for (auto &x : coordinates) x = side * random() / 4294967296.0;
    for (int i = 0; i < n_owned + n_ghosts; ++i) {
      positions.push_back(&coordinates[3 * i]);
      row_of_atom.push_back(i);
      type.push_back(1 + static_cast<int>(random() % 2));
    }
    for (int i = 0; i < n_owned; ++i) {
      ilist.push_back(i);
      lists.emplace_back();
      for (int j = 0; j < size(); ++j)
        if (j != i && squared(i, j) < list_cutoff * list_cutoff) lists.back().push_back(j);
    }
    for (auto &list : lists) {
      numneigh.push_back(static_cast<int>(list.size()));
      firstneigh.push_back(list.data());
    }
  }

  int size() const { return static_cast<int>(positions.size()); }

  double squared(int i, int j) const
  {
    double sum = 0;
    for (int k = 0; k < 3; ++k) {
      const double d = positions[j][k] - positions[i][k];
      sum += d * d;
    }
    return sum;
  }

  tdn::NeighborView view() const
  {
    return {.positions = positions.data(),
            .ilist = ilist.data(),
            .n_centers = static_cast<int>(ilist.size()),
            .numneigh = numneigh.data(),
            .firstneigh = firstneigh.data(),
            .neighbor_mask = MASK,
            .row_of_atom = row_of_atom.data(),
            .type = type.data(),
            .species_of_type = species_of_type.data()};
  }
};

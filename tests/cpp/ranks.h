// Random rows and relations between ranks that every rank can compute for every other.
#pragma once

#include "exchange/exchange_plan.h"

#include <algorithm>
#include <random>
#include <vector>

/// What ranks own and want of each other; rows are named by their owner and index.
struct Relation {
  std::vector<int> n_owned;                           ///< by rank
  std::vector<std::vector<tdn::RemoteRow>> wanted;    ///< by rank, sorted

  /// `reads(reader, owner)` says who reads whom; half of the rows are then wanted.
  template <typename Reads> Relation(int n_ranks, unsigned seed, int most, Reads reads)
  {
    std::mt19937 random(seed);
    for (int rank = 0; rank < n_ranks; ++rank)
      n_owned.push_back(static_cast<int>(random() % (most + 1)));
    wanted.resize(n_ranks);
    for (int reader = 0; reader < n_ranks; ++reader)
      for (int owner = 0; owner < n_ranks; ++owner)
        for (int row = 0; row < n_owned[owner]; ++row)
          if (reader != owner && reads(reader, owner) && random() % 2)
            wanted[reader].push_back({owner, row});
  }

  /// Rows of `owner` that `reader` wants, ascending.
  std::vector<int64_t> rows(int reader, int owner) const
  {
    std::vector<int64_t> out;
    for (const auto &remote : wanted[reader])
      if (remote.rank == owner) out.push_back(remote.row);
    return out;
  }
};

inline int rank_in(MPI_Comm comm)
{
  int rank = 0;
  MPI_Comm_rank(comm, &rank);
  return rank;
}

inline int size_of(MPI_Comm comm)
{
  int size = 0;
  MPI_Comm_size(comm, &size);
  return size;
}

/// The relations that an exchange must get right, each with a few draws.
inline std::vector<Relation> relations(int n_ranks)
{
  const auto all = [](int, int) { return true; };
  const auto ring = [=](int reader, int owner) { return owner == (reader + 1) % n_ranks; };
  const auto above = [](int reader, int owner) { return owner > reader; };    // never mutual
  const auto some_want_nothing = [](int reader, int) { return reader % 2 == 0; };
  std::vector<Relation> out;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    out.emplace_back(n_ranks, seed, 20, all);
    out.emplace_back(n_ranks, seed, 20, ring);
    out.emplace_back(n_ranks, seed, 20, above);
    out.emplace_back(n_ranks, seed, 20, some_want_nothing);
    out.emplace_back(n_ranks, seed, 1, all);    // about half of the ranks own nothing
  }
  out.emplace_back(n_ranks, 1, 0, all);
  out.emplace_back(n_ranks, 1, 200000, ring);    // beyond the size of eager messages
  return out;
}

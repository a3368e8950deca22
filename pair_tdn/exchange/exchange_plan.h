// Which rows of features travel between which ranks. MPI only; no LAMMPS, no tensors.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <vector>

namespace tdn {

/// A row of owned features on another rank.
struct RemoteRow {
  int rank, row;
  auto operator<=>(const RemoteRow &) const = default;
};

/// Consecutive entries of a list that belong to one rank.
struct Partner {
  int rank;
  int64_t begin, count;
};

/// Built together with the neighbor lists, used in every layer of every step until the next one.
class ExchangePlan {
 public:
  ExchangePlan() = default;

  /// Tells the owners what this rank reads, and learns which of its rows others read. Collective on
  /// `comm`, with messages between partners only: nothing of the size of `comm` is sent or stored.
  /// `wanted` is sorted, without duplicates and rows of this rank. `round` counts the plans made on
  /// `comm`: a rank that has finished may already be at its next plan while others still listen.
  ExchangePlan(MPI_Comm comm, const std::vector<RemoteRow> &wanted, int round);

  /// Ranks from which rows come, ascending; entries of `wanted`.
  const std::vector<Partner> &sources() const { return sources_; }
  /// Ranks to which rows go, ascending; entries of `sent_rows`.
  const std::vector<Partner> &targets() const { return targets_; }
  /// Owned rows to send, in the order in which each target expects them.
  const std::vector<int64_t> &sent_rows() const { return sent_rows_; }
  int64_t n_received() const { return n_received_; }
  int64_t n_sent() const { return static_cast<int64_t>(sent_rows_.size()); }
  double memory_usage() const;

 private:
  std::vector<Partner> sources_, targets_;
  std::vector<int64_t> sent_rows_;
  int64_t n_received_ = 0;

  void find_sources(const std::vector<RemoteRow> &wanted);
  void swap_requests(MPI_Comm comm, const std::vector<RemoteRow> &wanted, int tag);
  void set_targets(std::vector<std::pair<int, std::vector<int>>> requests);
};

}    // namespace tdn

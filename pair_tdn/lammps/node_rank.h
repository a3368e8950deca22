// The number of a process among those of its machine, which share its memory and GPUs.
#pragma once

#include <mpi.h>

#include <algorithm>
#include <cstdlib>

namespace tdn {

/// Read from the launcher's environment variables. The communicator is only the fallback: it may be
/// one of several partitions of a machine, whose first ranks would all take the same GPU.
struct NodeRank {
  int rank = -1, size = -1;

  /// Collective on `world` if the launcher sets no variables.
  explicit NodeRank(MPI_Comm world)
  {
    static constexpr const char *NAMES[][2] = {
        {"MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
        {"OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
        {"SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"}};
    for (const auto &[rank_name, size_name] : NAMES)
      if (rank < 0) read(std::getenv(rank_name), std::getenv(size_name));
    if (rank < 0) split(world);
  }

  /// Number of processes that share one of `n_devices`.
  int sharing(int n_devices) const { return (size + n_devices - 1) / n_devices; }

 private:
  void read(const char *number, const char *count)
  {
    if (!number || !count) return;
    rank = std::max(0, std::atoi(number));
    size = std::max(rank + 1, std::atoi(count));
  }

  void split(MPI_Comm world)
  {
    MPI_Comm node;
    MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    MPI_Comm_rank(node, &rank);
    MPI_Comm_size(node, &size);
    MPI_Comm_free(&node);
  }
};

}    // namespace tdn

// Changes the sign of the largest number of each message with one tag that rank 0 sends on a
// communicator of its own, by MPI's profiling interface; preloaded into a run to see that its
// checks can fail. The tag is TDN_CORRUPT_TAG; messages are of float64.

#include <mpi.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

namespace {

bool is_chosen(int tag, MPI_Comm comm)
{
  const char *chosen = std::getenv("TDN_CORRUPT_TAG");
  int rank = 0;
  PMPI_Comm_rank(comm, &rank);
  return chosen && std::atoi(chosen) == tag && comm != MPI_COMM_WORLD && rank == 0;
}

/// The buffer is the sender's, who does not read it again.
void change_largest(void *data, long bytes)
{
  auto *numbers = static_cast<char *>(data);
  const long size = sizeof(double);
  double largest = 0;
  long where = 0;
  for (long at = 0; at + size <= bytes; at += size) {
    double value = 0;
    std::memcpy(&value, numbers + at, sizeof value);
    if (std::abs(value) <= std::abs(largest)) continue;
    largest = value;
    where = at;
  }
  largest = -largest;
  if (bytes >= size) std::memcpy(numbers + where, &largest, sizeof largest);
}

}    // namespace

#pragma GCC visibility push(default)
extern "C" int MPI_Isend(const void *data, int count, MPI_Datatype type, int other, int tag,
                         MPI_Comm comm, MPI_Request *request)
{
  int size = 0;
  PMPI_Type_size(type, &size);
  if (is_chosen(tag, comm))
    change_largest(const_cast<void *>(data), static_cast<long>(count) * size);
  return PMPI_Isend(data, count, type, other, tag, comm, request);
}
#pragma GCC visibility pop

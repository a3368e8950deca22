// Counts the messages of a process by MPI's profiling interface; preloaded into a run. At
// MPI_Finalize each rank writes a list to the file TDN_COUNT_MESSAGES + rank + ".json".

#include <mpi.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>

namespace {

/// Name of the call, tag, the other rank, whether the communicator is MPI_COMM_WORLD itself,
/// whether the thread is the one that loaded this library.
using Key = std::tuple<std::string, int, int, bool, bool>;

struct Count {
  long calls = 0, bytes = 0;
};

std::map<Key, Count> counts;
std::mutex guard;    // threads may send
const auto main_thread = std::this_thread::get_id();

void note(const char *call, int count, MPI_Datatype type, int other, int tag, MPI_Comm comm)
{
  int size = 0;
  PMPI_Type_size(type, &size);
  const std::lock_guard<std::mutex> lock(guard);
  const bool in_main = std::this_thread::get_id() == main_thread;
  auto &entry = counts[{call, tag, other, comm == MPI_COMM_WORLD, in_main}];
  ++entry.calls;
  entry.bytes += static_cast<long>(count) * size;
}

void write(const std::string &path)
{
  std::ofstream out(path);
  const char *separator = "[";
  for (const auto &[key, count] : counts) {
    const auto &[call, tag, other, world, in_main] = key;
    out << separator << "{\"call\": \"" << call << "\", \"tag\": " << tag
        << ", \"other\": " << other << ", \"world\": " << (world ? "true" : "false")
        << ", \"main_thread\": " << (in_main ? "true" : "false") << ", \"calls\": " << count.calls
        << ", \"bytes\": " << count.bytes << "}";
    separator = ",\n ";
  }
  out << (counts.empty() ? "[]\n" : "]\n");
}

}    // namespace

#pragma GCC visibility push(default)
extern "C" {

int MPI_Isend(const void *data, int count, MPI_Datatype type, int other, int tag, MPI_Comm comm,
              MPI_Request *request)
{
  note("MPI_Isend", count, type, other, tag, comm);
  return PMPI_Isend(data, count, type, other, tag, comm, request);
}

int MPI_Issend(const void *data, int count, MPI_Datatype type, int other, int tag, MPI_Comm comm,
               MPI_Request *request)
{
  note("MPI_Issend", count, type, other, tag, comm);
  return PMPI_Issend(data, count, type, other, tag, comm, request);
}

int MPI_Send(const void *data, int count, MPI_Datatype type, int other, int tag, MPI_Comm comm)
{
  note("MPI_Send", count, type, other, tag, comm);
  return PMPI_Send(data, count, type, other, tag, comm);
}

int MPI_Irecv(void *data, int count, MPI_Datatype type, int other, int tag, MPI_Comm comm,
              MPI_Request *request)
{
  note("MPI_Irecv", count, type, other, tag, comm);
  return PMPI_Irecv(data, count, type, other, tag, comm, request);
}

int MPI_Barrier(MPI_Comm comm)
{
  note("MPI_Barrier", 0, MPI_BYTE, -1, -1, comm);
  return PMPI_Barrier(comm);
}

int MPI_Finalize()
{
  int rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (const char *path = std::getenv("TDN_COUNT_MESSAGES"))
    write(path + std::to_string(rank) + ".json");
  return PMPI_Finalize();
}

}    // extern "C"
#pragma GCC visibility pop

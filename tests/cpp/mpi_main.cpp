// tdn_mpi_tests: runs every case on all ranks; rank 0 prints `ok NAME` or `failed NAME`.

#include "check.h"

#include <mpi.h>

int main(int n_words, char **words)
{
  MPI_Init(&n_words, &words);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  int all = 0;
  for (const auto &one : check::cases()) {
    int mine = check::run(one), sum = 0;
    MPI_Allreduce(&mine, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0) std::cout << (sum == 0 ? "ok " : "failed ") << one.name << std::endl;
    all += sum;
  }
  MPI_Finalize();
  return all == 0 ? 0 : 1;
}

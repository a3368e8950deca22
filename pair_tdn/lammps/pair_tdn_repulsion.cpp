/* ----------------------------------------------------------------------
   The repulsion of nuclei is counted once: a model with a pair term was
   trained with it, and zbl beside such a model would add it again.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "force.h"

using namespace LAMMPS_NS;

/* sub-styles zbl of pair hybrid; LAMMPS gives a single one again and again, whatever its number */

static std::set<Pair *> styles_zbl(Force &force)
{
  std::set<Pair *> styles;
  for (int k = 1;; k++) {
    Pair *style = force.pair_match("^zbl", 0, k);
    if (!style || !styles.insert(style).second) return styles;
  }
}

/* called when pair hybrid has given its styles their pairs of types */

void PairTDN::check_repulsion()
{
  const auto &m = *impl;
  const auto has_term = [](const auto &archive) { return archive.metadata().has_pair_term; };
  if (std::none_of(m.archives.begin(), m.archives.end(), has_term)) return;
  for (const Pair *zbl : styles_zbl(*force))
    for (int a = 1; zbl->setflag && a <= atom->ntypes; a++)
      for (int b = a; b <= atom->ntypes; b++)
        if (zbl->setflag[a][b] && m.species_of_type[a] >= 0 && m.species_of_type[b] >= 0)
          error->all(FLERR,
                     "Pair style tdn: the repulsion of nuclei between types {} and {} is part of "
                     "the model (pair_term) but pair style zbl adds it again: leave zbl out for "
                     "types of the model",
                     a, b);
}

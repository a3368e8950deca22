/* -*- c++ -*- ----------------------------------------------------------
   pair_style tdn: Tensor Decomposition Network, run by libtorch on one ghost
   shell of one cutoff with an exchange of node features between layers.
------------------------------------------------------------------------- */

#ifndef LMP_PAIR_TDN_H
#define LMP_PAIR_TDN_H

#include "pair.h"

#include <memory>

namespace tdn {
class ModelArchive;
}

namespace LAMMPS_NS {

class PairTDN : public Pair {
 public:
  PairTDN(class LAMMPS *);
  ~PairTDN() override;
  void compute(int, int) override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  double memory_usage() override;

  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl;    // all libtorch state, defined in pair_tdn_impl.h

  void allocate();
  tdn::ModelArchive read_archive(const char *);
  void check_elements(const tdn::ModelArchive &, int, char **);
  void map_species(int, char **);
  void load_model(const tdn::ModelArchive &);
  void announce();
  void check_simulation();
  void evaluate();
  void check_types();
  void build_graph();
  void add_forces();
  void tally_energy();
  void tally_virial();
  void check_finite();
  template <typename Callable> void guarded(Callable, bool);
};

}    // namespace LAMMPS_NS

#endif

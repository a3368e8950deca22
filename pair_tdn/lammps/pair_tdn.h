/* -*- c++ -*- ----------------------------------------------------------
   pair_style tdn: Tensor Decomposition Network with a ghost shell
   of one cutoff and an exchange of node features between layers.
------------------------------------------------------------------------- */

#ifndef LMP_PAIR_TDN_H
#define LMP_PAIR_TDN_H

#include "pair.h"

#include <memory>
#include <string>
#include <vector>

namespace tdn {
class ModelArchive;
struct Evaluation;
struct Rows;
}    // namespace tdn

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
  void finish() override;
  double memory_usage() override;
  void *extract(const char *, int &) override;
  void *extract_peratom(const char *, int &) override;

  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;

 private:
  struct Impl;
  using Results = tdn::Evaluation;    // of one model in one step
  std::unique_ptr<Impl> impl;         // all state of namespace tdn, defined in pair_tdn_impl.h

  // settings and models: pair_tdn.cpp
  void allocate();
  tdn::ModelArchive read_archive(const char *);
  void check_elements(const tdn::ModelArchive &, int, char **);
  void check_ensemble(const std::vector<tdn::ModelArchive> &);
  void map_species(int, char **);
  void load_models(const std::vector<tdn::ModelArchive> &, const std::vector<int> &);
  void announce();

  // before a run: pair_tdn_init.cpp
  void check_simulation();
  void check_communication();
  void check_direct_forces();
  bool corrected() const;
  void check_masses();       // pair_tdn_masses.cpp
  void check_repulsion();    // pair_tdn_repulsion.cpp

  // within a step: pair_tdn_compute.cpp
  void update_lists();
  void build_graph();
  Results evaluate(size_t);
  void remove_net_force(const tdn::Rows &);
  void add_forces(const Results &, double **);
  void tally_energy(const Results &);
  void tally_virial(const Results &);

  // pairs missing from neighbor lists: pair_tdn_lists.cpp
  void check_lists();
  bool is_given(int) const;
  bool is_of_model(int) const;
  bool is_taken_out(int) const;
  std::vector<int> atoms_of_model() const;
  void check_hybrid_lists();
  void check_groups_of_lists();
  void find_types_taken_out();
  void find_atoms_taken_out();
  void note_atoms_taken_out();

  // special_bonds: pair_tdn_special.cpp
  bool has_special_neighbors(int) const;
  void check_special_bonds();

  // several models: pair_tdn_ensemble.cpp
  void evaluate_ensemble(Results &);
  void tally_deviation(const std::vector<Results> &);

  // checks during a run: pair_tdn_watch.cpp
  void check_types();
  void check_finite(const Results &);
  void watch_rebuild();
  void note_closest_pair();
  void warn_of_closest_pair();

  // cost of a run: pair_tdn_report.cpp
  void estimate_cost();
  void check_memory();
  void print_plan();
  void note_failed_linesearch();    // pair_tdn_minimum.cpp

  template <typename Callable> void guarded(Callable, bool);
  template <typename... Args>
  [[noreturn]] void fail_here(const std::string &, int, const std::string &, Args &&...);
};

}    // namespace LAMMPS_NS

#endif

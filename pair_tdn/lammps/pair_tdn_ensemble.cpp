/* ----------------------------------------------------------------------
   pair_style tdn with several models: their mean, and the deviation of their
   forces. Edges and the plan of messages are shared.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "comm.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace LAMMPS_NS;

/* mean of one result over the models, in memory that is kept from step to step */

static tdn::Rows mean_of(const std::vector<tdn::Rows> &members, std::vector<double> &mean)
{
  const auto &first = members.front();
  mean.assign(first.size(), 0.0);
  for (const auto &member : members)
    tdn::with_numbers(member, [&](const auto *numbers) {
      for (int64_t k = 0; k < first.size(); k++) mean[k] += numbers[k];
    });
  for (auto &number : mean) number /= static_cast<double>(members.size());
  return {mean.data(), first.n, first.width, tdn::Precision::FLOAT64};
}

/* evaluates the other models too; with ensemble mean the results become the mean of all */

void PairTDN::evaluate_ensemble(Results &results)
{
  std::vector<Results> all{results};
  for (size_t k = 1; k < impl->evaluators.size(); k++)
    guarded([&] { all.push_back(evaluate(k)); }, false);
  if (impl->deviation_due()) tally_deviation(all);
  if (!impl->options.averages()) return;
  std::vector<tdn::Rows> energies, gradients, forces;
  for (const auto &member : all) {
    energies.push_back(impl->energies_of(member));
    if (member.edge_gradients) gradients.push_back(*member.edge_gradients);
    if (member.direct_forces) forces.push_back(*member.direct_forces);
  }
  mean_of(energies, impl->mean_energies);
  results.atom_energies = impl->mean_energies.data();
  if (!gradients.empty()) results.edge_gradients = mean_of(gradients, impl->mean_gradients);
  if (!forces.empty()) results.direct_forces = mean_of(forces, impl->mean_direct_forces);
}

/* deviation_i = sqrt( < |F_i - <F_i>|^2 > ), with means over the models; force units */

void PairTDN::tally_deviation(const std::vector<Results> &all)
{
  auto &m = *impl;
  const int n_local = atom->nlocal, n_all = n_local + atom->nghost;
  std::vector<double> sum(3 * n_local, 0.0), squares(n_local, 0.0);
  std::vector<std::vector<double>> forces;
  std::vector<double *> rows(n_all);
  for (const auto &member : all) {
    m.member_forces.assign(3 * n_all, 0.0);
    for (int i = 0; i < n_all; i++) rows[i] = &m.member_forces[3 * i];
    add_forces(member, rows.data());
    comm->reverse_comm(this, comm_reverse);
    forces.emplace_back(m.member_forces.begin(), m.member_forces.begin() + 3 * n_local);
    for (int k = 0; k < 3 * n_local; k++) sum[k] += forces.back()[k];
  }
  const double n_models = static_cast<double>(all.size());
  for (const auto &member : forces)
    for (int k = 0; k < 3 * n_local; k++) {
      const double difference = member[k] - sum[k] / n_models;
      squares[k / 3] += difference * difference;
    }
  m.deviation.assign(std::max(1, atom->nmax), 0.0);
  for (int i = 0; i < n_local; i++) m.deviation[i] = std::sqrt(squares[i] / n_models);
}

/* ---------------------------------------------------------------------- */

int PairTDN::pack_reverse_comm(int n, int first, double *buffer)
{
  std::copy_n(impl->member_forces.begin() + 3 * first, 3 * n, buffer);
  return 3 * n;
}

void PairTDN::unpack_reverse_comm(int n, int *atoms, double *buffer)
{
  for (int i = 0; i < n; i++)
    for (int k = 0; k < 3; k++) impl->member_forces[3 * atoms[i] + k] += *buffer++;
}

/* values that other commands may read */

void *PairTDN::extract(const char *name, int &dim)
{
  dim = 0;
  if (strcmp(name, "cutoff") == 0 && !impl->archives.empty()) {
    impl->extracted_cutoff = impl->cutoff();
    return &impl->extracted_cutoff;
  }
  if (strcmp(name, "deviation_flag") == 0) {
    impl->deviation_triggered = true;
    return &impl->deviation_flag;
  }
  return nullptr;
}

/* deviation: one number per owned atom, for fix pair */

void *PairTDN::extract_peratom(const char *name, int &n_columns)
{
  n_columns = 0;
  if (strcmp(name, "deviation") != 0) return nullptr;
  if (impl->archives.size() < 2)
    error->all(FLERR,
               "Pair style tdn: the deviation of forces needs several models but pair_coeff names "
               "{}: write pair_coeff * * first.tdn.pt second.tdn.pt element ...",
               impl->archives.size());
  impl->deviation_read = true;
  if (impl->deviation.size() < static_cast<size_t>(std::max(1, atom->nmax)))
    impl->deviation.resize(std::max(1, atom->nmax), 0.0);
  return impl->deviation.data();
}

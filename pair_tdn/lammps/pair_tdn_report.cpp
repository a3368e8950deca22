/* ----------------------------------------------------------------------
   Predicts what a run with pair_style tdn needs, and reports what it took.
------------------------------------------------------------------------- */

#include "pair_tdn_impl.h"

#include "comm.h"
#include "utils.h"

#include <algorithm>

using namespace LAMMPS_NS;

/* evaluates small graphs with as many edges per atom as the simulation has; the same on every rank
 */

void PairTDN::estimate_cost()
{
  auto &m = *impl;
  double mine[2] = {static_cast<double>(m.graph.n_owned()), static_cast<double>(m.graph.n_edges())},
         all[2];
  MPI_Allreduce(mine, all, 2, MPI_DOUBLE, MPI_SUM, world);
  const double degree = all[0] > 0.0 ? all[1] / all[0] : 0.0;
  const double begin = platform::walltime();
  guarded([&] { m.cost = tdn::probe_cost(*m.evaluators.front(), m.metadata(), m.forces, degree); },
          true);
  if (comm->me == 0)
    utils::logmesg(lmp, "Pair style tdn: warmed up on small graphs in {:.2g} s\n",
                   platform::walltime() - begin);
}

/* ---------------------------------------------------------------------- */

double PairTDN::Impl::predicted_bytes() const
{
  const auto atoms = static_cast<double>(graph.n_owned());
  const auto edges = static_cast<double>(graph.n_edges());
  return cost->bytes(atoms, static_cast<double>(n_remote()), edges) + memory_usage();
}

/* before memory is allocated: one sentence about the rank that lacks most */

void PairTDN::check_memory()
{
  auto &m = *impl;
  struct {
    double share;
    int rank;
  } mine{m.memory_limit > 0.0 ? m.predicted_bytes() / m.memory_limit : 0.0, comm->me}, worst;
  MPI_Allreduce(&mine, &worst, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  if (worst.share <= 1.0) return;
  double need[4] = {m.predicted_bytes() / 1e6, m.memory_limit / 1e6,
                    static_cast<double>(m.graph.n_owned()), static_cast<double>(m.graph.n_edges())};
  MPI_Bcast(need, 4, MPI_DOUBLE, worst.rank, world);
  error->all(FLERR,
             "Pair style tdn: rank {} needs about {:.0f} MB for {:.0f} atoms and {:.0f} edges but "
             "memory {} allows {:.0f} MB: use more ranks or a smaller system",
             worst.rank, need[0], need[2], need[3], m.options.memory, need[1]);
}

/* one line of the plan: mean and largest value over the ranks */

struct Quantity {
  const char *name;
  double value;
};

static std::string plan_lines(const std::vector<Quantity> &quantities, MPI_Comm world)
{
  const int n = static_cast<int>(quantities.size());
  int n_ranks;
  MPI_Comm_size(world, &n_ranks);
  std::vector<double> mine, sum(n), largest(n);
  for (const auto &quantity : quantities) mine.push_back(quantity.value);
  MPI_Reduce(mine.data(), sum.data(), n, MPI_DOUBLE, MPI_SUM, 0, world);
  MPI_Reduce(mine.data(), largest.data(), n, MPI_DOUBLE, MPI_MAX, 0, world);
  std::string text = "Pair style tdn: plan, mean (max) per rank\n";
  for (int k = 0; k < n; k++)
    text += fmt::format("  {:<34}{:>12.4g} ({:.4g})\n", quantities[k].name, sum[k] / n_ranks,
                        largest[k]);
  return text;
}

/* predicted cost of the run, in the format of the command `tdn plan` */

void PairTDN::print_plan()
{
  auto &m = *impl;
  m.plan_printed = true;
  const auto &model = m.metadata();
  const auto &plan = m.exchange.plan();
  const double n_models = m.options.averages() ? static_cast<double>(m.archives.size()) : 1.0;
  const auto atoms = static_cast<double>(m.graph.n_owned());
  const auto edges = static_cast<double>(m.graph.n_edges());
  const auto remote = static_cast<double>(plan.n_received()),
             sent = static_cast<double>(plan.n_sent());
  double widths = 0.0;
  for (const auto width : model.layer_widths) widths += static_cast<double>(width);
  const double number =
      static_cast<double>(m.exchange.bytes_per_number(m.evaluators.front()->precision()));
  const bool backward = m.forces != tdn::ForceKind::DIRECT;
  const bool head = m.forces != tdn::ForceKind::GRADIENT;
  const double per_step = number * (widths * (backward ? sent + remote : sent) +
                                    (head ? sent * static_cast<double>(model.force_width) : 0.0));
  const std::string text = plan_lines(
      {{"atoms", atoms},
       {"edges", edges},
       {"ghosts", static_cast<double>(atom->nghost)},
       {"remote atoms", remote},
       {"messages per layer and direction", static_cast<double>(plan.targets().size())},
       {"MB per layer and direction", number * sent * widths / std::max(1, model.n_layers()) / 1e6},
       {"MB per step", n_models * per_step / 1e6},
       {"MB of memory", m.predicted_bytes() / 1e6},
       {"ms per step", 1e3 * n_models * m.cost->seconds(atoms, remote, edges)}},
      world);
  if (comm->me == 0) utils::logmesg(lmp, text);
}

/* at the end of a run; collective */

void PairTDN::finish()
{
  auto &m = *impl;
  note_failed_linesearch();
  const auto &used = m.exchange.statistics();
  double mine[5] = {static_cast<double>(m.graph.n_owned()),
                    m.temporary_bytes + m.evaluators_bytes() + m.memory_usage(), m.seconds,
                    used.seconds, used.seconds_waiting},
         sum[5], most;
  MPI_Reduce(mine, sum, 5, MPI_DOUBLE, MPI_SUM, 0, world);
  MPI_Reduce(&mine[1], &most, 1, MPI_DOUBLE, MPI_MAX, 0, world);
  if (comm->me != 0 || sum[0] == 0.0 || sum[2] == 0.0) return;
  utils::logmesg(
      lmp,
      "Pair style tdn: peak memory {:.4g} KB per atom, {:.4g} MB on the rank with the most; "
      "messages {:.3g} % of its time, {:.3g} % of it waiting for other ranks\n",
      sum[1] / sum[0] / 1e3, most / 1e6, 100.0 * sum[3] / sum[2], 100.0 * sum[4] / sum[2]);
}

/* ---------------------------------------------------------------------- */

double PairTDN::memory_usage()
{
  return Pair::memory_usage() + impl->memory_usage() + impl->evaluators_bytes();
}

double PairTDN::Impl::evaluators_bytes() const
{
  double bytes = 0;
  for (const auto &evaluator : evaluators) bytes += evaluator->kept_bytes();
  return bytes;
}

double PairTDN::Impl::memory_usage() const
{
  double bytes = graph.memory_usage() + rows.memory_usage() + exchange.memory_usage();
  for (const auto &archive : archives) bytes += archive.memory_usage();
  return bytes + static_cast<double>((deviation.capacity() + member_forces.capacity() +
                                      mean_energies.capacity() + mean_gradients.capacity() +
                                      mean_direct_forces.capacity()) *
                                     sizeof(double));
}

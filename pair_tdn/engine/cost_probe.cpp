// Four sizes for four unknowns. Peak memory is linear in them, since everything that is kept
// between the forward and the backward pass has one row per atom, remote atom or edge.

#include "cost_probe.h"

#include "memory_meter.h"

#include <ATen/Functions.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <random>

namespace tdn {

namespace {

constexpr int64_t N_ATOMS = 64;
constexpr int N_REPEATS = 2;

struct Size {
  int64_t n_owned, n_remote, degree;
};

struct Sample {
  double bytes, seconds;
};

/// Edges to random rows, 0.4 to 0.9 cutoffs long: where trained models are well-behaved.
NeighborGraph::Tensors random_graph(const Size &size, const ModelMetadata &model,
                                    const Evaluator &evaluator)
{
  std::mt19937 random(1);
  const auto draw = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  std::vector<int64_t> species(size.n_owned + size.n_remote), first_edge;
  std::vector<int> neighbor, pair;
  std::vector<double> vectors;
  const auto &known = evaluator.species();
  for (auto &s : species) s = known[draw(static_cast<int64_t>(known.size()))];
  for (int64_t i = 0; i <= size.n_owned; ++i) first_edge.push_back(i * size.degree);
  for (int64_t edge = 0; edge < size.n_owned * size.degree; ++edge) {
    neighbor.push_back(static_cast<int>(draw(size.n_owned + size.n_remote)));
    pair.push_back(static_cast<int>(species[edge / size.degree] * model.n_elements() +
                                    species[neighbor.back()]));
    double r[3], norm = 0;
    for (auto &x : r) {
      x = static_cast<double>(draw(2000) - 1000) + 0.5;
      norm += x * x;
    }
    const double length = model.cutoff * (0.4 + 0.5e-3 * static_cast<double>(draw(1000)));
    for (const auto x : r) vectors.push_back(x * length / std::sqrt(norm));
  }
  species.resize(size.n_owned);
  return {.species = at::tensor(species),
          .first_edge = at::tensor(first_edge),
          .neighbor = at::tensor(neighbor, at::kInt),
          .pair = at::tensor(pair, at::kInt),
          .vectors = at::tensor(vectors, at::kDouble).view({-1, 3}).to(evaluator.dtype())};
}

/// Seconds since some point in time; on a CPU those in which this thread ran, since other processes
/// may share its core at this moment.
double seconds_on(c10::Device device)
{
  timespec now{};
  clock_gettime(device.is_cpu() ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// The fastest of a few; results go to the host as in a run, which waits for a GPU.
Sample measure(Evaluator &evaluator, const ModelMetadata &model, ForceKind kind, const Size &size)
{
  const auto graph = random_graph(size, model, evaluator);
  const auto rows = at::arange(size.n_owned + size.n_remote, at::kLong).remainder(size.n_owned);
  LocalExchange exchange(size.n_owned, rows.to(evaluator.device()));
  Sample best{0, INFINITY};
  evaluator.release();
  for (int repeat = 0; repeat <= N_REPEATS; ++repeat) {
    const MemoryMeter meter;
    const double begin = seconds_on(evaluator.device());
    const auto result = evaluator.evaluate(graph, exchange, kind);
    result.atom_energies.to(at::kCPU);
    best = {std::max(best.bytes, static_cast<double>(meter.peak()) + evaluator.kept_bytes()),
            std::min(best.seconds, seconds_on(evaluator.device()) - begin)};
  }
  return best;
}

/// Plane through the values at (n, 0, k), (2n, 0, k), (n, n, k) and (n, 0, 2k).
LinearCost fit(double base, double twice, double remote, double dense, int64_t degree)
{
  const auto n = static_cast<double>(N_ATOMS), k = static_cast<double>(degree);
  LinearCost cost;
  cost.per_edge = std::max(0.0, (dense - base) / (n * k));
  cost.per_atom = std::max(0.0, (twice - base) / n - cost.per_edge * k);
  cost.per_remote = std::max(0.0, (remote - base) / n);
  cost.fixed = std::max(0.0, base - cost.per_atom * n - cost.per_edge * n * k);
  return cost;
}

}    // namespace

EvaluationCost probe_cost(Evaluator &evaluator, const ModelMetadata &model, ForceKind kind,
                          double edges_per_atom)
{
  const auto degree = std::clamp<int64_t>(std::llround(edges_per_atom), 1, 512);
  const auto at_size = [&](const Size &size) { return measure(evaluator, model, kind, size); };
  const Sample base = at_size({N_ATOMS, 0, degree}), twice = at_size({2 * N_ATOMS, 0, degree}),
               remote = at_size({N_ATOMS, N_ATOMS, degree}),
               dense = at_size({N_ATOMS, 0, 2 * degree});
  return {.bytes = fit(base.bytes, twice.bytes, remote.bytes, dense.bytes, degree),
          .seconds = fit(base.seconds, twice.seconds, remote.seconds, dense.seconds, degree)};
}

}    // namespace tdn

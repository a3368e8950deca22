// Four sizes for four unknowns. Peak memory is linear in them, since everything that is stored
// between the forward and the backward pass has one row per atom, remote atom or edge.

#include "cost_probe.h"

#include "exchange/local_exchange.h"

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

/// Edges to random rows, 0.4 to 0.9 cutoffs long, where trained models are well-behaved.
class RandomGraph {
 public:
  RandomGraph(const Size &size, const ModelMetadata &model, const Evaluator &evaluator)
      : precision_(evaluator.precision())
  {
    const auto &known = evaluator.species();
    auto &[species, first_edge, neighbor, pair] = buffers_;
    species.resize(size.n_owned + size.n_remote);
    for (auto &s : species) s = known[draw(static_cast<int64_t>(known.size()))];
    for (int64_t edge = 0; edge < size.n_owned * size.degree; ++edge) {
      neighbor.push_back(static_cast<int32_t>(draw(size.n_owned + size.n_remote)));
      pair.push_back(static_cast<int32_t>(species[edge / size.degree] * model.n_elements() +
                                          species[neighbor.back()]));
      add_vector(model.cutoff);
    }
    for (int64_t i = 1; i <= size.n_owned; ++i) first_edge.push_back(i * size.degree);
    species.resize(size.n_owned);    // a view has only those of centers
    single_.assign(vectors_.begin(), vectors_.end());
  }

  NeighborGraph::View view() const
  {
    const void *vectors = vectors_.data();
    if (precision_ == Precision::FLOAT32) vectors = single_.data();
    return buffers_.view(vectors, precision_);
  }

 private:
  std::mt19937 random_{1};
  NeighborGraph::Buffers buffers_;
  std::vector<double> vectors_;
  std::vector<float> single_;
  Precision precision_;

  int64_t draw(int64_t n) { return static_cast<int64_t>(random_() % n); }
  void add_vector(double cutoff)
  {
    double r[3], norm = 0;
    for (auto &x : r) {
      x = static_cast<double>(draw(2000) - 1000) + 0.5;
      norm += x * x;
    }
    const double length = cutoff * (0.4 + 0.5e-3 * static_cast<double>(draw(1000)));
    for (const auto x : r) vectors_.push_back(x * length / std::sqrt(norm));
  }
};

/// Rows of other ranks, which are copies of own rows here.
std::vector<int64_t> copies_of_owned(const Size &size)
{
  std::vector<int64_t> rows(size.n_owned + size.n_remote);
  for (size_t k = 0; k < rows.size(); ++k) rows[k] = static_cast<int64_t>(k) % size.n_owned;
  return rows;
}

/// Seconds since some point in time; on a CPU the time of this thread, since other processes may
/// share its core.
double seconds_on(const Device &device)
{
  timespec now{};
  clock_gettime(device.is_cpu() ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// The fastest of a few evaluations.
Sample measure(Evaluator &evaluator, const ModelMetadata &model, ForceKind kind, const Size &size)
{
  const RandomGraph graph(size, model, evaluator);
  LocalExchange exchange(size.n_owned, copies_of_owned(size));
  Sample best{0, INFINITY};
  evaluator.release();
  for (int repeat = 0; repeat <= N_REPEATS; ++repeat) {
    const double begin = seconds_on(evaluator.device());
    evaluator.evaluate(graph.view(), exchange, kind);
    best = {std::max(best.bytes, evaluator.temporary_bytes() + evaluator.kept_bytes()),
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

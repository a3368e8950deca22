#include "fused_evaluator.h"

#include "cpu/cpu_backend.h"
#include "exchange/local_exchange.h"
#include "pass.h"

#include <numeric>

namespace tdn {

namespace {

constexpr int MAX_DEGREE = 3;

class FusedEvaluator : public Evaluator {
 public:
  FusedEvaluator(std::unique_ptr<Backend> backend, const std::vector<int> &species, int n_elements)
      : Evaluator(species), backend_(std::move(backend))
  {
    if (backend_->smooth()) backend_->set_isolated(values_of_isolated_atoms(n_elements));
  }

  Evaluation evaluate(const NeighborGraph::View &graph, FeatureExchange &exchange,
                      ForceKind kind) override
  {
    return Pass(*backend_, exchange, kind).run(graph, n_threads());
  }

  Device device() const override { return backend_->device(); }
  Precision precision() const override { return backend_->precision(); }
  std::string name() const override { return "fused " + backend_->name(); }
  double kept_bytes() const override { return backend_->kept_bytes(); }
  void release() override { backend_->release(); }
  void start_times() override { backend_->start_times(); }
  std::map<std::string, double> times() const override { return backend_->times(); }

 private:
  std::unique_ptr<Backend> backend_;

  std::vector<double> values_of_isolated_atoms(int n_elements)
  {
    std::vector<int64_t> species(n_elements), first_edge(n_elements + 1, 0);
    std::iota(species.begin(), species.end(), 0);
    LocalExchange exchange(n_elements);
    Pass(*backend_, exchange, ForceKind::GRADIENT)
        .run_to_head({.n_owned = n_elements,
                      .n_edges = 0,
                      .species = species.data(),
                      .first_edge = first_edge.data(),
                      .precision = backend_->precision()},
                     1);
    const auto values = backend_->head_values();
    backend_->release();
    return values;
  }
};

}    // namespace

std::unique_ptr<Evaluator> make_fused_evaluator(const NamedArrays &weights,
                                                const EvaluatorOptions &options, int n_elements,
                                                std::string &reason)
{
  const auto coupling = weights.find("coupling");
  if (coupling != weights.end() &&
      coupling->second.shape.at(0) > (MAX_DEGREE + 1) * (MAX_DEGREE + 1)) {
    reason = "its l_max is above 3";
    return nullptr;
  }
  return std::make_unique<FusedEvaluator>(
      make_cpu_backend(weights, options.precision, options.species, n_elements), options.species,
      n_elements);
}

}    // namespace tdn

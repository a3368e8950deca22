#include "script_evaluator.h"

#include "archive/archive_schema.h"
#include "memory_meter.h"
#include "script_module.h"
#include "script_pass.h"
#include "torch_errors.h"

#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

namespace tdn {

namespace {

using at::Tensor;

/// An array of the graph as a tensor, without a copy.
Tensor tensor_of(const void *numbers, at::IntArrayRef shape, at::ScalarType dtype)
{
  // from_blob must not see the null pointer of an empty array
  if (shape[0] == 0) return at::empty(shape, at::TensorOptions().dtype(dtype));
  return at::from_blob(const_cast<void *>(numbers), shape, at::TensorOptions().dtype(dtype));
}

Tensor centers_of(const NeighborGraph::View &graph)
{
  const auto first = tensor_of(graph.first_edge, {graph.n_owned + 1}, at::kLong);
  return at::arange(graph.n_owned, at::kLong).repeat_interleave(first.diff(), 0, graph.n_edges);
}

Rows rows_of(const Tensor &tensor, Precision precision)
{
  return {tensor.data_ptr(), tensor.size(0), tensor.size(1), precision};
}

}    // namespace

ScriptEvaluator::ScriptEvaluator(const ModelArchive &archive, const EvaluatorOptions &options)
    : Evaluator(options.species), device_(options.device), precision_(options.precision),
      model_{.module = load_module(archive, device_of(device_), dtype_of(precision_)), .layers = {}}
{
  const auto list = model_.module.attr(schema::LAYERS).toModule();
  for (int k = 0; k < archive.metadata().n_layers(); ++k)
    model_.layers.push_back(list.attr(std::to_string(k)).toModule());
}

Evaluation ScriptEvaluator::evaluate(const NeighborGraph::View &graph, FeatureExchange &exchange,
                                     ForceKind kind)
{
  if (n_threads() > 0) at::set_num_threads(n_threads());
  MemoryMeter meter;
  results_ = {};    // while the meter sees it
  meter.reset();
  results_ = with_our_errors([&] { return run(graph, exchange, kind); });
  temporary_bytes_ = std::max(0.0, static_cast<double>(meter.peak()) - kept_bytes());
  Evaluation out;
  out.atom_energies = results_.energies.mutable_data_ptr<double>();
  if (results_.gradients.defined()) out.edge_gradients = rows_of(results_.gradients, precision_);
  if (results_.forces.defined()) out.direct_forces = rows_of(results_.forces, precision_);
  return out;
}

ScriptEvaluator::Results ScriptEvaluator::run(const NeighborGraph::View &graph,
                                              FeatureExchange &exchange, ForceKind kind)
{
  // Specialization by the profiling executor makes the first calls slow and gains nothing here.
  torch::jit::GraphOptimizerEnabledGuard no_optimizer(false);
  const bool recorded = kind != ForceKind::DIRECT;
  c10::AutoGradMode mode(recorded);
  const auto device = device_of(device_);
  const auto vectors = tensor_of(graph.vectors, {graph.n_edges, 3}, dtype_of(graph.precision));
  const script::ScriptGraph here{
      .species = tensor_of(graph.species, {graph.n_owned}, at::kLong).to(device),
      .center = centers_of(graph).to(device),
      .neighbor = tensor_of(graph.neighbor, {graph.n_edges}, at::kInt).to(device, at::kLong),
      .pair = tensor_of(graph.pair, {graph.n_edges}, at::kInt).to(device, at::kLong),
      .vectors = vectors.to(device, dtype_of(precision_))};
  script::ScriptPass pass(model_, here, exchange, recorded);
  pass.forward();
  const auto on_host = [](const Tensor &tensor, at::ScalarType dtype) {
    return tensor.detach().to(at::kCPU, dtype).contiguous();
  };
  Results out;
  if (kind != ForceKind::GRADIENT) out.forces = on_host(pass.direct_forces(), dtype_of(precision_));
  if (recorded) out.gradients = on_host(pass.backward(), dtype_of(precision_));
  out.energies = on_host(pass.atom_energies(), at::kDouble);
  return out;
}

std::string ScriptEvaluator::library() const
{
  return "torch " TDN_TORCH_VERSION;
}

double ScriptEvaluator::kept_bytes() const
{
  double bytes = 0;
  for (const auto *tensor : {&results_.energies, &results_.gradients, &results_.forces})
    if (tensor->defined()) bytes += static_cast<double>(tensor->nbytes());
  return bytes;
}

void ScriptEvaluator::release()
{
  const MemoryMeter meter;    // torch forgets blocks that a meter sees freed
  results_ = {};
}

}    // namespace tdn

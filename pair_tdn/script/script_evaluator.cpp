// Every segment starts from detached leaves, so its graph is freed as soon as it is differentiated,
// and nothing of the exchange is ever inside an autograd graph.

#include "script_evaluator.h"

#include "archive/archive_schema.h"
#include "host_exchange.h"
#include "memory_meter.h"
#include "script_module.h"
#include "torch_errors.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/runtime/graph_executor.h>

namespace tdn {

namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

Tensor leaf(const Tensor &value, bool recorded)
{
  auto copy = value.detach();
  return recorded && copy.is_floating_point() ? copy.requires_grad_(true) : copy;
}

/// Vector-Jacobian product; zeros for inputs that the outputs do not depend on.
Tensors pull_back(const Tensors &outputs, const Tensors &gradients, const Tensors &inputs)
{
  Tensors recorded, seeds, result;
  for (size_t k = 0; k < outputs.size(); ++k) {
    if (!outputs[k].requires_grad()) continue;
    recorded.push_back(outputs[k]);
    seeds.push_back(gradients[k]);
  }
  if (recorded.empty()) result.resize(inputs.size());
  else
    result = torch::autograd::grad(recorded, inputs, seeds, /*retain_graph=*/false,
                                   /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t k = 0; k < inputs.size(); ++k)
    if (!result[k].defined()) result[k] = at::zeros_like(inputs[k]);
  return result;
}

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

/// What segments read of a graph: indices as torch wants them.
struct ScriptEvaluator::Graph {
  Tensor species, center, neighbor, pair, vectors;
};

/// One evaluation: verbs in the order of the model, then in reverse.
struct ScriptEvaluator::Pass {
  Pass(ScriptEvaluator &of, const Graph &on, FeatureExchange &through, bool gradients)
      : model(of), graph(on), exchange(through), recorded(gradients)
  {
  }

  ScriptEvaluator &model;
  const Graph &graph;
  FeatureExchange &exchange;
  bool recorded;    // gradients are wanted

  struct Layer {
    Tensor x, sent, rows, out;    // x and rows are leaves
  };

  Tensor vectors;               // leaf
  Tensors features;             // outputs of edge_features
  Tensors feature_leaves;       // what the other segments read
  Tensors feature_gradients;    // summed over segments, floating-point features only
  Tensor embedded;
  std::vector<Layer> layers;
  Tensor last, energies;    // last is a leaf

  void edge_features()
  {
    vectors = leaf(graph.vectors, recorded);
    features =
        model.module_.get_method(schema::EDGE_FEATURES)({vectors, graph.pair}).toTensorVector();
    for (const auto &feature : features) feature_leaves.push_back(leaf(feature, recorded));
  }

  void embed()
  {
    embedded =
        model.module_
            .get_method(schema::EMBED)({graph.species, graph.center, graph.pair, feature_leaves})
            .toTensor();
  }

  Tensor update(size_t k, const Tensor &input)
  {
    auto &module = model.layers_[k];
    Layer layer;
    layer.x = leaf(input, recorded);
    layer.sent = module.get_method(schema::SEND)({layer.x}).toTensor();
    layer.rows = leaf(exchange_forward(exchange, layer.sent.detach()), recorded);
    layer.out = module
                    .get_method(schema::UPDATE)({layer.x, layer.rows, graph.center, graph.neighbor,
                                                 graph.pair, feature_leaves})
                    .toTensor();
    const auto out = layer.out;
    if (recorded) layers.push_back(std::move(layer));
    return out;
  }

  void readout(const Tensor &input)
  {
    last = leaf(input, recorded);
    energies =
        model.module_.get_method(schema::READOUT)({last, graph.species, graph.center}).toTensor();
  }

  void forward()
  {
    edge_features();
    embed();
    Tensor x = embedded;
    for (size_t k = 0; k < model.layers_.size(); ++k) x = update(k, x);
    readout(x);
  }

  Tensor direct_forces()
  {
    const c10::AutoGradMode off(false);
    auto head = model.module_.attr(schema::FORCE_HEAD).toModule();
    const auto rows = exchange_forward(exchange, head.get_method(schema::SEND)({last}).toTensor());
    return head
        .get_method(schema::FORCES)(
            {last, rows, graph.center, graph.neighbor, graph.pair, feature_leaves})
        .toTensor();
  }

  /// Pulls back through one segment; adds to the features' gradients, returns those of `inputs`.
  Tensors pull_back_segment(const Tensor &output, const Tensor &gradient, Tensors inputs)
  {
    const size_t n_inputs = inputs.size();
    for (const auto &feature : feature_leaves)
      if (feature.requires_grad()) inputs.push_back(feature);
    auto result = pull_back({output}, {gradient}, inputs);
    for (size_t k = n_inputs; k < result.size(); ++k) feature_gradients[k - n_inputs] += result[k];
    result.resize(n_inputs);
    return result;
  }

  Tensor backward_layer(Layer layer, const Tensor &gradient)
  {
    const auto by = pull_back_segment(layer.out, gradient, {layer.x, layer.rows});
    layer.out.reset();
    const auto sent = exchange_adjoint(exchange, by[1]);
    return by[0] + pull_back({layer.sent}, {sent}, {layer.x})[0];
  }

  Tensor backward_features()
  {
    Tensors outputs;
    for (size_t k = 0; k < features.size(); ++k)
      if (feature_leaves[k].requires_grad()) outputs.push_back(features[k]);
    return pull_back(outputs, feature_gradients, {vectors})[0];
  }

  /// dE/dr_ij of the sum of the owned atoms' energies.
  Tensor backward()
  {
    for (const auto &feature : feature_leaves)
      if (feature.requires_grad()) feature_gradients.push_back(at::zeros_like(feature));
    Tensor gradient = pull_back({energies}, {at::ones_like(energies)}, {last})[0];
    for (; !layers.empty(); layers.pop_back())
      gradient = backward_layer(std::move(layers.back()), gradient);
    pull_back_segment(embedded, gradient, {});
    return backward_features();
  }
};

ScriptEvaluator::ScriptEvaluator(const ModelArchive &archive, const EvaluatorOptions &options)
    : Evaluator(options.species), device_(options.device), precision_(options.precision),
      module_(load_module(archive, device_of(device_), dtype_of(precision_)))
{
  const auto list = module_.attr(schema::LAYERS).toModule();
  for (int k = 0; k < archive.metadata().n_layers(); ++k)
    layers_.push_back(list.attr(std::to_string(k)).toModule());
}

Evaluation ScriptEvaluator::evaluate(const NeighborGraph::View &graph, FeatureExchange &exchange,
                                     ForceKind kind)
{
  if (n_threads() > 0) at::set_num_threads(n_threads());
  MemoryMeter meter;
  results_ = {};    // where the meter sees it
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
  const Graph here{.species = tensor_of(graph.species, {graph.n_owned}, at::kLong).to(device),
                   .center = centers_of(graph).to(device),
                   .neighbor =
                       tensor_of(graph.neighbor, {graph.n_edges}, at::kInt).to(device, at::kLong),
                   .pair = tensor_of(graph.pair, {graph.n_edges}, at::kInt).to(device, at::kLong),
                   .vectors = vectors.to(device, dtype_of(precision_))};
  Pass pass(*this, here, exchange, recorded);
  pass.forward();
  const auto on_host = [](const Tensor &tensor, at::ScalarType dtype) {
    return tensor.detach().to(at::kCPU, dtype).contiguous();
  };
  Results out;
  if (kind != ForceKind::GRADIENT) out.forces = on_host(pass.direct_forces(), dtype_of(precision_));
  if (recorded) out.gradients = on_host(pass.backward(), dtype_of(precision_));
  out.energies = on_host(pass.energies, at::kDouble);
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
  const MemoryMeter meter;    // torch forgets the blocks whose end a meter sees
  results_ = {};
}

}    // namespace tdn

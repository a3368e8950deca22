// One evaluation of the segments of an archive. Every segment starts from detached leaves, so its
// graph is freed as soon as it is differentiated, and nothing of the exchange is ever inside an
// autograd graph.
#pragma once

#include "archive/archive_schema.h"
#include "host_exchange.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/jit/api/module.h>

#include <utility>
#include <vector>

namespace tdn::script {

using at::Tensor;
using Tensors = std::vector<Tensor>;

inline Tensor leaf(const Tensor &value, bool recorded)
{
  auto copy = value.detach();
  return recorded && copy.is_floating_point() ? copy.requires_grad_(true) : copy;
}

/// Vector-Jacobian product; zeros for inputs that the outputs do not depend on.
inline Tensors pull_back(const Tensors &outputs, const Tensors &gradients, const Tensors &inputs)
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

/// A graph as segments read it: indices as torch needs them.
struct ScriptGraph {
  Tensor species, center, neighbor, pair, vectors;
};

/// The scripted module and its layers.
struct ScriptModel {
  torch::jit::Module module;
  std::vector<torch::jit::Module> layers;

  bool has(const char *part) const { return module.hasattr(part) && !module.attr(part).isNone(); }
};

/// One evaluation: functions in the order of the model, then in reverse.
struct ScriptPass {
  ScriptPass(ScriptModel &of, const ScriptGraph &on, FeatureExchange &through, bool gradients)
      : model(of), graph(on), exchange(through), recorded(gradients)
  {
  }

  ScriptModel &model;
  const ScriptGraph &graph;
  FeatureExchange &exchange;
  bool recorded;    // gradients are needed

  struct Layer {
    Tensor x, sent, rows, out;    // x and rows are leaves
  };

  Tensor vectors;               // leaf
  Tensors features;             // outputs of edge_features
  Tensors feature_leaves;       // read by the other segments
  Tensors feature_gradients;    // summed over segments, floating-point features only
  Tensor embedded;
  std::vector<Layer> layers;
  Tensor last, energies;                 // last is a leaf
  Tensor pair_vectors, pair_energies;    // of the pair term; a leaf, of the edges

  void edge_features()
  {
    vectors = leaf(graph.vectors, recorded);
    features =
        model.module.get_method(schema::EDGE_FEATURES)({vectors, graph.pair}).toTensorVector();
    for (const auto &feature : features) feature_leaves.push_back(leaf(feature, recorded));
  }

  void embed()
  {
    embedded =
        model.module
            .get_method(schema::EMBED)({graph.species, graph.center, graph.pair, feature_leaves})
            .toTensor();
  }

  Tensor update(size_t k, const Tensor &input)
  {
    auto &module = model.layers[k];
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
        model.module.get_method(schema::READOUT)({last, graph.species, graph.center}).toTensor();
  }

  /// float64 in every precision.
  void pair_term()
  {
    pair_vectors = leaf(graph.vectors.to(at::kDouble), recorded);
    const auto distances = pair_vectors.square().sum(-1).clamp_min(1e-12).sqrt();
    auto term = model.module.attr(schema::PAIR_TERM).toModule();
    pair_energies = term.get_method(schema::PAIR_ENERGY)({distances, graph.pair}).toTensor();
  }

  void forward()
  {
    edge_features();
    embed();
    Tensor x = embedded;
    for (size_t k = 0; k < model.layers.size(); ++k) x = update(k, x);
    readout(x);
    if (model.has(schema::PAIR_TERM)) pair_term();
  }

  /// (n_owned) eV, float64.
  Tensor atom_energies() const
  {
    const auto network = energies.detach();
    return pair_energies.defined() ? network.index_add(0, graph.center, pair_energies.detach())
                                   : network;
  }

  Tensor direct_forces()
  {
    const c10::AutoGradMode off(false);
    auto head = model.module.attr(schema::FORCE_HEAD).toModule();
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
    const auto by_network = backward_features();
    if (!pair_energies.defined()) return by_network;
    const auto by_pairs =
        pull_back({pair_energies}, {at::ones_like(pair_energies)}, {pair_vectors});
    return by_network + by_pairs[0].to(by_network.scalar_type());
  }
};

}    // namespace tdn::script

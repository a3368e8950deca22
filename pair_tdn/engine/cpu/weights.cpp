// Rows of channels are padded with zeros to whole vectors; weights between padded channels are
// zero, so that padding stays zero through every layer.

#include "weights.h"

#include "errors.h"

#include <ATen/Functions.h>

#include <algorithm>

namespace tdn {

template <typename T>
WeightPacker<T>::WeightPacker(const NamedTensors &named, const fused::Kernels<T> &kernels,
                              const at::Tensor &query)
    : named_(named), kernels_(kernels)
{
  const int lanes = kernels_.lanes;
  model_.n_heads = static_cast<int>(query.size(0));
  model_.n_channels = static_cast<int>(query.numel());
  model_.stride = (model_.n_channels + lanes - 1) / lanes * lanes;
  model_.cutoff = static_cast<T>(number("cutoff"));
  model_.envelope_power = static_cast<int>(number("envelope_power"));
  model_.norm_eps = static_cast<T>(number("norm_eps"));
  model_.norm_divides = number("norm_divides", 1) != 0;
  model_.sigmoid_attention = static_cast<T>(number("sigmoid_attention", 0));
  model_.silu_scale = static_cast<T>(number("silu_scale"));
  model_.sigmoid_scale = static_cast<T>(number("sigmoid_scale"));
  model_.channel_mask = padded(at::ones({model_.n_channels}));
  model_.head_mask = padded(
      at::eye(model_.n_heads).repeat_interleave(model_.n_channels / model_.n_heads, /*dim=*/1));
  set_coupling(need("coupling"));
}

template <typename T> at::Tensor WeightPacker<T>::need(const std::string &name) const
{
  if (!named_.contains(name))
    throw Error("the archive has no weight '" + name + "': deploy the model anew");
  return named_.at(name).to(at::kCPU);
}

template <typename T> double WeightPacker<T>::number(const std::string &name) const
{
  return need(name).template item<double>();
}

template <typename T> double WeightPacker<T>::number(const std::string &name, double of_older) const
{
  return named_.contains(name) ? number(name) : of_older;
}

template <typename T> const T *WeightPacker<T>::keep(const at::Tensor &values)
{
  const auto converted = values.to(c10::CppTypeToScalarType<T>::value).contiguous();
  auto &buffer = storage_.emplace_back(static_cast<size_t>(std::max<int64_t>(1, values.numel())));
  std::copy_n(converted.template const_data_ptr<T>(), converted.numel(), buffer.data());
  return buffer.data();
}

template <typename T> const T *WeightPacker<T>::padded(const at::Tensor &rows)
{
  return keep(at::constant_pad_nd(rows, {0, model_.stride - rows.size(-1)}));
}

template <typename T>
fused::Linear<T> WeightPacker<T>::linear(const at::Tensor &weight, const at::Tensor &bias)
{
  const int n = model_.stride;
  const auto square = at::constant_pad_nd(weight, {0, n - weight.size(1), 0, n - weight.size(0)})
                          .to(c10::CppTypeToScalarType<T>::value)
                          .contiguous();
  const T *from = square.template const_data_ptr<T>();
  auto &forward = storage_.emplace_back(static_cast<size_t>(n * n)),
       &adjoint = storage_.emplace_back(static_cast<size_t>(n * n));
  kernels_.pack(from, 1, n, n, n, forward.data());
  kernels_.pack(from, n, 1, n, n, adjoint.data());
  return {.weight = forward.data(),
          .adjoint = adjoint.data(),
          .bias = bias.defined() ? padded(bias) : nullptr};
}

template <typename T> fused::Norm<T> WeightPacker<T>::norm(const std::string &name)
{
  return {.weight = padded(need(name + ".weight")), .bias = padded(need(name + ".bias"))};
}

/// Quintic Hermite polynomials: f, h f', h^2 f'' of two knots -> coefficients of t^0 .. t^5.
template <typename T> fused::Radial<T> WeightPacker<T>::radial(const std::string &name)
{
  const auto table = need(name).to(at::kDouble);
  const auto ends = at::cat({table.slice(1, 0, -1), table.slice(1, 1)}, 2);      // of intervals
  const auto coefficients = at::tensor({1.0,   0.0,  0.0,  0.0,   0.0,  0.0,     //
                                        0.0,   1.0,  0.0,  0.0,   0.0,  0.0,     //
                                        0.0,   0.0,  0.5,  0.0,   0.0,  0.0,     //
                                        -10.0, -6.0, -1.5, 10.0,  -4.0, 0.5,     //
                                        15.0,  8.0,  1.5,  -15.0, 7.0,  -1.0,    //
                                        -6.0,  -3.0, -0.5, 6.0,   -3.0, 0.5},
                                       at::kDouble)
                                .view({6, 6});
  const int n_weights = static_cast<int>(table.size(3)) / model_.n_channels;
  model_.n_weights = std::max(model_.n_weights, n_weights);
  return {.table = padded(coefficients.matmul(ends).unflatten(3, {n_weights, model_.n_channels})),
          .n_intervals = static_cast<int>(ends.size(1)),
          .n_slots = static_cast<int>(ends.size(0)),
          .n_weights = n_weights};
}

template <typename T> fused::Layer<T> WeightPacker<T>::edge_layer(const std::string &prefix)
{
  fused::Layer<T> out;
  out.radial = radial(prefix + "table");
  const auto weights = need(prefix + "edge.weight").chunk(3);
  const auto biases = need(prefix + "edge.bias").chunk(3);
  out.values = linear(weights[0], biases[0]);
  out.gates = linear(weights[1], biases[1]);
  out.logits = linear(weights[2], biases[2]);
  out.query = padded(need(prefix + "query").flatten());
  const auto constant = need(prefix + "constant");
  if (constant.numel() > 0) out.constant = keep(constant);
  else if (model_.sigmoid_attention > 0)
    throw Error("the archive has no values in '" + prefix + "constant': deploy the model anew");
  return out;
}

template <typename T> void WeightPacker<T>::set_coupling(const at::Tensor &coupling)
{
  const auto values = coupling.to(at::kDouble).contiguous();
  const double *from = values.template const_data_ptr<double>();
  model_.d = static_cast<int>(coupling.size(0));
  model_.l_max = 0;
  while ((model_.l_max + 1) * (model_.l_max + 1) < model_.d) ++model_.l_max;
  for (int k = 0; k < model_.d; ++k)
    for (int i = 0; i < model_.d; ++i) {
      first_term_.push_back(static_cast<int>(terms_.size()));
      for (int j = 0; j < model_.d; ++j, ++from)
        if (*from != 0.0) terms_.push_back({j, static_cast<T>(*from)});
    }
  first_term_.push_back(static_cast<int>(terms_.size()));
  model_.terms = terms_.data();
  model_.first_term = first_term_.data();
}

template <typename T> double WeightPacker<T>::bytes() const
{
  double sum = 0;
  for (const auto &buffer : storage_) sum += buffer.bytes();
  return sum;
}

template <typename T>
FusedWeights<T>::FusedWeights(const NamedTensors &named, const fused::Kernels<T> &kernels)
    : packer_(named, kernels, named.at("layers.0.query"))
{
  auto &p = packer_;
  embedding.elements = p.padded(p.need("embedding.elements"));
  embedding.edge_bias = p.padded(p.need("embedding.edge_bias"));
  embedding.project = p.linear(p.need("embedding.project.weight"));
  embedding.radial = p.radial("embedding.table");
  const int n_layers = static_cast<int>(p.number("n_layers"));
  for (int k = 0; k < n_layers; ++k) {
    const std::string prefix = "layers." + std::to_string(k) + ".";
    layers.push_back(attention_layer(prefix));
    layers.back().out = p.linear(p.need(prefix + "out.weight"), p.need(prefix + "out.bias"));
    add_feed_forward(prefix + "feed_forward.", layers.back());
  }
  readout.norm = p.norm("readout.norm");
  readout.hidden = p.linear(p.need("readout.hidden.weight"), p.need("readout.hidden.bias"));
  readout.out = p.padded(p.need("readout.out.weight"));
  readout.bias = static_cast<T>(p.number("readout.out.bias"));
  if (named.contains("force_head.table")) {
    force_head = attention_layer("force_head.");
    force_project = p.padded(p.need("force_head.project"));
  }
  energy_scale = p.number("references.scale");
  const auto energies = p.need("references.energies");
  for (int64_t k = 0; k < energies.numel(); ++k)
    reference_energies.push_back(energies[k].template item<double>());
}

template <typename T> fused::Layer<T> FusedWeights<T>::attention_layer(const std::string &prefix)
{
  auto &p = packer_;
  auto out = p.edge_layer(prefix);
  out.norm = p.norm(prefix + "norm");
  out.send = p.linear(p.need(prefix + "send.weight"), p.need(prefix + "send.bias"));
  out.center = p.linear(p.need(prefix + "center.weight"));
  return out;
}

template <typename T>
void FusedWeights<T>::add_feed_forward(const std::string &prefix, fused::Layer<T> &layer)
{
  auto &p = packer_;
  layer.feed_forward_norm = p.norm(prefix + "norm");
  const auto weights = p.need(prefix + "in.weight").chunk(2);
  const auto biases = p.need(prefix + "in.bias").chunk(2);
  layer.feed_forward_values = p.linear(weights[0], biases[0]);
  layer.feed_forward_gates = p.linear(weights[1], biases[1]);
  layer.feed_forward_out = p.linear(p.need(prefix + "out.weight"), p.need(prefix + "out.bias"));
}

template class WeightPacker<float>;
template class WeightPacker<double>;
template class FusedWeights<float>;
template class FusedWeights<double>;

}    // namespace tdn

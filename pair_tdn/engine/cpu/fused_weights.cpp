#include "weights.h"

namespace tdn {

template <typename T>
FusedWeights<T>::FusedWeights(const NamedArrays &named, const fused::Kernels<T> &kernels)
    : packer_(named, kernels, "layers.0.query")
{
  auto &p = packer_;
  embedding.elements = p.padded(p.need("embedding.elements"));
  embedding.edge_bias = p.padded(p.need("embedding.edge_bias"));
  embedding.project = p.linear("embedding.project", false);
  embedding.radial = p.radial("embedding.table");
  const int n_layers = static_cast<int>(p.number("n_layers"));
  for (int k = 0; k < n_layers; ++k) {
    const std::string prefix = "layers." + std::to_string(k) + ".";
    layers.push_back(attention_layer(prefix));
    layers.back().out = p.linear(prefix + "out");
    add_feed_forward(prefix + "feed_forward.", layers.back());
  }
  readout.norm = p.norm("readout.norm");
  readout.hidden = p.linear("readout.hidden");
  readout.out = p.padded(p.need("readout.out.weight"));
  readout.bias = static_cast<T>(p.number("readout.out.bias"));
  if (named.contains("force_head.table")) {
    force_head = attention_layer("force_head.");
    force_project = p.padded(p.need("force_head.project"));
  }
  if (named.contains("pair_term.table"))
    pair_term = PairTables(p.need("pair_term.reach"), p.need("pair_term.table"));
  energy_scale = p.number("references.scale");
  reference_energies = p.need("references.energies").values;
  p.check_all_read();
}

template <typename T> fused::Layer<T> FusedWeights<T>::attention_layer(const std::string &prefix)
{
  auto &p = packer_;
  auto out = p.edge_layer(prefix);
  out.norm = p.norm(prefix + "norm");
  out.send = p.linear(prefix + "send");
  out.center = p.linear(prefix + "center", false);
  return out;
}

template <typename T>
void FusedWeights<T>::add_feed_forward(const std::string &prefix, fused::Layer<T> &layer)
{
  auto &p = packer_;
  layer.feed_forward_norm = p.norm(prefix + "norm");
  layer.feed_forward_values = p.linear(prefix + "in", true, 0, 2);
  layer.feed_forward_gates = p.linear(prefix + "in", true, 1, 2);
  layer.feed_forward_out = p.linear(prefix + "out");
}

template class FusedWeights<float>;
template class FusedWeights<double>;

}    // namespace tdn

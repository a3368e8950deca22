// Weights of the fused engine, padded and packed for the kernels of this processor.
// python/tdn/deployment/fused.py lists their names.
#pragma once

#include "aligned_buffer.h"
#include "archive/named_arrays.h"
#include "errors.h"
#include "kernels.h"
#include "pair_tables.h"

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace tdn {

/// Packs named arrays and owns the result. Throws tdn::Error if one is missing.
template <typename T> class TDN_EXPORT WeightPacker {
 public:
  /// Reads coupling, cutoff and the constants; the sizes come from `query`, the name of
  /// an array (n_heads, channels per head). `named` must outlive the packing.
  WeightPacker(const NamedArrays &named, const fused::Kernels<T> &kernels,
               const std::string &query);
  WeightPacker(const WeightPacker &) = delete;
  WeightPacker &operator=(const WeightPacker &) = delete;

  const fused::Model<T> &model() const { return model_; }
  const Array &need(const std::string &name) const;
  double number(const std::string &name) const;
  /// A number that older archives lack, or the value with which these were made.
  double number(const std::string &name, double of_older) const;
  /// A copy whose last dimension, the channels, is padded.
  const T *padded(const Array &rows);
  /// Part `part` of the rows of a matrix (n_out, n_in) and its bias, divided into `n_parts`.
  fused::Linear<T> linear(const std::string &name, bool has_bias = true, int part = 0,
                          int n_parts = 1);
  fused::Norm<T> norm(const std::string &name);
  fused::Radial<T> radial(const std::string &name);
  /// Only the weights that the edge work of a layer reads; `prefix` is "" or ends with a dot.
  fused::Layer<T> edge_layer(const std::string &prefix);
  double bytes() const;
  /// Throws tdn::Error if a weight was not read: only a newer version knows its meaning.
  void check_all_read() const;

 private:
  const NamedArrays &named_;
  mutable std::set<std::string, std::less<>> read_;
  const fused::Kernels<T> &kernels_;
  fused::Model<T> model_{};
  std::deque<AlignedBuffer<T>> storage_;
  std::vector<typename fused::Model<T>::Term> terms_;
  std::vector<int> first_term_;

  const T *keep(const Array &values);
  const T *padded(const double *rows, int64_t n_rows, int64_t width);
  void set_masks();
  void set_coupling(const Array &coupling);
};

/// All weights of a network.
template <typename T> class TDN_EXPORT FusedWeights {
 public:
  FusedWeights(const NamedArrays &named, const fused::Kernels<T> &kernels);

  const fused::Model<T> &model() const { return packer_.model(); }
  fused::Embedding<T> embedding;
  std::vector<fused::Layer<T>> layers;
  fused::Readout<T> readout;
  std::optional<fused::Layer<T>> force_head;
  const T *force_project = nullptr;    // (stride)
  PairTables pair_term;
  double energy_scale = 1;
  std::vector<double> reference_energies;
  /// Whether edges fade out at the cutoff (md); if not, an atom without edges has no energy
  /// (paper).
  bool smooth() const { return model().envelope_power > 0; }

 private:
  WeightPacker<T> packer_;

  fused::Layer<T> attention_layer(const std::string &prefix);
  void add_feed_forward(const std::string &prefix, fused::Layer<T> &layer);
};

}    // namespace tdn

// Interface of a backend: buffers and kernels for one kind of device. A new device needs only
// another implementation.
//
// x_k are the features (n_owned, d, channels) that layer k reads, x_n_layers those that the head
// reads. `rows` are read from neighbors in a layer, own rows first and then those of other ranks.
#pragma once

#include "evaluator.h"

namespace tdn {

/// What one evaluation stores and what it recomputes; the same for every backend.
struct PassPlan {
  ForceKind kind = ForceKind::GRADIENT;
  int n_layers = 0;

  /// Layers store what the gradient needs.
  bool recorded() const { return kind != ForceKind::DIRECT; }
  /// Whether all rows of x_(layer + 1) are read: without a direct head only the scalars of the last
  /// are.
  bool gives_all_rows(int layer) const
  {
    return layer + 1 < n_layers || kind != ForceKind::GRADIENT;
  }
  /// x_0 lends its buffer to the last layer, since the embedding is cheap to recompute.
  bool embeds_again() const { return recorded() && n_layers > 2; }
  /// Buffer of x_k: all layers keep theirs for the gradient; without one, they alternate.
  int slot_of_input(int k) const
  {
    if (!recorded()) return k % 2;
    return k == 0 && embeds_again() ? n_layers - 1 : k;
  }
  /// Buffers of a layer's sums and attention weights.
  int slot_of_layer(int layer) const { return recorded() ? layer : 0; }
  /// Whether `rows` belong to another layer, or to the head, when the gradient reaches this layer.
  bool restores_rows(int layer) const
  {
    return layer + 1 < n_layers || kind == ForceKind::CORRECTION;
  }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual int n_layers() const = 0;
  virtual Device device() const = 0;
  virtual Precision precision() const = 0;
  /// Name of its kernels ("avx512").
  virtual std::string name() const = 0;

  /// Takes a graph, which must exist until the results are read, and allocates buffers.
  virtual void start(const NeighborGraph::View &graph, int64_t n_rows, const PassPlan &plan,
                     int n_threads) = 0;
  virtual void embed() = 0;                            ///< x_0
  virtual void send(int layer) = 0;                    ///< own rows
  virtual void fill(FeatureExchange &exchange) = 0;    ///< rows of other ranks
  virtual void keep_remote(int layer) = 0;             ///< rows of other ranks, for the gradient
  virtual void restore_remote(int layer) = 0;
  virtual void update(int layer) = 0;    ///< x_(layer + 1)
  virtual void readout() = 0;            ///< energies and, if recorded, their gradient by x
  /// Adds the model's pair term, if it has one, to the energies and, if recorded, to their
  /// gradient by the edges.
  virtual void pair_energy() = 0;
  virtual void send_to_head() = 0;    ///< own rows of the direct head
  virtual void direct_forces() = 0;

  virtual void start_backward() = 0;
  /// Gradient by x_(layer + 1) -> by x_layer and by rows; adds to the gradient by the edges.
  virtual void update_vjp(int layer) = 0;
  /// Adds the gradient by copies of own rows, including those on other ranks.
  virtual void fold(FeatureExchange &exchange) = 0;
  virtual void send_vjp(int layer) = 0;    ///< adds the gradient by own rows to that by x_layer
  virtual void embed_vjp() = 0;
  virtual Evaluation results() = 0;

  /// Values of the head after `readout`, (n_owned).
  virtual std::vector<double> head_values() const = 0;
  /// Head values of isolated atoms by species, the zero of energy; by default zeros.
  virtual void set_isolated(std::vector<double> values) = 0;
  /// Whether edges fade out at the cutoff; if not, an atom without edges has no energy.
  virtual bool smooth() const = 0;

  virtual double kept_bytes() const = 0;
  virtual void release() = 0;
  virtual void start_times() = 0;
  virtual std::map<std::string, double> times() const = 0;
};

}    // namespace tdn

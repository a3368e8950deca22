// State of the CPU backend in an evaluation, and the arrays of its stages.
#pragma once

#include "engine/backend.h"
#include "pass_buffers.h"
#include "row_padding.h"
#include "weights.h"
#include "workers.h"

#include <omp.h>

namespace tdn {

template <typename T> struct CpuState {
  CpuState(const NamedArrays &named, const std::vector<int> &species, int n_elements)
      : kernels(fused::kernels<T>()), weights(named, kernels),
        slot_of_pair(n_elements * n_elements, -1)
  {
    int slot = 0;
    for (const int a : species)
      for (const int b : species) slot_of_pair[a * n_elements + b] = slot++;
  }

  const fused::Kernels<T> &kernels;
  const FusedWeights<T> weights;
  std::vector<int32_t> slot_of_pair;
  PassBuffers<T> buffers;
  Workers<T> workers;

  // one evaluation
  NeighborGraph::View graph;
  PassPlan plan;
  int64_t n_rows = 0;
  fused::Edges<T> edges{};

  void start(const NeighborGraph::View &seen, int64_t rows, const PassPlan &planned, int n_threads)
  {
    graph = seen;
    plan = planned;
    n_rows = rows;
    T *gradients = nullptr;
    if (plan.recorded()) {
      gradients = room(buffers.edge_gradients, 3 * graph.n_edges);
      std::fill_n(gradients, 3 * graph.n_edges, T(0));
    }
    edges = {.first = graph.first_edge,
             .neighbor = graph.neighbor,
             .pair = graph.pair,
             .slot_of_pair = slot_of_pair.data(),
             .vectors = vectors_of_graph(),
             .gradients = gradients,
             .target = nullptr};
    workers.divide(graph.first_edge, graph.n_owned,
                   n_threads > 0 ? n_threads : omp_get_max_threads(),
                   kernels.scratch_size(model()));
  }

  static T *room(auto &buffer, auto... size) { return PassBuffers<T>::room(buffer, size...); }
  const fused::Model<T> &model() const { return weights.model(); }
  int64_t n_owned() const { return graph.n_owned; }
  int64_t stride() const { return model().stride; }
  int64_t width() const { return model().d * stride(); }
  int64_t remote_size() const { return (n_rows - n_owned()) * width(); }
  T *remote_rows() const { return buffers.rows.data() + n_owned() * width(); }

  /// The graph's vectors, unless it was made for a model of another precision.
  const T *vectors_of_graph()
  {
    if (graph.precision == PRECISION_OF<T>) return static_cast<const T *>(graph.vectors);
    T *out = room(buffers.vectors, 3 * graph.n_edges);
    with_numbers({const_cast<void *>(graph.vectors), graph.n_edges, 3, graph.precision},
                 [&](const auto *from) {
                   for (int64_t k = 0; k < 3 * graph.n_edges; ++k) out[k] = static_cast<T>(from[k]);
                 });
    return out;
  }

  T *input_of(int k) { return room(buffers.x, plan.slot_of_input(k), n_owned() * width()); }

  fused::LayerArrays<T> arrays_of(int layer)
  {
    const int slot = plan.slot_of_layer(layer), d = plan.gives_all_rows(layer) ? model().d : 1;
    return {.x = input_of(layer),
            .rows = buffers.rows.data(),
            .attended = room(buffers.attended, slot, n_owned() * d * stride()),
            .attention = room(buffers.attention, slot, graph.n_edges * model().n_heads),
            .d_out = d};
  }

  RowPadding<T> padding(const AlignedBuffer<T> &rows) const
  {
    return {rows.data(), n_rows, model().d, model().n_channels, stride()};
  }
};

}    // namespace tdn

#include "cpu_backend.h"

#include "cpu_state.h"

namespace tdn {

namespace {

template <typename T> class CpuBackend : public Backend {
 public:
  CpuBackend(const NamedArrays &named, const std::vector<int> &species, int n_elements)
      : state_(named, species, n_elements), isolated_(n_elements, 0.0)
  {
  }

  int n_layers() const override { return static_cast<int>(state_.weights.layers.size()); }
  Device device() const override { return {}; }
  Precision precision() const override { return PRECISION_OF<T>; }
  std::string name() const override { return state_.kernels.name; }
  bool smooth() const override { return state_.weights.smooth(); }
  void set_isolated(std::vector<double> values) override { isolated_ = std::move(values); }
  std::vector<double> head_values() const override
  {
    return {state_.buffers.values.data(), state_.buffers.values.data() + state_.graph.n_owned};
  }

  double kept_bytes() const override { return state_.buffers.bytes() + state_.workers.bytes(); }
  void release() override
  {
    state_.buffers = {};
    state_.workers.release();
  }
  void start_times() override { state_.workers.start_times(); }
  std::map<std::string, double> times() const override { return state_.workers.times(); }

  void start(const NeighborGraph::View &graph, int64_t n_rows, const PassPlan &plan,
             int n_threads) override
  {
    state_.start(graph, n_rows, plan, n_threads);
  }

  void embed() override
  {
    T *x = state_.input_of(0);
    state_.workers.run([&](int, const fused::Range<T> &range) {
      state_.kernels.embed(state_.model(), state_.weights.embedding, state_.edges,
                           state_.graph.species, x, range);
    });
  }

  void send(int layer) override { send(state_.weights.layers[layer], state_.input_of(layer)); }

  /// Channels in messages have no padding.
  void fill(FeatureExchange &exchange) override
  {
    state_.workers.run_exchange([&] {
      state_.padding(state_.buffers.rows).apply(state_.buffers.unpadded, [&](const Rows &r) {
        exchange.fill(r);
      });
    });
  }

  void keep_remote(int layer) override
  {
    if (const int64_t n = state_.remote_size(); n > 0)
      std::copy_n(state_.remote_rows(), n, state_.room(state_.buffers.remote, layer, n));
  }

  void restore_remote(int layer) override
  {
    if (const int64_t n = state_.remote_size(); n > 0)
      std::copy_n(state_.buffers.remote[layer].data(), n, state_.remote_rows());
  }

  void update(int layer) override
  {
    const auto arrays = state_.arrays_of(layer);
    T *next = state_.plan.gives_all_rows(layer)
                  ? state_.input_of(layer + 1)
                  : state_.room(state_.buffers.scalars, state_.n_owned() * state_.stride());
    state_.workers.run([&](int, const fused::Range<T> &range) {
      state_.kernels.update(state_.model(), state_.weights.layers[layer], state_.edges, arrays,
                            next, range);
    });
  }

  /// d E / d x of the scalar rows stays in grad_scalars.
  void readout() override
  {
    const int64_t n = state_.n_owned() * state_.stride();
    T *scalars = state_.room(state_.buffers.scalars, n),
      *values = state_.room(state_.buffers.values, state_.n_owned());
    if (state_.plan.gives_all_rows(n_layers() - 1))
      for (int64_t i = 0; i < state_.n_owned(); ++i)
        std::copy_n(state_.input_of(n_layers()) + i * state_.width(), state_.stride(),
                    scalars + i * state_.stride());
    T *gradient = state_.plan.recorded() ? state_.room(state_.buffers.grad_scalars, n) : nullptr;
    state_.workers.run([&](int, const fused::Range<T> &range) {
      state_.kernels.readout(state_.model(), state_.weights.readout, scalars, values, gradient,
                             range);
    });
    const T scale = static_cast<T>(state_.weights.energy_scale);
    for (int64_t k = 0; gradient && k < n; ++k) gradient[k] *= scale;
    set_energies(values);
  }

  void pair_energy() override
  {
    const auto &term = state_.weights.pair_term;
    if (term.empty()) return;
    double *energies = state_.buffers.energies.data();
    state_.workers.run([&](int, const fused::Range<T> &range) {
      term.add(state_.edges, range.begin, range.end, energies);
      range.lap(fused::GEOMETRY);
    });
  }

  void send_to_head() override { send(*state_.weights.force_head, state_.input_of(n_layers())); }

  void direct_forces() override
  {
    const fused::LayerArrays<T> arrays{
        .x = state_.input_of(n_layers()),
        .rows = state_.buffers.rows.data(),
        .attended = state_.room(state_.buffers.head_attended, state_.n_owned() * state_.width()),
        .attention = state_.room(state_.buffers.head_attention,
                                 state_.graph.n_edges * state_.model().n_heads),
        .d_out = state_.model().d};
    state_.workers.run([&](int, const fused::Range<T> &range) {
      state_.kernels.update(state_.model(), *state_.weights.force_head, state_.edges, arrays,
                            nullptr, range);
    });
    T *forces = state_.room(state_.buffers.forces, 3 * state_.n_owned());
    for (int64_t i = 0; i < state_.n_owned(); ++i)
      for (int k = 0; k < 3; ++k) {
        const T *row = arrays.attended + i * state_.width() + (k + 1) * state_.stride();
        T sum = 0;
        for (int c = 0; c < state_.model().n_channels; ++c)
          sum += state_.weights.force_project[c] * row[c];
        forces[3 * i + k] = sum;
      }
  }

  void start_backward() override
  {
    state_.workers.set_direction(Workers<T>::BACKWARD);
    T *grad_x = state_.room(state_.buffers.grad_x, state_.n_owned() * state_.width());
    state_.room(state_.buffers.grad_rows, state_.n_rows * state_.width());
    state_.workers.parts().number_rows(state_.edges.first, state_.edges.neighbor, state_.n_rows);
    state_.edges.target = state_.workers.parts().target();
    if (!state_.plan.gives_all_rows(n_layers() - 1)) return;
    const T *scalars = state_.buffers.grad_scalars.data();
    std::fill_n(grad_x, state_.n_owned() * state_.width(), T(0));
    for (int64_t i = 0; i < state_.n_owned(); ++i)
      std::copy_n(scalars + i * state_.stride(), state_.stride(), grad_x + i * state_.width());
  }

  void update_vjp(int layer) override
  {
    T *grad_x = state_.buffers.grad_x.data(), *grad_rows = state_.buffers.grad_rows.data();
    const T *grad_next =
        state_.plan.gives_all_rows(layer) ? grad_x : state_.buffers.grad_scalars.data();
    const auto copies = clear_rows(grad_rows);
    const auto arrays = state_.arrays_of(layer);
    state_.workers.run([&](int part, const fused::Range<T> &range) {
      state_.kernels.update_vjp(state_.model(), state_.weights.layers[layer], state_.edges, arrays,
                                grad_next, grad_x, copies[part], range);
    });
    sum_copies(copies, grad_rows);
  }

  void fold(FeatureExchange &exchange) override
  {
    state_.workers.run_exchange([&] {
      state_.padding(state_.buffers.grad_rows).apply(state_.buffers.unpadded, [&](const Rows &r) {
        exchange.fold(r);
      });
    });
  }

  void send_vjp(int layer) override
  {
    state_.workers.run([&](int, const fused::Range<T> &range) {
      state_.kernels.send_vjp(state_.model(), state_.weights.layers[layer], state_.input_of(layer),
                              state_.buffers.grad_rows.data(), state_.buffers.grad_x.data(), range);
    });
  }

  void embed_vjp() override
  {
    state_.workers.run([&](int, const fused::Range<T> &range) {
      state_.kernels.embed_vjp(state_.model(), state_.weights.embedding, state_.edges,
                               state_.buffers.grad_x.data(), range);
    });
  }

  Evaluation results() override
  {
    Evaluation out;
    out.atom_energies = state_.buffers.energies.data();
    if (state_.plan.recorded())
      out.edge_gradients =
          Rows{state_.buffers.edge_gradients.data(), state_.graph.n_edges, 3, precision()};
    if (state_.plan.kind != ForceKind::GRADIENT)
      out.direct_forces = Rows{state_.buffers.forces.data(), state_.n_owned(), 3, precision()};
    return out;
  }

 private:
  CpuState<T> state_;
  std::vector<double> isolated_;

  void send(const fused::Layer<T> &layer, const T *x)
  {
    T *rows = state_.room(state_.buffers.rows, state_.n_rows * state_.width());
    state_.workers.run([&](int, const fused::Range<T> &range) {
      state_.kernels.send(state_.model(), layer, x, rows, range);
    });
  }

  void set_energies(const T *values)
  {
    double *out = state_.buffers.energies.at_least(
        static_cast<size_t>(std::max<int64_t>(state_.n_owned(), 1)));
    for (int64_t i = 0; i < state_.n_owned(); ++i) {
      const int64_t species = state_.graph.species[i];
      const bool bonded =
          state_.weights.smooth() || state_.edges.first[i] < state_.edges.first[i + 1];
      const double value = bonded ? static_cast<double>(values[i]) : 0.0;
      out[i] = (value - isolated_[species]) * state_.weights.energy_scale +
               state_.weights.reference_energies[species];
    }
  }

  /// Rows to which each part adds: the first adds to the rows themselves.
  std::vector<T *> clear_rows(T *grad_rows)
  {
    const auto &parts = state_.workers.parts();
    std::vector<T *> copies{grad_rows};
    for (int part = 1; part < parts.size(); ++part)
      copies.push_back(
          state_.room(state_.buffers.copies, part, parts.n_copies(part) * state_.width()));
    state_.workers.run([&](int part, const fused::Range<T> &) {
      std::fill_n(copies[part], (part ? parts.n_copies(part) : state_.n_rows) * state_.width(),
                  T(0));
    });
    return copies;
  }

  void sum_copies(const std::vector<T *> &copies, T *grad_rows)
  {
    const auto &parts = state_.workers.parts();
    const int n = parts.size();
    if (n == 1) return;
    state_.workers.run([&](int part, const fused::Range<T> &) {
      parts.add_copies(copies, grad_rows, state_.width(), state_.n_rows * part / n,
                       state_.n_rows * (part + 1) / n);
    });
  }
};

}    // namespace

std::unique_ptr<Backend> make_cpu_backend(const NamedArrays &weights, Precision precision,
                                          const std::vector<int> &species, int n_elements)
{
  if (precision == Precision::FLOAT64)
    return std::make_unique<CpuBackend<double>>(weights, species, n_elements);
  return std::make_unique<CpuBackend<float>>(weights, species, n_elements);
}

}    // namespace tdn

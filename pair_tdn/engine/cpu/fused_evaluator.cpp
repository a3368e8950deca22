#include "fused_evaluator.h"

#include "archive/archive_schema.h"
#include "edge_parts.h"
#include "weights.h"

#include <ATen/Parallel.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/jit/api/module.h>

#include <algorithm>
#include <ctime>

namespace tdn {

namespace {

constexpr int MAX_DEGREE = 3;

/// Weights by name for the pairs of some species.
NamedTensors named_weights(const torch::jit::Module &module, const std::vector<int> &species,
                           int n_elements)
{
  std::vector<int64_t> pairs;
  for (const int a : species)
    for (const int b : species) pairs.push_back(static_cast<int64_t>(a) * n_elements + b);
  const c10::AutoGradMode off(false);
  const auto dict = module.get_method(schema::FUSED_WEIGHTS)({at::tensor(pairs)}).toGenericDict();
  NamedTensors named;
  for (const auto &item : dict) named.insert(item.key().toStringRef(), item.value().toTensor());
  return named;
}

/// Before the tables of many elements fill the memory: looks at those of at most two elements.
void check_tables(const torch::jit::Module &module, const EvaluatorOptions &options, int n_elements)
{
  constexpr double LIMIT = 2e9;
  auto few = options.species;
  few.resize(std::min<size_t>(few.size(), 2));
  double numbers = 0;    // grows with every pair, unless the networks do not see the elements
  for (const auto &item : named_weights(module, few, n_elements))
    if (item.key().ends_with("table") &&
        item.value().size(0) == static_cast<int64_t>(few.size() * few.size()))
      numbers += static_cast<double>(item.value()[0].numel());
  const auto n = static_cast<double>(options.species.size());
  // six coefficients of each interval for three numbers of each knot
  const double bytes = 2 * n * n * numbers * static_cast<double>(c10::elementSize(options.dtype));
  if (bytes > LIMIT)
    throw Error("the radial tables of " + std::to_string(options.species.size()) +
                " elements need " + std::to_string(static_cast<int64_t>(bytes / 1e6)) +
                " MB, more than 2000: name fewer elements in a run, or use engine script");
}

template <typename T> class FusedEvaluator : public Evaluator {
 public:
  FusedEvaluator(const NamedTensors &named, const std::vector<int> &species, int n_elements)
      : Evaluator(species), kernels_(fused::kernels<T>()), weights_(named, kernels_),
        n_elements_(n_elements), slot_of_pair_(n_elements_ * n_elements_, -1)
  {
    int slot = 0;
    for (const int a : species)
      for (const int b : species) slot_of_pair_[a * n_elements_ + b] = slot++;
    isolated_.assign(n_elements_, 0.0);
    if (weights_.smooth()) isolated_ = values_of_isolated_atoms();
  }

  Evaluation evaluate(const NeighborGraph::Tensors &graph, FeatureExchange &exchange,
                      ForceKind kind) override
  {
    start(graph, exchange, kind);
    forward();
    Evaluation result;
    result.atom_energies = energies();
    if (kind_ != ForceKind::GRADIENT) result.direct_forces = direct_forces();
    if (kind_ != ForceKind::DIRECT) result.edge_gradients = backward();
    graph_ = {};    // what the caller lent
    return result;
  }

  c10::Device device() const override { return c10::kCPU; }
  at::ScalarType dtype() const override { return c10::CppTypeToScalarType<T>::value; }
  std::string name() const override { return std::string("fused ") + kernels_.name; }

  double kept_bytes() const override
  {
    double sum = parts_.bytes();
    for (const auto *list : {&x_, &attended_, &attention_, &remote_, &scratch_, &copies_})
      for (const auto &buffer : *list) sum += buffer.bytes();
    for (const auto *buffer : {&rows_, &grad_rows_, &grad_x_, &scalars_, &grad_scalars_, &values_,
                               &edge_gradients_, &forces_, &head_attended_, &head_attention_})
      sum += buffer->bytes();
    return sum + energies_.bytes();
  }

  void start_times() override
  {
    timed_ = true;
    for (auto &pass : spent_) std::fill(std::begin(pass), std::end(pass), 0.0);
    seconds_in_exchange_ = 0;
  }

  std::map<std::string, double> times() const override
  {
    static constexpr const char *STAGES[] = {"nodes", "geometry", "messages", "products",
                                             "attention"};
    std::map<std::string, double> out{{"exchange", seconds_in_exchange_}};
    for (int pass = 0; pass < 2; ++pass)
      for (int stage = 0; stage < fused::N_STAGES; ++stage)
        out[std::string(pass ? "backward " : "forward ") + STAGES[stage]] = spent_[pass][stage];
    return out;
  }

  void release() override
  {
    for (auto *list : {&x_, &attended_, &attention_, &remote_, &scratch_, &copies_}) list->clear();
    for (auto *buffer : {&rows_, &grad_rows_, &grad_x_, &scalars_, &grad_scalars_, &values_,
                         &edge_gradients_, &forces_, &head_attended_, &head_attention_})
      buffer->release();
    energies_.release();
    parts_ = EdgeParts();
  }

 private:
  using Buffer = AlignedBuffer<T>;

  const fused::Kernels<T> &kernels_;
  const FusedWeights<T> weights_;
  const int n_elements_;
  std::vector<int32_t> slot_of_pair_;
  std::vector<double> isolated_;    // the head's value of an atom without edges, by species

  // one evaluation
  NeighborGraph::Tensors graph_;
  FeatureExchange *exchange_ = nullptr;
  ForceKind kind_ = ForceKind::GRADIENT;
  int64_t n_owned_ = 0, n_rows_ = 0, n_edges_ = 0;
  fused::Edges<T> edges_{};
  EdgeParts parts_;

  // times, when they are asked for
  bool timed_ = false;
  int pass_ = 0;    // 0 forward, 1 backward
  std::vector<fused::Stopwatch> watches_;
  double spent_[2][fused::N_STAGES] = {};
  double seconds_in_exchange_ = 0;

  // kept from step to step; the lists have one buffer per layer when a gradient is wanted
  std::vector<Buffer> x_, attended_, attention_, remote_, scratch_, copies_;
  Buffer rows_, grad_rows_, grad_x_, scalars_, grad_scalars_, values_, edge_gradients_, forces_,
      head_attended_, head_attention_;
  AlignedBuffer<double> energies_;

  bool recorded() const { return kind_ != ForceKind::DIRECT; }
  int n_layers() const { return static_cast<int>(weights_.layers.size()); }
  int d() const { return weights_.model().d; }
  int64_t stride() const { return weights_.model().stride; }
  int64_t width() const { return d() * stride(); }
  /// Rows that are read of a layer's result: of the last only the scalars, but for a direct head.
  int d_out(int layer) const
  {
    return layer + 1 == n_layers() && kind_ == ForceKind::GRADIENT ? 1 : d();
  }

  static T *room(std::vector<Buffer> &list, int k, int64_t n)
  {
    if (list.size() <= static_cast<size_t>(k)) list.resize(k + 1);
    return room(list[k], n);
  }
  static T *room(Buffer &buffer, int64_t n)
  {
    return buffer.at_least(static_cast<size_t>(std::max<int64_t>(n, 1)));
  }

  void start(const NeighborGraph::Tensors &graph, FeatureExchange &exchange, ForceKind kind)
  {
    graph_ = {.species = graph.species.contiguous(),
              .first_edge = graph.first_edge.contiguous(),
              .neighbor = graph.neighbor.contiguous(),
              .pair = graph.pair.contiguous(),
              .vectors = graph.vectors.to(dtype()).contiguous()};
    exchange_ = &exchange;
    kind_ = kind;
    n_owned_ = graph.n_owned();
    n_edges_ = graph.n_edges();
    n_rows_ = exchange.n_rows();
    T *gradients = nullptr;
    if (recorded()) {
      gradients = room(edge_gradients_, 3 * n_edges_);
      std::fill_n(gradients, 3 * n_edges_, T(0));
    }
    edges_ = {.first = graph_.first_edge.template const_data_ptr<int64_t>(),
              .neighbor = graph_.neighbor.template const_data_ptr<int32_t>(),
              .pair = graph_.pair.template const_data_ptr<int32_t>(),
              .slot_of_pair = slot_of_pair_.data(),
              .vectors = graph_.vectors.template const_data_ptr<T>(),
              .gradients = gradients,
              .target = nullptr};
    parts_.divide(edges_.first, n_owned_, at::get_num_threads());
    for (int part = 0; part < parts_.size(); ++part)
      room(scratch_, part, static_cast<int64_t>(kernels_.scratch_size(weights_.model())));
  }

  /// work(part, range of centers) in one thread per part
  template <typename Work> void in_parts(Work work)
  {
    const int n = parts_.size();
    watches_.assign(n, {.now = nanoseconds, .last = 0, .spent = {}});
#pragma omp parallel for schedule(static, 1) num_threads(n) if (n > 1)
    for (int part = 0; part < n; ++part) {
      watches_[part].last = timed_ ? nanoseconds() : 0;
      work(part, fused::Range<T>{.begin = parts_.begin(part),
                                 .end = parts_.end(part),
                                 .scratch = scratch_[part].data(),
                                 .watch = timed_ ? &watches_[part] : nullptr});
    }
    for (const auto &watch : watches_)
      for (int stage = 0; stage < fused::N_STAGES; ++stage)
        spent_[pass_][stage] += 1e-9 * static_cast<double>(watch.spent[stage]);
  }

  static int64_t nanoseconds()
  {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return 1000000000 * static_cast<int64_t>(now.tv_sec) + now.tv_nsec;
  }

  /// Buffers of layer k: all layers keep theirs for the gradient, else they take turns. The first
  /// lends its own to the last, since the embedding is cheap to compute again.
  bool lends_first() const { return recorded() && n_layers() > 2; }
  T *x_of(int k)
  {
    const int slot = k == 0 && lends_first() ? n_layers() - 1 : k;
    return room(x_, recorded() ? slot : k % 2, n_owned_ * width());
  }
  fused::LayerArrays<T> arrays_of(int k)
  {
    const int slot = recorded() ? k : 0;
    return {.x = x_of(k),
            .rows = rows_.data(),
            .attended = room(attended_, slot, n_owned_ * d_out(k) * stride()),
            .attention = room(attention_, slot, n_edges_ * weights_.model().n_heads),
            .d_out = d_out(k)};
  }

  void embed()
  {
    T *x = x_of(0);
    in_parts([&](int, const fused::Range<T> &range) {
      kernels_.embed(weights_.model(), weights_.embedding, edges_,
                     graph_.species.template const_data_ptr<int64_t>(), x, range);
    });
  }

  void forward()
  {
    pass_ = 0;
    embed();
    for (int k = 0; k < n_layers(); ++k) {
      send(weights_.layers[k], x_of(k));
      fill_rows();
      keep_remote(k);
      const auto arrays = arrays_of(k);
      T *next = k + 1 < n_layers() ? x_of(k + 1) : last_x();
      in_parts([&](int, const fused::Range<T> &range) {
        kernels_.update(weights_.model(), weights_.layers[k], edges_, arrays, next, range);
      });
    }
  }

  /// Result of the last layer: scalar rows, or all rows when a direct head reads them.
  T *last_x()
  {
    if (d_out(n_layers() - 1) == 1) return room(scalars_, n_owned_ * stride());
    return room(x_, recorded() ? n_layers() : n_layers() % 2, n_owned_ * width());
  }

  void send(const fused::Layer<T> &layer, const T *x)
  {
    T *rows = room(rows_, n_rows_ * width());
    in_parts([&](int, const fused::Range<T> &range) {
      kernels_.send(weights_.model(), layer, x, rows, range);
    });
  }

  at::Tensor as_rows(T *rows) const
  {
    return at::from_blob(rows, {n_rows_, d(), stride()}, at::dtype(dtype()));
  }

  /// Messages hold channels without padding.
  template <typename Verb> void exchange_rows(T *rows, Verb verb)
  {
    const int64_t begin = timed_ ? nanoseconds() : 0;
    exchange_unpadded(rows, verb);
    if (timed_) seconds_in_exchange_ += 1e-9 * static_cast<double>(nanoseconds() - begin);
  }

  template <typename Verb> void exchange_unpadded(T *rows, Verb verb)
  {
    const auto padded = as_rows(rows);
    const int64_t n_channels = weights_.model().n_channels;
    if (stride() == n_channels) return verb(padded.view({n_rows_, width()}));
    const auto inner = padded.slice(2, 0, n_channels);
    const auto plain = inner.clone(at::MemoryFormat::Contiguous).view({n_rows_, d() * n_channels});
    verb(plain);
    padded.slice(2, n_channels).zero_();
    inner.copy_(plain.view(inner.sizes()));
  }

  void fill_rows()
  {
    exchange_rows(rows_.data(), [&](const at::Tensor &rows) { exchange_->fill(rows); });
  }

  /// Rows of other ranks are needed again for the gradient; own rows are computed anew.
  void keep_remote(int k)
  {
    const int64_t n = (n_rows_ - n_owned_) * width();
    if (recorded() && n > 0) std::copy_n(rows_.data() + n_owned_ * width(), n, room(remote_, k, n));
  }

  void restore_rows(int k)
  {
    send(weights_.layers[k], x_of(k));
    const int64_t n = (n_rows_ - n_owned_) * width();
    if (n > 0) std::copy_n(remote_[k].data(), n, rows_.data() + n_owned_ * width());
  }

  /// Values of the head -> energies; d E / d x of the scalar rows stays in grad_scalars_.
  at::Tensor energies()
  {
    const int64_t n = n_owned_ * stride();
    T *scalars = room(scalars_, n), *values = room(values_, n_owned_);
    if (d_out(n_layers() - 1) > 1)
      for (int64_t i = 0; i < n_owned_; ++i)
        std::copy_n(last_x() + i * width(), stride(), scalars + i * stride());
    T *gradient = recorded() ? room(grad_scalars_, n) : nullptr;
    in_parts([&](int, const fused::Range<T> &range) {
      kernels_.readout(weights_.model(), weights_.readout, scalars, values, gradient, range);
    });
    const T scale = static_cast<T>(weights_.energy_scale);
    if (gradient)
      for (int64_t k = 0; k < n; ++k) gradient[k] *= scale;
    double *out = energies_.at_least(static_cast<size_t>(std::max<int64_t>(n_owned_, 1)));
    const int64_t *species = graph_.species.template const_data_ptr<int64_t>();
    for (int64_t i = 0; i < n_owned_; ++i) {
      const bool bonded = weights_.smooth() || edges_.first[i] < edges_.first[i + 1];
      const double value = bonded ? static_cast<double>(values[i]) : 0.0;
      out[i] = (value - isolated_[species[i]]) * weights_.energy_scale +
               weights_.reference_energies[species[i]];
    }
    return at::from_blob(out, {n_owned_}, at::dtype(at::kDouble));
  }

  at::Tensor backward()
  {
    pass_ = 1;
    T *grad_x = room(grad_x_, n_owned_ * width());
    T *grad_rows = room(grad_rows_, n_rows_ * width());
    parts_.number_rows(edges_.first, edges_.neighbor, n_rows_);
    edges_.target = parts_.target();
    const T *grad_next = grad_scalars_.data();
    if (d_out(n_layers() - 1) > 1) {
      std::fill_n(grad_x, n_owned_ * width(), T(0));
      for (int64_t i = 0; i < n_owned_; ++i)
        std::copy_n(grad_scalars_.data() + i * stride(), stride(), grad_x + i * width());
      grad_next = grad_x;
    }
    for (int k = n_layers() - 1; k >= 0; --k, grad_next = grad_x)
      backward_layer(k, grad_next, grad_x, grad_rows);
    in_parts([&](int, const fused::Range<T> &range) {
      kernels_.embed_vjp(weights_.model(), weights_.embedding, edges_, grad_x, range);
    });
    return at::from_blob(edge_gradients_.data(), {n_edges_, 3}, at::dtype(dtype()));
  }

  void backward_layer(int k, const T *grad_next, T *grad_x, T *grad_rows)
  {
    const auto &layer = weights_.layers[k];
    if (k == 0 && lends_first()) embed();
    if (k + 1 < n_layers() || kind_ == ForceKind::CORRECTION) restore_rows(k);
    const auto copies = clear_rows(grad_rows);
    const auto arrays = arrays_of(k);
    in_parts([&](int part, const fused::Range<T> &range) {
      kernels_.update_vjp(weights_.model(), layer, edges_, arrays, grad_next, grad_x, copies[part],
                          range);
    });
    sum_copies(copies, grad_rows);
    exchange_rows(grad_rows, [&](const at::Tensor &rows) { exchange_->fold(rows); });
    in_parts([&](int, const fused::Range<T> &range) {
      kernels_.send_vjp(weights_.model(), layer, arrays.x, grad_rows, grad_x, range);
    });
  }

  /// Where each part adds: the first to the rows themselves.
  std::vector<T *> clear_rows(T *grad_rows)
  {
    std::vector<T *> copies{grad_rows};
    for (int part = 1; part < parts_.size(); ++part)
      copies.push_back(room(copies_, part, parts_.n_copies(part) * width()));
    in_parts([&](int part, const fused::Range<T> &) {
      std::fill_n(copies[part], (part ? parts_.n_copies(part) : n_rows_) * width(), T(0));
    });
    return copies;
  }

  void sum_copies(const std::vector<T *> &copies, T *grad_rows)
  {
    const int n = parts_.size();
    if (n == 1) return;
    in_parts([&](int part, const fused::Range<T> &) {
      parts_.add_copies(copies, grad_rows, width(), n_rows_ * part / n, n_rows_ * (part + 1) / n);
    });
  }

  at::Tensor direct_forces()
  {
    const auto &head = *weights_.force_head;
    const T *x = last_x();
    send(head, x);
    fill_rows();
    const fused::LayerArrays<T> arrays{
        .x = x,
        .rows = rows_.data(),
        .attended = room(head_attended_, n_owned_ * width()),
        .attention = room(head_attention_, n_edges_ * weights_.model().n_heads),
        .d_out = d()};
    in_parts([&](int, const fused::Range<T> &range) {
      kernels_.update(weights_.model(), head, edges_, arrays, nullptr, range);
    });
    T *forces = room(forces_, 3 * n_owned_);
    for (int64_t i = 0; i < n_owned_; ++i)
      for (int k = 0; k < 3; ++k) {
        const T *row = arrays.attended + i * width() + (k + 1) * stride();
        T sum = 0;
        for (int c = 0; c < weights_.model().n_channels; ++c)
          sum += weights_.force_project[c] * row[c];
        forces[3 * i + k] = sum;
      }
    return at::from_blob(forces, {n_owned_, 3}, at::dtype(dtype()));
  }

  std::vector<double> values_of_isolated_atoms()
  {
    const auto none = at::zeros({0}, at::kInt);
    const NeighborGraph::Tensors graph{.species = at::arange(n_elements_, at::kLong),
                                       .first_edge = at::zeros({n_elements_ + 1}, at::kLong),
                                       .neighbor = none,
                                       .pair = none,
                                       .vectors = at::zeros({0, 3}, dtype())};
    LocalExchange exchange(n_elements_);
    start(graph, exchange, ForceKind::GRADIENT);
    forward();
    energies();
    std::vector<double> values(values_.data(), values_.data() + n_elements_);
    release();
    graph_ = {};
    return values;
  }
};

}    // namespace

std::unique_ptr<Evaluator> make_fused_evaluator(const ModelArchive &archive,
                                                const EvaluatorOptions &options,
                                                std::string &reason)
{
  if (!options.device.is_cpu()) {
    reason = "it runs on CPUs only";
    return nullptr;
  }
  const auto module = archive.load(c10::kCPU, at::kDouble);
  if (!module.hasattr(schema::N_KNOTS) || module.attr(schema::N_KNOTS).toInt() == 0) {
    reason = "the archive holds no tables of its radial networks";
    return nullptr;
  }
  const int n_elements = archive.metadata().n_elements();
  check_tables(module, options, n_elements);
  const auto named = named_weights(module, options.species, n_elements);
  if (named.at("coupling").size(0) > (MAX_DEGREE + 1) * (MAX_DEGREE + 1)) {
    reason = "its l_max is above 3";
    return nullptr;
  }
  if (options.dtype == at::kDouble)
    return std::make_unique<FusedEvaluator<double>>(named, options.species, n_elements);
  return std::make_unique<FusedEvaluator<float>>(named, options.species, n_elements);
}

}    // namespace tdn

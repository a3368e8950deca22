#include "edge_attention.h"

#include "engine/cpu/weights.h"

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>

namespace tdn {

namespace {

/// One call: operands padded and packed, one thread.
template <typename T> class EdgeCall {
 public:
  EdgeCall(const EdgeOperands &edges, const NamedTensors &weights)
      : kernels_(fused::kernels<T>()), weights_(arrays_of(weights)),
        packer_(weights_, kernels_, "query"), layer_(packer_.edge_layer("")),
        n_owned_(edges.center.size(0)), n_edges_(edges.neighbor.size(0)), rows_(padded(edges.rows)),
        center_(padded(edges.center)), first_(edges.first_edge.to(at::kLong).contiguous()),
        neighbor_(edges.neighbor.to(at::kInt).contiguous()),
        slot_(edges.slot.to(at::kInt).contiguous()), vectors_(edges.vectors.contiguous()),
        slots_(at::arange(layer_.radial.n_slots, at::kInt)),
        scratch_(kernels_.scratch_size(model()))
  {
  }

  std::tuple<at::Tensor, at::Tensor> forward()
  {
    auto attended = at::zeros({n_owned_, model().d, model().stride}, rows_.options());
    auto attention = at::empty({n_edges_, model().n_heads}, rows_.options());
    kernels_.attend(model(), layer_, edges({}), arrays(attended, attention),
                    center_.template const_data_ptr<T>(), range());
    return {unpadded(attended), attention};
  }

  std::tuple<at::Tensor, at::Tensor, at::Tensor>
  backward(const at::Tensor &gradient, const at::Tensor &attended, const at::Tensor &attention)
  {
    auto grad_rows = at::zeros_like(rows_), grad_center = at::zeros_like(center_),
         grad_vectors = at::zeros_like(vectors_);
    const auto out = padded(attended), weights = attention.contiguous(), seed = padded(gradient);
    kernels_.attend_vjp(model(), layer_, edges(grad_vectors), arrays(out, weights),
                        center_.template const_data_ptr<T>(), seed.template const_data_ptr<T>(),
                        grad_center.template mutable_data_ptr<T>(),
                        grad_rows.template mutable_data_ptr<T>(), range());
    return {unpadded(grad_rows), unpadded(grad_center), grad_vectors};
  }

 private:
  const fused::Kernels<T> &kernels_;
  const NamedArrays weights_;
  WeightPacker<T> packer_;
  const fused::Layer<T> layer_;
  const int64_t n_owned_, n_edges_;
  const at::Tensor rows_, center_, first_, neighbor_, slot_, vectors_, slots_;
  AlignedBuffer<T> scratch_;

  const fused::Model<T> &model() const { return packer_.model(); }
  at::Tensor padded(const at::Tensor &x) const
  {
    return at::constant_pad_nd(x, {0, model().stride - x.size(-1)}).contiguous();
  }
  at::Tensor unpadded(const at::Tensor &x) const
  {
    return x.slice(-1, 0, model().n_channels).contiguous();
  }
  fused::Edges<T> edges(const at::Tensor &gradients) const
  {
    return {.first = first_.template const_data_ptr<int64_t>(),
            .neighbor = neighbor_.template const_data_ptr<int32_t>(),
            .pair = slot_.template const_data_ptr<int32_t>(),
            .slot_of_pair = slots_.template const_data_ptr<int32_t>(),
            .vectors = vectors_.template const_data_ptr<T>(),
            .gradients = gradients.defined() ? gradients.template mutable_data_ptr<T>() : nullptr,
            .target = nullptr};
  }
  /// The kernels write attended and attention only in the forward pass.
  fused::LayerArrays<T> arrays(const at::Tensor &attended, const at::Tensor &attention) const
  {
    return {.x = nullptr,
            .rows = rows_.template const_data_ptr<T>(),
            .attended = const_cast<T *>(attended.template const_data_ptr<T>()),
            .attention = const_cast<T *>(attention.template const_data_ptr<T>()),
            .d_out = model().d};
  }
  fused::Range<T> range() const
  {
    return {.begin = 0, .end = n_owned_, .scratch = scratch_.data()};
  }
};

void check(const EdgeOperands &e)
{
  const auto dtype = e.rows.scalar_type();
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kDouble,
              "tdn::edge_attention needs float32 or float64, got ", dtype);
  TORCH_CHECK(e.center.scalar_type() == dtype && e.vectors.scalar_type() == dtype,
              "tdn::edge_attention needs one dtype, got ", dtype, ", ", e.center.scalar_type(),
              " and ", e.vectors.scalar_type());
  TORCH_CHECK(e.rows.device().is_cpu(), "tdn::edge_attention runs on CPUs, got ", e.rows.device());
  TORCH_CHECK(
      e.rows.dim() == 3 && e.center.dim() == 3 && e.rows.size(1) <= 16 &&
          e.first_edge.numel() == e.center.size(0) + 1 && e.neighbor.numel() == e.vectors.size(0) &&
          e.slot.numel() == e.vectors.size(0) && e.vectors.dim() == 2,
      "tdn::edge_attention needs rows (R,d,C), center (N,d,C), first_edge (N+1), neighbor (E), "
      "slot (E) and vectors (E,3) with d up to 16, got ",
      e.rows.sizes(), ", ", e.center.sizes(), ", ", e.first_edge.sizes(), ", ", e.neighbor.sizes(),
      ", ", e.slot.sizes(), " and ", e.vectors.sizes());
}

}    // namespace

std::tuple<at::Tensor, at::Tensor> edge_attention(const EdgeOperands &edges,
                                                  const NamedTensors &weights)
{
  check(edges);
  if (edges.rows.scalar_type() == at::kDouble) return EdgeCall<double>(edges, weights).forward();
  return EdgeCall<float>(edges, weights).forward();
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> edge_attention_vjp(const at::Tensor &gradient,
                                                                  const at::Tensor &attended,
                                                                  const at::Tensor &attention,
                                                                  const EdgeOperands &edges,
                                                                  const NamedTensors &weights)
{
  check(edges);
  if (edges.rows.scalar_type() == at::kDouble)
    return EdgeCall<double>(edges, weights).backward(gradient, attended, attention);
  return EdgeCall<float>(edges, weights).backward(gradient, attended, attention);
}

}    // namespace tdn

// Registers torch.ops.tdn with derivatives; loaded by the plugin and by Python.

#include "edge_attention.h"
#include "edge_product.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>
#include <string>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct EdgeProduct : public torch::autograd::Function<EdgeProduct> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &coupling,
                            const at::Tensor &message, const at::Tensor &weight)
  {
    at::AutoDispatchBelowADInplaceOrView guard;
    context->save_for_backward({coupling, message, weight});
    return tdn::edge_product(coupling, message, weight);
  }

  static variable_list backward(AutogradContext *context, const variable_list &gradients)
  {
    const auto saved = context->get_saved_variables();
    // A backward pass that is itself differentiated needs recorded operations.
    const auto derivative = at::GradMode::is_enabled() ? tdn::edge_product_backward_recorded
                                                       : tdn::edge_product_backward;
    const auto [coupling, message, weight] = derivative(gradients[0], saved[0], saved[1], saved[2]);
    return {coupling, message, weight};
  }
};

at::Tensor edge_product_autograd(const at::Tensor &coupling, const at::Tensor &message,
                                 const at::Tensor &weight)
{
  return EdgeProduct::apply(coupling, message, weight);
}

using at::Tensor;
using tdn::NamedTensors;

std::tuple<Tensor, Tensor> edge_attention(const Tensor &rows, const Tensor &center,
                                          const Tensor &first_edge, const Tensor &neighbor,
                                          const Tensor &slot, const Tensor &vectors,
                                          const NamedTensors &weights)
{
  return tdn::edge_attention({rows, center, first_edge, neighbor, slot, vectors}, weights);
}

std::tuple<Tensor, Tensor, Tensor>
edge_attention_vjp(const Tensor &gradient, const Tensor &attended, const Tensor &attention,
                   const Tensor &rows, const Tensor &center, const Tensor &first_edge,
                   const Tensor &neighbor, const Tensor &slot, const Tensor &vectors,
                   const NamedTensors &weights)
{
  return tdn::edge_attention_vjp(gradient, attended, attention,
                                 {rows, center, first_edge, neighbor, slot, vectors}, weights);
}

/// Differentiable once, with respect to rows, center and vectors.
struct EdgeAttention : public torch::autograd::Function<EdgeAttention> {
  static variable_list forward(AutogradContext *context, const Tensor &rows, const Tensor &center,
                               const Tensor &first_edge, const Tensor &neighbor, const Tensor &slot,
                               const Tensor &vectors, const NamedTensors &weights)
  {
    at::AutoDispatchBelowADInplaceOrView guard;
    const auto [attended, attention] =
        edge_attention(rows, center, first_edge, neighbor, slot, vectors, weights);
    context->save_for_backward(
        {attended, attention, rows, center, first_edge, neighbor, slot, vectors});
    context->saved_data["weights"] = weights;
    context->mark_non_differentiable({attention});
    return {attended, attention};
  }

  static variable_list backward(AutogradContext *context, const variable_list &gradients)
  {
    TORCH_CHECK(!at::GradMode::is_enabled(), "tdn::edge_attention can be differentiated only once");
    const auto s = context->get_saved_variables();
    NamedTensors weights;
    for (const auto &item : context->saved_data["weights"].toGenericDict())
      weights.insert(item.key().toStringRef(), item.value().toTensor());
    const auto [rows, center, vectors] =
        edge_attention_vjp(gradients[0], s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], weights);
    return {rows, center, {}, {}, {}, vectors, {}};
  }
};

std::tuple<Tensor, Tensor> edge_attention_autograd(const Tensor &rows, const Tensor &center,
                                                   const Tensor &first_edge, const Tensor &neighbor,
                                                   const Tensor &slot, const Tensor &vectors,
                                                   const NamedTensors &weights)
{
  const auto out = EdgeAttention::apply(rows, center, first_edge, neighbor, slot, vectors, weights);
  return {out[0], out[1]};
}

constexpr const char *EDGES =
    "Tensor rows, Tensor center, Tensor first_edge, Tensor neighbor, Tensor slot, Tensor vectors, "
    "Dict(str, Tensor) weights";

/// A process may hold two copies of this library (an installed package and a plugin built
/// elsewhere); torch aborts on a second definition of an operator, so the first copy is used.
class Registration {
 public:
  Registration()
  {
    if (c10::Dispatcher::singleton().findSchema({"tdn::edge_product", ""})) return;
    definitions_.emplace(torch::Library::DEF, "tdn", std::nullopt, __FILE__, __LINE__);
    definitions_->def("edge_product(Tensor coupling, Tensor message, Tensor weight) -> Tensor");
    const std::string edges = EDGES;
    definitions_->def(torch::schema(("edge_attention(" + edges + ") -> (Tensor, Tensor)").c_str()));
    definitions_->def(
        torch::schema(("edge_attention_vjp(Tensor gradient, Tensor attended, Tensor attention, " +
                       edges + ") -> (Tensor, Tensor, Tensor)")
                          .c_str()));
    kernels_.emplace(torch::Library::IMPL, "tdn", c10::DispatchKey::CompositeExplicitAutograd,
                     __FILE__, __LINE__);
    kernels_->impl("edge_product", tdn::edge_product);
    kernels_->impl("edge_attention", edge_attention);
    kernels_->impl("edge_attention_vjp", edge_attention_vjp);
    derivatives_.emplace(torch::Library::IMPL, "tdn", c10::DispatchKey::Autograd, __FILE__,
                         __LINE__);
    derivatives_->impl("edge_product", edge_product_autograd);
    derivatives_->impl("edge_attention", edge_attention_autograd);
  }

 private:
  std::optional<torch::Library> definitions_, kernels_, derivatives_;
};

const Registration registration;

}    // namespace

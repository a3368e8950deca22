// Registers torch.ops.tdn.edge_product and its derivative; loaded by the plugin and by Python.

#include "edge_product.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <optional>

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

/// A process may hold two copies of this library (an installed package and a plugin built
/// elsewhere); torch aborts at a second definition of an operator, so the first copy serves both.
class Registration {
 public:
  Registration()
  {
    if (c10::Dispatcher::singleton().findSchema({"tdn::edge_product", ""})) return;
    definitions_.emplace(torch::Library::DEF, "tdn", std::nullopt, __FILE__, __LINE__);
    definitions_->def("edge_product(Tensor coupling, Tensor message, Tensor weight) -> Tensor");
    kernels_.emplace(torch::Library::IMPL, "tdn", c10::DispatchKey::CompositeExplicitAutograd,
                     __FILE__, __LINE__);
    kernels_->impl("edge_product", tdn::edge_product);
    derivatives_.emplace(torch::Library::IMPL, "tdn", c10::DispatchKey::Autograd, __FILE__,
                         __LINE__);
    derivatives_->impl("edge_product", edge_product_autograd);
  }

 private:
  std::optional<torch::Library> definitions_, kernels_, derivatives_;
};

const Registration registration;

}    // namespace

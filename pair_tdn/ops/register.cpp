// Registers torch.ops.tdn.edge_product and its derivative; loaded by the plugin and by Python.

#include "edge_product.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

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

}    // namespace

TORCH_LIBRARY(tdn, library)
{
  library.def("edge_product(Tensor coupling, Tensor message, Tensor weight) -> Tensor");
}

TORCH_LIBRARY_IMPL(tdn, CompositeExplicitAutograd, library)
{
  library.impl("edge_product", tdn::edge_product);
}

TORCH_LIBRARY_IMPL(tdn, Autograd, library)
{
  library.impl("edge_product", edge_product_autograd);
}

// The table of functions of one instruction set.
#pragma once

#include "embedding_kernel.h"
#include "layer_kernel.h"
#include "rates.h"
#include "readout_kernel.h"

namespace tdn::TDN_ISA {

/// Selects the template for a model's l_max.
template <typename T> struct Dispatch {
  using Model = fused::Model<T>;
#define TDN_FOR_DEGREE(KERNEL, CALL) \
  switch (m.l_max) {                 \
    case 0:                          \
      return KERNEL<T, 0>::CALL;     \
    case 1:                          \
      return KERNEL<T, 1>::CALL;     \
    case 2:                          \
      return KERNEL<T, 2>::CALL;     \
    default:                         \
      return KERNEL<T, 3>::CALL;     \
  }
  static size_t scratch_size(const Model &m) { TDN_FOR_DEGREE(LayerKernel, scratch_size(m)) }
  static void embed(const Model &m, const fused::Embedding<T> &w, const fused::Edges<T> &e,
                    const int64_t *s, T *x, const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(EmbeddingKernel, embed(m, w, e, s, x, r))
  }
  static void embed_vjp(const Model &m, const fused::Embedding<T> &w, const fused::Edges<T> &e,
                        const T *g, const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(EmbeddingKernel, embed_vjp(m, w, e, g, r))
  }
  static void send(const Model &m, const fused::Layer<T> &w, const T *x, T *rows,
                   const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(LayerKernel, send(m, w, x, rows, r))
  }
  static void send_vjp(const Model &m, const fused::Layer<T> &w, const T *x, const T *g, T *gx,
                       const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(LayerKernel, send_vjp(m, w, x, g, gx, r))
  }
  static void update(const Model &m, const fused::Layer<T> &w, const fused::Edges<T> &e,
                     const fused::LayerArrays<T> &a, T *x, const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(LayerKernel, update(m, w, e, a, x, r))
  }
  static void update_vjp(const Model &m, const fused::Layer<T> &w, const fused::Edges<T> &e,
                         const fused::LayerArrays<T> &a, const T *g, T *gx, T *gr,
                         const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(LayerKernel, update_vjp(m, w, e, a, g, gx, gr, r))
  }
  static void attend(const Model &m, const fused::Layer<T> &w, const fused::Edges<T> &e,
                     const fused::LayerArrays<T> &a, const T *c, const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(LayerKernel, attend(m, w, e, a, c, r))
  }
  static void attend_vjp(const Model &m, const fused::Layer<T> &w, const fused::Edges<T> &e,
                         const fused::LayerArrays<T> &a, const T *c, const T *g, T *gc, T *gr,
                         const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(LayerKernel, attend_vjp(m, w, e, a, c, g, gc, gr, r))
  }
#undef TDN_FOR_DEGREE
};

template <typename T> constexpr fused::Kernels<T> table(const char *name)
{
  using D = Dispatch<T>;
  fused::Kernels<T> kernels{.name = name,
                            .lanes = LANES<T>,
                            .scratch_size = D::scratch_size,
                            .pack = pack<T>,
                            .embed = D::embed,
                            .embed_vjp = D::embed_vjp,
                            .send = D::send,
                            .send_vjp = D::send_vjp,
                            .update = D::update,
                            .update_vjp = D::update_vjp,
                            .attend = D::attend,
                            .attend_vjp = D::attend_vjp,
                            .readout = readout<T>};
  if constexpr (LANES<T> > 1) {    // one lane does not measure the processor
    kernels.register_loop = register_loop<T>;
    kernels.product_loop = product_loop<T>;
  }
  return kernels;
}

}    // namespace tdn::TDN_ISA

// The table of functions of one instruction set.
#pragma once

#include "layer_kernel.h"
#include "rates.h"

namespace tdn::TDN_ISA {

/// Picks the template of a model's l_max.
template <typename T> struct Dispatch {
  using Model = fused::Model<T>;
#define TDN_FOR_DEGREE(CALL)          \
  switch (m.l_max) {                  \
    case 0:                           \
      return LayerKernel<T, 0>::CALL; \
    case 1:                           \
      return LayerKernel<T, 1>::CALL; \
    case 2:                           \
      return LayerKernel<T, 2>::CALL; \
    default:                          \
      return LayerKernel<T, 3>::CALL; \
  }
  static size_t scratch_size(const Model &m) { TDN_FOR_DEGREE(scratch_size(m)) }
  static void embed(const Model &m, const fused::Embedding<T> &w, const fused::Edges<T> &e,
                    const int64_t *s, T *x, const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(embed(m, w, e, s, x, r))
  }
  static void embed_vjp(const Model &m, const fused::Embedding<T> &w, const fused::Edges<T> &e,
                        const T *g, const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(embed_vjp(m, w, e, g, r))
  }
  static void send(const Model &m, const fused::Layer<T> &w, const T *x, T *rows,
                   const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(send(m, w, x, rows, r))
  }
  static void send_vjp(const Model &m, const fused::Layer<T> &w, const T *x, const T *g, T *gx,
                       const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(send_vjp(m, w, x, g, gx, r))
  }
  static void update(const Model &m, const fused::Layer<T> &w, const fused::Edges<T> &e,
                     const fused::LayerArrays<T> &a, T *x, const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(update(m, w, e, a, x, r))
  }
  static void update_vjp(const Model &m, const fused::Layer<T> &w, const fused::Edges<T> &e,
                         const fused::LayerArrays<T> &a, const T *g, T *gx, T *gr,
                         const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(update_vjp(m, w, e, a, g, gx, gr, r))
  }
  static void attend(const Model &m, const fused::Layer<T> &w, const fused::Edges<T> &e,
                     const fused::LayerArrays<T> &a, const T *c, const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(attend(m, w, e, a, c, r))
  }
  static void attend_vjp(const Model &m, const fused::Layer<T> &w, const fused::Edges<T> &e,
                         const fused::LayerArrays<T> &a, const T *c, const T *g, T *gc, T *gr,
                         const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(attend_vjp(m, w, e, a, c, g, gc, gr, r))
  }
  static void readout(const Model &m, const fused::Readout<T> &w, const T *x, T *v, T *gx,
                      const fused::Range<T> &r)
  {
    TDN_FOR_DEGREE(readout(m, w, x, v, gx, r))
  }
#undef TDN_FOR_DEGREE
};

template <typename T> constexpr fused::Kernels<T> table(const char *name)
{
  using D = Dispatch<T>;
  return {.name = name,
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
          .readout = D::readout,
          .register_loop = register_loop<T>,
          .product_loop = product_loop<T>};
}

}    // namespace tdn::TDN_ISA

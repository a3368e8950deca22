"""Clebsch-Gordan tensors, spherical harmonics, CP decompositions and the tensor product built from them."""

"""Properties of the training data that a model needs: reference energies, energy scale, degree, shortest pairs."""

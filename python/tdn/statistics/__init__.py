"""What the training data say before training: reference energies, energy scale, degree, shortest pairs."""

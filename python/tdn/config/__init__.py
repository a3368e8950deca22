"""Every option of a model and of a training run: types, meanings, limits, defaults. Nothing here needs torch."""

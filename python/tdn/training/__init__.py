"""From labeled structures to a checkpoint: configuration, loss, loop, errors, plots.

Nothing is imported here, so that reading a configuration does not load torch.
"""

"""Relaxing structures with a model, one at a time, and the files it writes."""

"""Errors of a model on labeled structures: metrics, sums, tables and plots."""

"""Rows of any source as a model sees them: groups of inputs, targets."""

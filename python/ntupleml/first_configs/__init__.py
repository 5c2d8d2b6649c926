"""Configs for an ntuple that nobody has described yet: what its branches are for, written as commented YAML."""

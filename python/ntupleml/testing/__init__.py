"""Testing trained models: each one on the events of the fold that it never saw."""

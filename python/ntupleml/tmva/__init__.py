"""TMVA's weights files: reading every kind that we can evaluate, and writing forests as such files."""

"""The page that gathers what the testing stage says of a training: one HTML file that needs nothing else."""

"""Pages, each an HTML file that needs nothing else: all that the testing stage says of a training, and comparisons."""

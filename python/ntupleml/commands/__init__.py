"""The verbs of the command line, one module per stage: arguments in, one call of the package.

Nothing heavy is imported before a verb runs: `--help` is fast.
"""

"""What the commands of `pruning-explorer` do; imported only when a command runs, since torch is slow to import."""

"""The average over data sets drawn from finitely many nodes, which can come more than once: a pool of samples."""

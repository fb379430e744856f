"""The benchmark: many data sets, many systems, one table."""

"""The page a reviewer reads, and its pictures."""

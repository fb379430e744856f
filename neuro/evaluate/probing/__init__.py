"""What reads a label out of features: probes, floors' estimators, and their permutation test."""

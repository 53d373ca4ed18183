"""Fold to checkpoint: the loop, its determinism and its cache key. Knows no tracker."""

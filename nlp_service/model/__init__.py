"""Bundles and runtimes: prepared text in, logits out."""

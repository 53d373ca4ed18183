"""Checkpoint to Grad-CAM panels and what they can be trusted for."""

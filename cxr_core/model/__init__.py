"""Networks, their initial weights and the classifier that serves them. No training loop."""

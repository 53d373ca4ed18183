"""What the paper printed, and the arithmetic that printed figures must pass: the paper's and our own."""

"""Evidence, policy and champion to a decision. Moves no alias and reads no store."""

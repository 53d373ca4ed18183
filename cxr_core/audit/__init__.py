"""A model's chain of records, re-derived and compared. Reads what it is given; fetches nothing."""

"""A source in its published layout to raw files, records and quarantine. Labels stay as the source wrote them."""

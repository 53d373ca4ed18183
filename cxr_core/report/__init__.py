"""A finished run to what people read: one HTML page, its figures, its reporting forms. Measures and decides nothing."""

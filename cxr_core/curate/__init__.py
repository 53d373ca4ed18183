"""Records to a cohort: views, labels, duplicates, patient groups, quotas. Every exclusion keeps its reason."""

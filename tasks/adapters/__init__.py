"""The joins to other systems as plain Python: git, DVC, MLflow, source folders, the ledger. No Prefect, no science."""
